"""The gateways that are not in a file: in memory, and on the disk before a change counts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from voipcluster.balance import codec
from voipcluster.balance.messages import StoredGateway
from voipcluster.errors import PeerError
from voipcluster.store.database import Database, Statement
from voipcluster.store.tables import dispatcher

DISABLED, PROBED = 4, 8  # of the column flags
_APART = ("v", "password", "removed")  # what is not in the column attrs


class Gateways:
    """All of them; at the primary these are those of the cluster, elsewhere a copy."""

    _log = Logger()

    def __init__(self, database: Database, wall_clock: Callable[[], float] = time.time) -> None:
        self._database, self._wall_clock = database, wall_clock
        self._gateways: dict[str, StoredGateway] = {}
        for row in database.rows(select(dispatcher)):
            try:
                self._gateways[row.name] = _read(row.attrs, row.name, row.password)
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

    def put(self, *gateways: StoredGateway) -> Deferred[None]:
        """
        Add, replace or (C{removed}) remove gateways.

        @return: fires when they are on the disk and count from then on.
        """
        now = self._wall_clock()
        rows = [_row(gateway, now) for gateway in gateways if not gateway.removed]
        gone = [gateway.name for gateway in gateways if gateway.removed]
        statements: list[Statement] = []
        if gone:
            statements.append((delete(dispatcher).where(dispatcher.c.name.in_(gone)), None))
        if rows:
            statement = insert(dispatcher)
            changed = {name: statement.excluded[name] for name in rows[0] if name != "name"}
            statements.append((statement.on_conflict_do_update(index_elements=["name"], set_=changed), rows))

        def count(_: None) -> None:
            for gateway in gateways:
                if gateway.removed:
                    self._gateways.pop(gateway.name, None)
                else:
                    self._gateways[gateway.name] = gateway

        return self._database.write(*statements).addCallback(count)

    def keep_only(self, names: Iterable[str]) -> Deferred[None]:
        """Remove all but those."""
        gone = self._gateways.keys() - set(names)
        return self.put(*(StoredGateway(name=name, removed=True) for name in gone))


def _read(attrs: str, name: str, password: str) -> StoredGateway:
    """@raise ValueError: not JSON; L{PeerError}: not a gateway."""
    table: Mapping[str, Any] = json.loads(attrs)
    if not isinstance(table, dict):
        raise ValueError("attrs is not a JSON object")
    gateway: StoredGateway = codec.decode("gateway", {**table, "name": name, "password": password})
    return gateway


def _row(gateway: StoredGateway, now: float) -> dict[str, object]:
    table = codec.encode(gateway)
    scheme = "sips" if gateway.transport == "tls" else "sip"
    transport = "" if gateway.transport in ("udp", "tls") else f";transport={gateway.transport}"
    return {
        "name": gateway.name,
        "setid": 1,
        "destination": " ".join(f"{scheme}:{server}{transport}" for server in gateway.servers),
        "flags": (0 if gateway.enabled else DISABLED) | (PROBED if gateway.probe else 0),
        "priority": 0,
        "attrs": json.dumps({key: value for key, value in table.items() if key not in _APART}),
        "description": gateway.kind,
        "password": gateway.password,
        "last_modified": now,
    }
