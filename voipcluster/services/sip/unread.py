"""How many datagrams came that nobody has read yet, or ever will: what counters of messages do not know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from voipcluster.net.udp import Backlog

DATAGRAM: Final = (
    1280  # octets that Linux counts for one of a usual request: its own, and what is kept with it
)


class Unread:
    """
    Called for the datagrams since the last call: those that the kernel threw away, and by how many more of them wait.

    @param backlogs: what waits in each socket now.
    """

    def __init__(self, backlogs: Callable[[], Sequence[Backlog]]) -> None:
        self._backlogs = backlogs
        self._waiting = self._lost = 0

    def __call__(self) -> float:
        backlogs = self._backlogs()
        waiting, lost = sum(one.waiting for one in backlogs), sum(one.lost for one in backlogs)
        found = lost - self._lost + (waiting - self._waiting) / DATAGRAM
        self._waiting, self._lost = waiting, lost
        return found
