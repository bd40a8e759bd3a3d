"""What other nodes were asked and will not answer any more, because they have ended or are silent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from voipcluster.errors import TransportError
from voipcluster.services.transaction.transactions import ClientTransaction


class LostNodes:
    """
    Ends the client transactions to nodes that are gone, so that their callers hear of it, or the next node is asked.

    Else a caller waits for Timer B or F, half a minute, and behind a provisional response for Timer C, three minutes.
    A link that breaks is not enough for that: a call may go on ringing at a node which is there.

    @param towards: the client transactions to a node.
    """

    def __init__(self, towards: Callable[[str], Sequence[ClientTransaction]]) -> None:
        self._towards = towards
        self._before: dict[str, Sequence[ClientTransaction]] = {}  # open when the link was lost
        self._silent: set[str] = set()

    def link_lost(self, name: str) -> None:
        """Whether the node has ended is not known yet."""
        self._before[name] = self._towards(name)

    def heard(self, name: str, restarted: bool) -> None:
        """A report came. A node that has started anew knows nothing of what it was asked before."""
        self._silent.discard(name)
        before = self._before.pop(name, None)
        if restarted:
            # a machine that was off for a moment is heard again before its link is known to be broken
            _end(self._towards(name) if before is None else before, f"node {name} was started anew")

    def silent(self, name: str) -> None:
        """No report came for so long that nothing else can be hoped for; to be told as often as one likes."""
        if name not in self._silent:
            self._silent.add(name)
            self._before.pop(name, None)
            _end(self._towards(name), f"node {name} is silent")

    def forget(self, name: str) -> None:
        """It is no member any more."""
        self._silent.discard(name)
        self._before.pop(name, None)


def _end(transactions: Sequence[ClientTransaction], reason: str) -> None:
    error = TransportError(reason)
    for transaction in transactions:
        transaction.lose(error)
