"""
How large a part of the new INVITEs is to reach the node at all, so that refusing the rest takes little of what serving needs.

To refuse a request costs a part of serving it, and at ten times the load, with all the copies that callers send, there would be
little left. What the kernel throws away costs the node nothing. But more must come through than can be served, or the node has
nothing to do although many ask: so some are refused beside those that are let in, and how many is what is steered by.
"""

from __future__ import annotations

from typing import Final

from attrs import define

REFUSALS: Final = 0.15  # beside one request that is let in: a guess, no other was compared
MANY: Final = (
    1.0  # beside one that is let in; before more are refused nothing is thrown away, since that comes again
)
SPAN: Final = 0.4  # s that are counted together
ENOUGH: Final = 0.25  # a smaller change than by this is none: each costs the kernel some milliseconds
LEAST, ALL = 0.002, 0.9  # where more than that may pass all may
SMOOTH: Final = 0.3  # how much a new count counts
FASTEST: Final = 0.9  # how fast the delay may grow, as far as is believed
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
    _dropped: int = 0
    _delay: float = 0.0  # at the begin of what is counted
    _before: float = 0.0  # what was offered then, per second

    def feed(
        self, elapsed: float, seen: int, dropped: int, delay: float, capacity: float, others: int = 0
    ) -> bool:
        """
        Take what was seen in C{elapsed} seconds.

        @param seen: INVITEs that were looked at, copies too; C{dropped}: datagrams that the kernel threw away.
        @param delay: seconds that what is looked at has waited.
        @param capacity: new requests a second that may be let in; C{others}: that were and are no INVITEs.
        @return: whether C{passing} is another one now.
        """
        self._elapsed += elapsed
        self._seen += seen
        self._others += others
        self._dropped += dropped
        if self._elapsed < SPAN:
            return False
        offered = self._offered(delay)
        room = max(LEAST_ROOM * capacity, capacity - self._others / self._elapsed)
        self._begin(delay)
        before = self.passing
        wanted = max(LEAST, (1.0 + REFUSALS) * room / offered) if offered else 1.0
        if before == 1.0 and offered <= (1.0 + MANY) * room:
            return False
        if wanted < 1.0 and (1.0 - ENOUGH) * before < wanted < before / (1.0 - ENOUGH):
            return False
        self.passing = wanted if wanted < ALL else 1.0
        return before != self.passing

    def _offered(self, delay: float) -> float:
        """
        INVITEs that come, per second, at once and not only when their turn comes.

        What is thrown away is a known part of them. While nothing is, it shows in the queue: when what is looked at came half a
        second later than what was half a second before, as many come as are looked at; when it came less later, more.
        """
        if self.passing < 1.0:
            offered = self._dropped / (1.0 - self.passing) / self._elapsed
            if self._before / 2 < offered < self._before * 2:  # else it is quite another load
                offered = self._before + SMOOTH * (offered - self._before)
            self._before = offered
            return offered
        growth = min(FASTEST, max(0.0, (delay - self._delay) / self._elapsed))
        return self._seen / self._elapsed / (1.0 - growth)

    def release(self) -> bool:
        """There is no overload: all of them pass. Whether that is new."""
        before, self.passing = self.passing, 1.0
        self._begin(0.0)
        return before != 1.0

    def _begin(self, delay: float) -> None:
        self._elapsed, self._seen, self._others, self._dropped, self._delay = 0.0, 0, 0, 0, delay
