"""
How large a part of the new INVITEs is to reach the node at all, so that refusing the rest takes little of what serving needs.

To refuse a request costs a part of serving it, and at ten times the load, with all the copies that callers send, there would be
little left. What the kernel throws away costs the node nothing. But more must come through than can be served, or the node has
nothing to do although many ask: so some are refused beside those that are let in, and how many is what is steered by.
"""

from __future__ import annotations

from typing import Final

from attrs import define

REFUSALS: Final = 0.15  # beside one request that is let in; docs/benchmarks.md compares other shares
MANY: Final = 1.0  # beside one that is let in; before more are refused nothing is thrown away, since that comes again
SPAN: Final = 0.4  # s that are counted together
ENOUGH: Final = 0.25  # a smaller change than by this is none: each costs the kernel some milliseconds
LEAST: Final = 0.002
LEAST_ROOM: Final = 0.1  # of the capacity, for INVITEs


@define
class Thinning:
    """
    @ivar passing: the part of all new INVITEs that passes, above 0.0 to 1.0.
    """

    passing: float = 1.0
    _elapsed: float = 0.0
    _seen: int = 0
    _others: int = 0
    _unread: float = 0.0

    def feed(self, elapsed: float, seen: int, unread: float, capacity: float, others: int = 0) -> bool:
        """
        Take what came in C{elapsed} seconds.

        @param seen: INVITEs that were looked at, copies too.
        @param unread: datagrams that were thrown away, and by how many more wait than before, or fewer. So all that came is
            known at once, and not only when its turn comes.
        @param capacity: new requests a second that can be let in; C{others}: that were and are no INVITEs.
        @return: whether C{passing} is another one now.
        """
        self._elapsed += elapsed
        self._seen += seen
        self._others += others
        self._unread += unread
        if self._elapsed < SPAN:
            return False
        offered = max(0.0, self._seen + self._unread) / self._elapsed
        room = max(LEAST_ROOM * capacity, capacity - self._others / self._elapsed)
        self._begin()
        before = self.passing
        wanted = min(1.0, max(LEAST, (1.0 + REFUSALS) * room / offered)) if offered else 1.0
        if before == 1.0 and offered <= (1.0 + MANY) * room:
            return False
        if wanted < 1.0 and (1.0 - ENOUGH) * before < wanted < before / (1.0 - ENOUGH):
            return False
        self.passing = wanted
        return before != wanted

    def release(self) -> bool:
        """There is no overload: all of them pass. Whether that is new."""
        before, self.passing = self.passing, 1.0
        self._begin()
        return before != 1.0

    def _begin(self) -> None:
        self._elapsed, self._seen, self._others, self._unread = 0.0, 0, 0, 0.0
