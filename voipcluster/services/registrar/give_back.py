"""Registrations that another node holds and did not name: offered to it, since it may have lost them in a crash."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable

from twisted.internet.defer import Deferred, inlineCallbacks

from voipcluster.errors import PeerError
from voipcluster.sip.location import Binding


class GiveBack:
    """
    One offer at a time to each node. What could not be told waits until the link is up.

    @param wanted: whether a binding is still as it was: what was told anew meanwhile needs no offer.
    @param offer: tells its node of a binding, and gives whether it was news there; fails with L{PeerError} when it was not told.
    @param not_taken: told of those that their node does not want.
    """

    def __init__(
        self,
        wanted: Callable[[Binding], bool],
        offer: Callable[[Binding], Deferred[bool]],
        not_taken: Callable[[Binding], object],
    ) -> None:
        self._wanted, self._offer, self._not_taken = wanted, offer, not_taken
        self._left: dict[str, deque[Binding]] = {}
        self._offering: set[str] = set()

    def begin(self, node: str, unnamed: Iterable[Binding]) -> None:
        """The node has told all that it holds, and these were not among it."""
        self._left[node] = deque(unnamed)
        self.go_on(node)

    def go_on(self, node: str) -> None:
        """Offer what is left; to be called when the link to the node is up."""
        if node not in self._offering and self._left.get(node):
            self._offering.add(node)
            offered = self._offer_all(node).addErrback(lambda failure: failure.trap(PeerError))
            offered.addBoth(lambda result: self._ended(node, result))

    def _ended(self, node: str, result: object) -> object:
        self._offering.discard(node)
        return result

    def forget(self, node: str) -> None:
        """It is no member any more."""
        self._left.pop(node, None)

    @inlineCallbacks
    def _offer_all(self, node: str) -> Generator[Deferred[bool], bool, None]:
        while left := self._left.get(node):
            binding = left[0]
            if self._wanted(binding):
                taken = yield self._offer(binding)
                if not taken and self._wanted(binding):
                    self._not_taken(binding)
            if left and left[0] is binding:
                left.popleft()
