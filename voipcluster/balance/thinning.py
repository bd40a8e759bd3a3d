"""
How many of the new INVITEs are refused, and how many are thrown away, so that what is too much takes little from the rest.

Three things can be done with a request that has no room. Refusing it is best for its caller, who knows at once, and costs a
twentieth of serving it. Throwing it away unread costs a hundredth, and its caller sends it again. What the kernel throws away
costs nothing, but to change what it lets through costs as much as some calls, so it is told so seldom, and lets through more than
there is room for. Too little must never come through: the node would have nothing to do although many ask.
"""

from __future__ import annotations

import math
from typing import Final

from attrs import define

from voipcluster.balance.overload import REFUSAL

SPENT: Final = 0.01  # of what the node can do, for refusing while anything is thrown away
TOLERATED: Final = (
    0.05  # the same before that: what is thrown away comes again, so nothing is as long as it goes without
)
REFUSALS: Final = SPENT / REFUSAL  # beside one request that is let in
MANY: Final = TOLERATED / REFUSAL
SPARE: Final = 1.3  # times what is wanted is let through by the kernel, when that changes
TOO_MUCH: Final = 2.2  # times what is wanted: it is changed; a hundredth of a call for each that is thrown away here instead
SPAN: Final = 0.3  # s that are counted together
MOST: Final = 0.8  # that it lets through while it throws away any
LEAST: Final = 0.002
SMOOTH: Final = 0.3  # how much a new count counts
CHANCE: Final = 3.0  # standard deviations that are chance
FASTEST: Final = (
    0.75  # how fast the delay may grow, as far as is believed: what is thrown away says soon how many come
)
LEAST_ROOM: Final = 0.1  # of the capacity, for INVITEs


@define
class Thinning:
    """
    @ivar passing: the part of all new INVITEs that the kernel lets through, above 0.0 to 1.0.
    """

    passing: float = 1.0
    _elapsed: float = 0.0
    _seen: int = 0
    _others: int = 0
    _dropped: int = 0
    _delay: float = 0.0  # at the begin of what is counted
    _before: float = 0.0  # what was offered then, per second
    _room: float = 0.0  # for INVITEs, per second

    @property
    def refusals(self) -> float:
        """How many may be refused beside one that is let in; what is more is thrown away."""
        return MANY if self.passing == 1.0 else REFUSALS

    def feed(
        self, elapsed: float, seen: int, dropped: int, delay: float, capacity: float, others: int = 0
    ) -> bool:
        """
        Take what was seen in C{elapsed} seconds.

        @param seen: INVITEs that came through, copies too; C{dropped}: datagrams that the kernel threw away.
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
        if self.passing < 1.0:  # what may be let in goes up and down with the queue, and the filter must not
            room = self._room + SMOOTH * (room - self._room)
        self._room = room
        self._begin(delay)
        before = self.passing
        if offered <= (1.0 + (MANY if before == 1.0 else MANY / 2)) * room:
            self.passing = 1.0
            return before != 1.0
        wanted = (1.0 + REFUSALS) * room / offered
        if before < 1.0 and wanted <= before <= TOO_MUCH * wanted:
            return False
        self.passing = max(LEAST, min(MOST, SPARE * wanted))
        return True

    def _offered(self, delay: float) -> float:
        """
        INVITEs that come, per second, at once and not only when their turn comes.

        What is thrown away is a known part of them. While nothing is, it shows in the queue: when what is looked at came half a
        second later than what was half a second before, as many come as are looked at; when it came less later, more.
        """
        if self.passing < 1.0:
            offered = self._dropped / (1.0 - self.passing) / self._elapsed
            expected = self._before * (1.0 - self.passing) * self._elapsed
            if abs(self._dropped - expected) < max(expected / 2, CHANCE * math.sqrt(expected)):
                offered = self._before + SMOOTH * (offered - self._before)  # else it is quite another load
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
