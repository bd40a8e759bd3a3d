"""The gateways that are not in a file: in memory, and on the disk before a change counts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve
from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from voipcluster.balance import codec
from voipcluster.balance.messages import StoredGateway
from voipcluster.errors import PeerError
from voipcluster.gateway.dispatcher import DISABLED, PROBED
from voipcluster.store.database import Database, Statement
from voipcluster.store.tables import dispatcher
from voipcluster.store.versions import Versions

_APART = ("v", "password", "removed", "version", "new")  # what is not in the column attrs


class Gateways:
    """
    All of them; at the primary these are those of the cluster, elsewhere a copy.

    @param shared: whether the shared database has them too.
    @ivar versions: of each gateway.
    """

    _log = Logger()

    def __init__(
        self, database: Database, wall_clock: Callable[[], float] = time.time, shared: bool = False
    ) -> None:
        self._database, self._wall_clock = database, wall_clock
        self.versions: Versions[str, StoredGateway] = Versions(
            "gateway", database, wall_clock, _name_of, _name_of, lambda text: text, shared
        )
        self._gateways: dict[str, StoredGateway] = {}
        for row in database.rows(select(dispatcher)):
            try:
                gateway = evolve(_read(row.attrs, row.name, row.password), version=row.version)
                self._gateways[row.name] = gateway
                self.versions.known[row.name] = row.version
            except (ValueError, RecursionError, PeerError) as error:
                # somebody has edited it: the others are served all the same
                self._log.error(
                    "{path}: table dispatcher, gateway {name}: {error}; it is left out",
                    path=database.path,
                    name=row.name,
                    error=str(error),
                )

    def __iter__(self) -> Iterator[StoredGateway]:
        return iter(list(self._gateways.values()))

    def get(self, name: str) -> StoredGateway | None:
        return self._gateways.get(name)

    def with_removed(self) -> Iterator[StoredGateway]:
        """All of them, and those that are gone, as far as that is remembered."""
        yield from self
        for name, version in list(self.versions.removed.items()):
            yield StoredGateway(name=name, removed=True, version=version)

    def stamped(self, gateway: StoredGateway) -> StoredGateway:
        """A change that is decided on now."""
        return evolve(gateway, version=self.versions.next(gateway.name), new=False)

    def put(self, *given: StoredGateway, also: Sequence[Statement] = ()) -> Deferred[None]:
        """
        Add, replace or (C{removed}) remove gateways; what is older than the one that is known changes nothing.

        @param also: is written in the same transaction.
        @return: fires when they are on the disk and count from then on.
        """
        gateways = self.versions.take(given)
        now = self._wall_clock()
        rows = [_row(gateway, now) for gateway in gateways if not gateway.removed]
        gone = [gateway.name for gateway in gateways if gateway.removed]
        statements: list[Statement] = [*also, *self.versions.statements(gateways)]
        if gone:
            statements.append((delete(dispatcher).where(dispatcher.c.name.in_(gone)), None))
        if rows:
            statement = insert(dispatcher)
            changed = {name: statement.excluded[name] for name in rows[0] if name != "name"}
            statements.append((statement.on_conflict_do_update(index_elements=["name"], set_=changed), rows))

        def count(_: None) -> None:
            self.versions.stored(gateways)
            for gateway in gateways:
                if gateway.removed:
                    self._gateways.pop(gateway.name, None)
                else:
                    self._gateways[gateway.name] = gateway

        written = self._database.write(*statements)
        return written.addCallbacks(count, self.versions.not_stored, errbackArgs=(gateways,))

    def keep_only(self, names: Iterable[str]) -> Deferred[None]:
        """Remove all but those."""
        gone = self._gateways.keys() - set(names)
        return self.put(*(StoredGateway(name=name, removed=True) for name in gone))


def _name_of(gateway: StoredGateway) -> str:
    return gateway.name


def _read(attrs: str, name: str, password: str) -> StoredGateway:
    """@raise ValueError: not JSON; L{PeerError}: not a gateway."""
    table: Mapping[str, Any] = json.loads(attrs)
    if not isinstance(table, dict):
        raise ValueError("attrs is not a JSON object")
    gateway: StoredGateway = codec.decode("gateway", {**table, "name": name, "password": password})
    return gateway


def destination_of(gateway: StoredGateway) -> str:
    """Its servers as SIP URIs with blanks between them."""
    transport = "" if gateway.transport == "udp" else f";transport={gateway.transport}"
    return " ".join(f"sip:{server}{transport}" for server in gateway.servers)


def _row(gateway: StoredGateway, now: float) -> dict[str, object]:
    table = codec.encode(gateway)
    return {
        "name": gateway.name,
        "setid": 1,
        "destination": destination_of(gateway),
        "flags": (0 if gateway.enabled else DISABLED) | (PROBED if gateway.probe else 0),
        "priority": 0,
        "attrs": json.dumps({key: value for key, value in table.items() if key not in _APART}),
        "description": gateway.kind,
        "password": gateway.password,
        "last_modified": now,
        "version": gateway.version,
    }
