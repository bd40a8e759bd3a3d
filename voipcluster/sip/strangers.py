"""
What strangers may take of a node: who proved no password, is not trusted, and belongs to no node.

A rate for each source does not bound what many sources hold together. A request to a phone that answers nothing holds two
transactions for 64*T1, so a few a second of each of many sources fill any table, and the memory that they need at their height
is not given back (C{docs/security.md}). Hence strangers stop before the others do, and wait for so many answers and no more,
each address and all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from attrs import define, field, frozen

HARD: Final = 1.0  # from this share on strangers are refused only when everybody is
_SPARSE: Final = 20  # a look at all that wait comes at most once for a twentieth of them

Key = TypeVar("Key", bound=Hashable)


@frozen(kw_only=True)
class StrangerSettings:
    """
    @ivar share: workload (of transactions, for INVITE also of calls) from which on strangers are refused; what is left up to
        the hard limit is for those who are known. L{HARD}: strangers are served like anybody.
    @ivar unanswered: requests other than INVITE of one address that wait for their answer; 0 is any number.
    @ivar unanswered_in_all: requests of all strangers that wait for theirs; 0 is any number.
    """

    share: float = 0.75
    unanswered: int = 200
    unanswered_in_all: int = 1000


@define
class Strangers(Generic[Key]):
    """
    Counts what strangers wait for, without being told when an answer comes: when there are as many as allowed, they are
    looked at again.

    @param is_pending: whether a request, by the key of its transaction, still waits for its final response.
    """

    settings: StrangerSettings
    _is_pending: Callable[[Key], bool]
    _waiting: dict[str, list[Key]] = field(factory=dict)
    _in_all: int = 0
    _in_vain: int = 0  # how often all of them were asked for since they were looked at

    def has_room(self, share: float) -> bool:
        """Whether one more request of a stranger is served at that workload."""
        return share < self.settings.share or self.settings.share >= HARD

    def may_wait(self, source: str) -> bool:
        """Whether an address (or IPv6 /64) may wait for one more answer."""
        waiting = self._waiting.get(source)
        most = self.settings.unanswered
        if waiting is None or not most or len(waiting) < most:
            return True
        self._look_at(waiting)
        return len(waiting) < most

    def may_all_wait(self) -> bool:
        """Whether strangers may wait for one more answer in all."""
        most = self.settings.unanswered_in_all
        if not most or self._in_all < most:
            return True
        self._in_vain += 1
        # looking at all of them for each request of a flood would cost more than the flood
        if self._in_vain * _SPARSE >= most:
            self.sweep()
        return self._in_all < most

    def waits(self, source: str, key: Key) -> None:
        """A request of that address is under way; an empty one for what C{may_wait} does not bound."""
        self._waiting.setdefault(source, []).append(key)
        self._in_all += 1

    def sweep(self) -> None:
        """Forget what was answered; to be called every few seconds."""
        self._in_vain = 0
        for source, waiting in list(self._waiting.items()):
            self._look_at(waiting)
            if not waiting:
                del self._waiting[source]

    def _look_at(self, waiting: list[Key]) -> None:
        before = len(waiting)
        waiting[:] = filter(self._is_pending, waiting)
        self._in_all -= before - len(waiting)

    def __len__(self) -> int:
        """The addresses that are kept."""
        return len(self._waiting)
