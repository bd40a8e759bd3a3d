"""How many port pairs one user, and the callers of one address, may hold: nobody takes the whole relay for himself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from attrs import define, field

from voipcluster.media.ports import NoPorts


class Holder(NamedTuple):
    """Whom a port pair counts for. C{kind} is C{user} or C{address}."""

    kind: str
    name: str


class ShareTaken(NoPorts):
    """Somebody has as many ports as one may have; there may be free ones for others."""


@define
class Shares:
    """
    @ivar most: pairs of one holder, by kind; a kind that is missing has no limit.
    @ivar held: pairs by holder.
    """

    most: Mapping[str, int]
    held: Counter[Holder] = field(factory=Counter)

    def take(self, holders: tuple[Holder, ...]) -> None:
        """
        One pair more for each of these.

        @raise ShareTaken: for one of them it would be too many; then it counts for none.
        """
        for holder in holders:
            most = self.most.get(holder.kind)
            if most is not None and self.held[holder] >= most:
                raise ShareTaken(
                    f"{holder.kind} {holder.name} holds {most} pairs of media ports, and no more are granted"
                )
        self.held.update(holders)

    def adopt(self, holders: tuple[Holder, ...], pairs: int) -> None:
        """So many pairs are theirs from before, whatever the limits are now."""
        for holder in holders:
            self.held[holder] += pairs

    def give_back(self, holders: tuple[Holder, ...]) -> None:
        for holder in holders:
            left = self.held[holder] = self.held[holder] - 1
            if left <= 0:
                del self.held[holder]
