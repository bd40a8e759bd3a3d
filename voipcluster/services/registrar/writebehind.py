"""Bindings on their way to the store: collected for a moment, written in one go, tried again when the store fails."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import Interface

from voipcluster.sip.location import Binding

WRITE_DELAY = 1.0  # s that changes wait for company
RETRY_DELAY = 5.0  # s after the store failed

Key = tuple[str, str]  # Binding.aor, Binding.key


class ILocationStore(Interface):
    """
    Where the bindings of this node outlive the process. Times are unix seconds; C{Binding.flow} is not kept.
    """

    def save(bindings: Sequence[Binding]) -> Deferred[None]:
        """Add rows, or replace those of the same C{aor} and C{key}."""

    def remove(keys: Sequence[Key]) -> Deferred[None]:
        """Remove the rows with these C{(aor, key)}; unknown ones are passed over."""

    def load() -> Deferred[list[Binding]]:
        """All rows."""


class WriteBehind:
    """Only the latest state of a binding is written; what came while the store was busy goes with the next write."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, store: ILocationStore) -> None:
        self._clock, self._store = clock, store
        self._changed: dict[Key, Binding | None] = {}  # None: removed
        self._call: IDelayedCall | None = None
        self._writing = self._stopped = False
        self._waiting: list[Deferred[None]] = []  # who stopped us while we wrote

    def put(self, binding: Binding) -> None:
        self._note((binding.aor, binding.key), binding)

    def removed(self, binding: Binding) -> None:
        self._note((binding.aor, binding.key), None)

    def load(self) -> Deferred[list[Binding]]:
        return self._store.load()

    def stop(self) -> Deferred[None]:
        """Write what is left, once; the returned Deferred never fails."""
        self._stopped = True
        if self._call is not None:
            self._call.cancel()
            self._call = None
        done: Deferred[None] = Deferred()
        if self._writing:
            self._waiting.append(done)
        else:
            self._write().chainDeferred(done)
        return done

    def _note(self, key: Key, binding: Binding | None) -> None:
        self._changed[key] = binding
        self._schedule(WRITE_DELAY)

    def _schedule(self, delay: float) -> None:
        if self._changed and self._call is None and not self._writing and not self._stopped:
            self._call = self._clock.callLater(delay, self._due)

    def _due(self) -> None:
        self._call = None
        self._write()

    @inlineCallbacks
    def _write(self) -> Generator[Deferred[None], None, None]:
        """Hand all that changed to the store; never fails, what could not be written waits for the next time."""
        changed, self._changed = self._changed, {}
        delay = WRITE_DELAY
        self._writing = True
        try:
            saved = [binding for binding in changed.values() if binding is not None]
            gone = [key for key, binding in changed.items() if binding is None]
            if saved:
                yield self._store.save(saved)
            if gone:
                yield self._store.remove(gone)
        except Exception:
            self._log.failure("{count} changed registrations could not be stored", count=len(changed))
            self._changed = changed | self._changed
            delay = RETRY_DELAY
        self._writing = False
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            self._write().chainDeferred(done)
        self._schedule(delay)
