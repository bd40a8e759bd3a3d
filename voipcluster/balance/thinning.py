"""
How large a part of the new INVITEs is to reach the node at all, so that refusing the rest takes little of what serving needs.

To refuse a request costs a part of serving it, and at ten times the load, with all the copies that callers send, there would be
little left. What the kernel throws away costs the node nothing. But more must come through than can be served, or the node has
nothing to do although many ask: so some are refused beside those that are let in, and how many is what is steered by.
"""

from __future__ import annotations

from typing import Final

from attrs import define

REFUSALS: Final = 0.15  # beside one request that is let in; bench/overload.py compares other shares
FEW, MANY = REFUSALS / 2, REFUSALS * 2  # within these nothing is changed
SPAN: Final = 0.4  # s that are counted together; a copy comes back after half a second at the earliest
LEAST: Final = 0.002
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
    _old: float = 0.0  # seconds in which what is seen came before the last change

    def feed(self, elapsed: float, admitted: int, refused: int, allowed: float, delay: float = 0.0) -> bool:
        """
        Take what was seen in C{elapsed} seconds.

        @param admitted: INVITEs that were let in; C{refused}: that were not, copies too.
        @param allowed: new requests a second that can be let in.
        @param delay: seconds that what is seen has waited.
        @return: whether C{passing} is another one now.
        """
        if self._old > 0.0:
            self._old = (
                min(self._old, delay) - elapsed
            )  # it waited in the buffer, and says nothing of the change
            return False
        self._elapsed += elapsed
        self._admitted += admitted
        self._refused += refused
        if self._elapsed < SPAN:
            return False
        let_in, turned_away = self._admitted / self._elapsed, self._refused / self._elapsed
        self._begin()
        seen, before = let_in + turned_away, self.passing
        if turned_away > MANY * allowed:
            self.passing = max(LEAST, before * max(FALL, (let_in + REFUSALS * allowed) / seen))
        elif turned_away < FEW * allowed and before < 1.0:
            wanted = (1.0 + REFUSALS) * allowed
            self.passing = min(1.0, before * (min(RISE, max(1.0, wanted / seen)) if seen else RISE))
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
        self._elapsed, self._admitted, self._refused, self._old = 0.0, 0, 0, 0.0
