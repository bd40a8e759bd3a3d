"""What was unregistered: remembered, so that a node which was away does not bring an old copy of it back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from voipcluster.sip.location import Binding, binding_key

MARGIN: Final = 5.0  # seconds that news of two nodes may overtake each other


@frozen(slots=True)
class Removal:
    """
    The end of one binding, with all older states of it.

    @ivar call_id: and C{cseq}: those of the state that was ended. C{at}: seconds, when the REGISTER came that ended it; for a
        lost flow, when the one came that had made it.
    """

    aor: str
    contact: str
    instance: str
    reg_id: int
    call_id: str
    cseq: int
    at: float

    @property
    def key(self) -> tuple[str, str]:
        return self.aor, binding_key(self.contact, self.instance, self.reg_id)

    def ends(self, binding: Binding) -> bool:
        """Whether a binding that is in the table is one of those states; what another phone registered since is not."""
        if binding.call_id == self.call_id:
            return binding.cseq <= self.cseq and binding.registered_at <= self.at + MARGIN
        return binding.registered_at < self.at - MARGIN

    def covers(self, binding: Binding) -> bool:
        """Whether a binding that a node tells of is an old copy. A phone that starts anew may count CSeq from 1 again."""
        if binding.registered_at >= self.at:
            return False
        return binding.call_id != self.call_id or binding.cseq <= self.cseq


class Removals:
    """
    The removals of the last C{lifetime} seconds, which is the longest time that any copy of a binding can live.

    @param size: at most so many; the oldest ones are forgotten first.
    """

    def __init__(self, lifetime: float, size: int = 20_000) -> None:
        self._lifetime, self._size = lifetime, size
        self._found: OrderedDict[tuple[str, str], Removal] = OrderedDict()

    def live_for(self, lifetime: float) -> None:
        """Copies may live longer from now on; not shorter, for there are old ones."""
        self._lifetime = max(self._lifetime, lifetime)

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Removal]:
        return iter(list(self._found.values()))

    def note(self, removal: Removal, now: float) -> None:
        known = self._found.pop(removal.key, None)
        self._found[removal.key] = removal if known is None or removal.at >= known.at else known
        if len(self._found) > self._size:
            self._found.popitem(last=False)
        while self._found and next(iter(self._found.values())).at + self._lifetime <= now:
            self._found.popitem(last=False)

    def of(self, aor: str, key: str) -> Removal | None:
        """The last removal of a binding; C{key} as in L{Binding.key}."""
        return self._found.get((aor, key))

    def covers(self, binding: Binding) -> bool:
        """Whether a binding that a node tells of was removed since."""
        removal = self._found.get((binding.aor, binding.key))
        return removal is not None and removal.covers(binding)
