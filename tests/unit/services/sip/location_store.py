"""A store of registrations that the test holds in its hands."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from voipcluster.services.registrar.writebehind import ILocationStore, Key
from voipcluster.sip.location import Binding


@implementer(ILocationStore)
class FakeStore:
    """Rows in a dictionary; C{broken} makes writes fail, C{slow} keeps them waiting."""

    def __init__(self) -> None:
        self.rows: dict[Key, Binding] = {}
        self.broken = False
        self.slow: list[Deferred[None]] | None = None
        self.writes = 0

    def _done(self) -> Deferred[None]:
        self.writes += 1
        if self.slow is not None:
            self.slow.append(Deferred())
            return self.slow[-1]
        return fail(OSError("disk full")) if self.broken else succeed(None)

    def save(self, bindings: Sequence[Binding]) -> Deferred[None]:
        if not self.broken:
            self.rows |= {(b.aor, b.key): evolve(b, flow=None) for b in bindings}
        return self._done()

    def remove(self, keys: Sequence[Key]) -> Deferred[None]:
        for key in keys:
            self.rows.pop(key, None)
        return self._done()

    def load(self) -> Deferred[list[Binding]]:
        return succeed(list(self.rows.values()))
