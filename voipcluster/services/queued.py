"""How long the calling thread waited for a processor, as the kernel counts it."""

from __future__ import annotations

import os
from typing import NamedTuple

_SCHEDSTAT = "/proc/thread-self/schedstat"


class Queued(NamedTuple):
    """
    Of one thread, so far.

    @ivar waited: seconds in which it was ready to run and did not: others ran, or the quota of its control group was used up.
    @ivar runs: how often it was run.
    """

    waited: float
    runs: int


NEVER = Queued(0.0, 0)


def queued() -> Queued:
    """What proc(5), C{schedstat}, says of this thread; L{NEVER} where the kernel does not count that, or it cannot be read."""
    try:
        schedstat = os.open(_SCHEDSTAT, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return NEVER
    try:
        _, waited, runs = os.read(schedstat, 128).split()
        return Queued(int(waited) / 1e9, int(runs))
    except ValueError:  # a system that has the file, and something else in it
        return NEVER
    finally:
        os.close(schedstat)
