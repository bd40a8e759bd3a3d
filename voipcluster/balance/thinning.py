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
FEW, MANY = REFUSALS / 2, REFUSALS * 2  # within these nothing is changed
SPAN, LONGEST = 0.4, 1.0  # s that are counted together: as many as it takes to see C{ENOUGH} INVITEs
ENOUGH: Final = 80
LEAST: Final = 0.002
LEAST_ROOM: Final = 0.1  # of the capacity, for INVITEs
RISE, FALL = 3.0, 0.2  # the most by which the part changes at once


@define
class Thinning:
    """
    @ivar passing: the part of all new INVITEs that passes, above 0.0 to 1.0.
    """

    passing: float = 1.0
    _elapsed: float = 0.0
    _admitted: int = 0
    _refused: int = 0
    _others: int = 0
    _old: float = 0.0  # seconds in which what is seen came before the last change

    def feed(
        self,
        elapsed: float,
        admitted: int,
        refused: int,
        capacity: float,
        delay: float = 0.0,
        others: int = 0,
    ) -> bool:
        """
        Take what was seen in C{elapsed} seconds.

        @param admitted: INVITEs that were let in; C{refused}: that were not, copies too.
        @param capacity: new requests a second that can be let in; C{others}: that were and are no INVITEs.
        @param delay: seconds that what is seen has waited.
        @return: whether C{passing} is another one now.
        """
        if self._old > 0.0:
            # what is seen waited in the buffer since before the change, and says nothing of it
            self._old = min(self._old, delay) - elapsed
            return False
        self._elapsed += elapsed
        self._admitted += admitted
        self._refused += refused
        self._others += others
        seen = self._admitted + self._refused
        if self._elapsed < SPAN or (seen < ENOUGH and self._elapsed < LONGEST):
            return False
        room = max(LEAST_ROOM * capacity, capacity - self._others / self._elapsed)
        turned_away, before = self._refused / self._elapsed, self.passing
        change = (1.0 + REFUSALS) * room * self._elapsed / seen if seen else RISE
        self._begin()
        if turned_away > MANY * room:
            self.passing = max(LEAST, before * min(1.0, max(FALL, change)))
        elif turned_away < FEW * room:
            self.passing = min(1.0, before * max(1.0, min(RISE, change)))
        if self.passing == before:
            return False
        self._old = delay
        return True

    def release(self) -> bool:
        """There is no overload: all of them pass. Whether that is new."""
        before, self.passing = self.passing, 1.0
        self._begin()
        return before != 1.0

    def _begin(self) -> None:
        self._elapsed, self._admitted, self._refused, self._others, self._old = 0.0, 0, 0, 0, 0.0
