"""
What strangers may take of a node: who proved no password, is not trusted, and belongs to no node.

A rate for each source does not bound what many sources hold together. A request to a phone that answers nothing holds two
transactions for 64*T1, so a few a second of each of many sources fill any table. Hence strangers stop before the others do,
and one of them may wait for no more than so many answers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from attrs import define, field, frozen

HARD: Final = 1.0  # from this share on strangers are refused only when everybody is

Key = TypeVar("Key", bound=Hashable)


@frozen(kw_only=True)
class StrangerSettings:
    """
    @ivar share: workload (of transactions, for INVITE also of calls) from which on strangers are refused; what is left up to
        the hard limit is for those who are known. L{HARD}: strangers are served like anybody.
    @ivar unanswered: requests other than INVITE of one address that wait for their answer; 0 is any number.
    """

    share: float = 0.75
    unanswered: int = 200


@define
class Strangers(Generic[Key]):
    """
    Counts what strangers wait for, without being told when an answer comes: who has as many as allowed is looked at again.

    @param is_pending: whether a request, by the key of its transaction, still waits for its final response.
    """

    settings: StrangerSettings
    _is_pending: Callable[[Key], bool]
    _waiting: dict[str, list[Key]] = field(factory=dict)

    def has_room(self, share: float) -> bool:
        """Whether one more request of a stranger is served at that workload."""
        return share < self.settings.share or self.settings.share >= HARD

    def may_wait(self, source: str) -> bool:
        """Whether an address (or IPv6 /64) may wait for one more answer."""
        waiting = self._waiting.get(source)
        most = self.settings.unanswered
        if waiting is None or not most or len(waiting) < most:
            return True
        waiting[:] = filter(self._is_pending, waiting)
        return len(waiting) < most

    def waits(self, source: str, key: Key) -> None:
        """A request of that address is under way."""
        if self.settings.unanswered:
            self._waiting.setdefault(source, []).append(key)

    def sweep(self) -> None:
        """Forget what was answered; to be called every few seconds."""
        for source, waiting in list(self._waiting.items()):
            waiting[:] = filter(self._is_pending, waiting)
            if not waiting:
                del self._waiting[source]

    def __len__(self) -> int:
        """The addresses that are kept."""
        return len(self._waiting)
