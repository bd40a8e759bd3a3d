"""What a node waits for before it reads its first SIP message: what the others know."""

from __future__ import annotations

from collections.abc import Callable, Collection

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

PATIENCE = 2.0  # seconds; who is down sends nothing, and on a slow link a large cluster takes longer


class FirstCopies:
    """
    The registrations that other nodes hold, and the accounts of the primary, come over the cluster link when a node starts. Until
    then it would tell callers that there is no such user (404). What comes meanwhile waits in its sockets.

    @param missing: names the members whose copies are wanted; looked at when the wait begins and whenever one has come.
    """

    def __init__(self, missing: Callable[[Collection[str]], Collection[str]]) -> None:
        self._missing = missing
        self._come: set[str] = set()
        self._waiting: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None

    def wait(self, clock: IReactorTime) -> Deferred[None]:
        """Fires when nothing is missing, or after L{PATIENCE}."""
        waiting: Deferred[None] = Deferred()
        self._waiting = waiting
        if self._missing(self._come):
            self._timer = clock.callLater(PATIENCE, self.end)
        else:
            self.end()
        return waiting

    def came(self, what: str) -> None:
        """A copy is complete."""
        self._come.add(what)
        if self._waiting is not None and not self._missing(self._come):
            self.end()

    def end(self) -> None:
        """Wait no longer; harmless when nobody does."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
