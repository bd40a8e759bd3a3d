"""How long something took on a machine that is busy: time in which the programs waited for a processor does not count."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["Stopwatch"]

_NANO = 1e-9


class Stopwatch:
    """
    Seconds from its making on, without those in which this process and others were ready to run and did not (proc(5),
    F{schedstat}), and without those that the host of this machine had its processors for other machines (F{stat}, C{steal}).

    @param pids: processes whose work is waited for, one after the other, beside this one.
    """

    def __init__(self, *pids: int) -> None:
        self._before = {pid: _waited(pid) for pid in (os.getpid(), *pids)}
        self._waited = dict(self._before)
        self._stolen = _stolen()
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun - self.waited

    @property
    def waited(self) -> float:
        """What is left out."""
        for pid, before in self._waited.items():
            self._waited[pid] = max(before, _waited(pid))  # of one that has ended what was known last
        return _stolen() - self._stolen + sum(now - self._before[pid] for pid, now in self._waited.items())


def _waited(pid: int) -> float:
    """Seconds that the first thread of a process was ready to run and did not; 0.0 where nobody counts them, or it is gone."""
    with suppress(OSError):
        return _NANO * int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1])
    return 0.0


def _stolen() -> float:
    """Seconds that were stolen from the processor that lacks most."""
    with suppress(OSError):
        lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
        lost = [
            int(words[8]) for words in lines if words[0][:3] == "cpu" and words[0] != "cpu" and len(words) > 8
        ]
        return max(lost, default=0) / os.sysconf("SC_CLK_TCK")
    return 0.0
