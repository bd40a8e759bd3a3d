"""
Accounts and gateways in the shared database: what has changed there is read, and what the cluster has decided is written.

Every row has the transaction that changed it last (C{changed}). A reading begins at the oldest transaction that was not over at
the reading before, so that nothing is missed that was committed out of order; what is read twice changes nothing then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from attrs import Factory, define
from sqlalchemy import Connection, bindparam, delete, func, select, tuple_
from twisted.internet.defer import Deferred

from voipcluster.balance.messages import Account, StoredGateway
from voipcluster.errors import UsageError
from voipcluster.store.accounts import account_key, key_of_text
from voipcluster.store.directory_rows import (
    ISeal,
    account_of,
    address_rows,
    dispatcher_row,
    gateway_of,
    preference_rows,
    subscriber_row,
    texts_of,
)
from voipcluster.store.shared import SharedDatabase
from voipcluster.store.tables import address, dispatcher, removed_rows, subscriber, usr_preferences
from voipcluster.store.triggers import WRITER
from voipcluster.store.versions import REMEMBERED

ACCOUNT, GATEWAY = "account", "gateway"  # as on the link
_SOME = 500  # keys in one statement

Key = tuple[str, str] | str
Value = Account | StoredGateway


class Known(NamedTuple):
    """The version of each value that the node has, or that it knows to be gone."""

    accounts: Mapping[tuple[str, str], int]
    gateways: Mapping[str, int]


@define
class Reading:
    """
    What the database says.

    @ivar floor: where the next reading begins.
    @ivar whole: all rows were read, not only those that have changed.
    @ivar accounts: and C{gateways}: that are newer than what was known; C{removed} ones among them.
    @ivar read: kind and key of each row that was read, C{faults}: what is wrong with some of them.
    @ivar strays: tags of addresses that name no gateway.
    @ivar behind: kind and key of what the database has older than known, or not at all; of a whole reading.
    """

    floor: int
    whole: bool
    accounts: list[Account] = Factory(list)
    gateways: list[StoredGateway] = Factory(list)
    read: set[tuple[str, Key]] = Factory(set)
    faults: dict[tuple[str, Key], str] = Factory(dict)
    strays: list[str] = Factory(list)
    behind: list[tuple[str, Key]] = Factory(list)


class SharedDirectory:
    """
    @param domains: of the cluster; users of others are faults.
    @param seal: for passwords of gateways.
    """

    def __init__(
        self,
        database: SharedDatabase,
        domains: Collection[str],
        seal: ISeal,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._database, self._domains, self._seal, self._wall_clock = database, domains, seal, wall_clock

    def read(self, floor: int | None, known: Known) -> Deferred[Reading]:
        """
        @param floor: of the reading before; L{None}: read everything.
        @param known: is read in another thread, so it is not to change.
        """
        return self._database.transact(partial(self._read, floor, known), snapshot=True)

    def write(self, values: Sequence[Value]) -> Deferred[None]:
        """Values that were decided on, removed ones among them; those that the database has newer change nothing."""
        return self._database.transact(partial(self._write, values))

    # -- in the thread

    def _read(self, floor: int | None, known: Known, connection: Connection) -> Reading:
        next_floor = connection.execute(
            select(func.txid_snapshot_xmin(func.txid_current_snapshot()))
        ).scalar_one()
        # a server that was made anew counts its transactions anew
        whole = floor is None or next_floor < floor
        reading = Reading(next_floor, whole)
        since = 0 if whole or floor is None else floor
        self._read_accounts(connection, since, known.accounts, reading)
        self._read_gateways(connection, since, known.gateways, reading)
        self._read_removed(connection, since, known, reading)
        if whole:
            in_database = reading.read
            for key, version in known.accounts.items():
                if version and (ACCOUNT, key) not in in_database:
                    reading.behind.append((ACCOUNT, key))
            for name, version in known.gateways.items():
                if version and (GATEWAY, name) not in in_database:
                    reading.behind.append((GATEWAY, name))
        return reading

    def _read_accounts(
        self, connection: Connection, since: int, known: Mapping[tuple[str, str], int], reading: Reading
    ) -> None:
        rows = connection.execute(select(subscriber).where(subscriber.c.changed >= since)).all()
        fresh = []
        for row in rows:
            key = row.username, row.domain
            reading.read.add((ACCOUNT, key))
            version = known.get(key)
            if version is None or row.version > version:
                fresh.append(row)
            elif row.version < version:
                reading.behind.append((ACCOUNT, key))
        wanted = self._preferences(connection, [(row.username, row.domain) for row in fresh])
        for row in fresh:
            key = row.username, row.domain
            try:
                reading.accounts.append(account_of(row, wanted.get(key, ()), self._domains))
            except UsageError as error:
                reading.faults[ACCOUNT, key] = str(error)

    def _preferences(
        self, connection: Connection, keys: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], list[tuple[str, str]]]:
        if len(keys) > 10 * _SOME:
            return texts_of(connection.execute(select(usr_preferences)))
        owner = tuple_(usr_preferences.c.username, usr_preferences.c.domain)
        found: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for some in _batches(keys):
            found.update(texts_of(connection.execute(select(usr_preferences).where(owner.in_(some)))))
        return found

    def _read_gateways(
        self, connection: Connection, since: int, known: Mapping[str, int], reading: Reading
    ) -> None:
        owners = select(dispatcher.c.name)
        reading.strays = sorted(
            connection.execute(select(address.c.tag).distinct().where(address.c.tag.not_in(owners))).scalars()
        )
        rows = connection.execute(select(dispatcher).where(dispatcher.c.changed >= since)).all()
        if not rows:
            return
        sources: dict[str, list[Any]] = {}
        for row in connection.execute(select(address)):
            sources.setdefault(row.tag, []).append(row)
        for row in rows:
            reading.read.add((GATEWAY, row.name))
            version = known.get(row.name)
            if version is not None and row.version < version:
                reading.behind.append((GATEWAY, row.name))
            elif version is None or row.version > version:
                try:
                    reading.gateways.append(gateway_of(row, sources.get(row.name, ()), self._seal))
                except UsageError as error:
                    reading.faults[GATEWAY, row.name] = str(error)

    def _read_removed(self, connection: Connection, since: int, known: Known, reading: Reading) -> None:
        for row in connection.execute(select(removed_rows).where(removed_rows.c.changed >= since)):
            if row.kind == ACCOUNT:
                key = key_of_text(row.key)
                if row.version > known.accounts.get(key, 0):
                    gone = Account(username=key[0], domain=key[1], removed=True, version=row.version)
                    reading.accounts.append(gone)
                reading.read.add((ACCOUNT, key))
            elif row.kind == GATEWAY:
                if row.version > known.gateways.get(row.key, 0):
                    reading.gateways.append(StoredGateway(name=row.key, removed=True, version=row.version))
                reading.read.add((GATEWAY, row.key))

    def _write(self, values: Sequence[Value], connection: Connection) -> None:
        connection.exec_driver_sql(WRITER)
        now = self._wall_clock()
        accounts = [value for value in values if isinstance(value, Account)]
        gateways = [value for value in values if isinstance(value, StoredGateway)]
        for some in _batches(accounts):
            self._write_accounts(connection, some, now)
        for few in _batches(gateways):
            self._write_gateways(connection, few, now)
        connection.execute(delete(removed_rows).where(removed_rows.c.removed_at < now - REMEMBERED))

    def _write_accounts(self, connection: Connection, accounts: Sequence[Account], now: float) -> None:
        keys = [account_key(account) for account in accounts]
        owner = tuple_(subscriber.c.username, subscriber.c.domain)
        versions = (
            select(subscriber.c.username, subscriber.c.domain, subscriber.c.version)
            .where(owner.in_(keys))
            .with_for_update()
        )
        there = {f"{row.username}@{row.domain}": row.version for row in connection.execute(versions)}
        newer = _newer(connection, ACCOUNT, {"@".join(account_key(one)): one for one in accounts}, there)
        if not newer:
            return
        gone = [account_key(one) for one in newer if one.removed and "@".join(account_key(one)) in there]
        _remove(
            connection, ACCOUNT, {"@".join(account_key(one)): one for one in newer if one.removed},
            delete(subscriber).where(owner.in_(gone)), now,
        )  # fmt: skip
        kept = [one for one in newer if not one.removed]
        if kept:
            names = ("ha1", "ha1_sha256", "ha1b", "disabled", "last_modified", "version")
            _put(connection, ACCOUNT, subscriber, names, [subscriber_row(one, now) for one in kept])
            stored = {(row.username, row.domain): row.version for row in connection.execute(versions)}
            kept = [one for one in kept if stored.get(account_key(one)) == max(1, one.version)]
        # of rows that are locked now: what belongs to a newer one that came meanwhile stays
        changed = [*gone, *map(account_key, kept)]
        wanted = tuple_(usr_preferences.c.username, usr_preferences.c.domain)
        connection.execute(delete(usr_preferences).where(wanted.in_(changed)))
        preferences = [row for one in kept for row in preference_rows(one, now)]
        if preferences:
            connection.execute(
                _upsert(usr_preferences, ["username", "domain", "attribute"], ("value", "last_modified")),
                preferences,
            )

    def _write_gateways(self, connection: Connection, gateways: Sequence[StoredGateway], now: float) -> None:
        names = [gateway.name for gateway in gateways]
        versions = (
            select(dispatcher.c.name, dispatcher.c.version)
            .where(dispatcher.c.name.in_(names))
            .with_for_update()
        )
        there = {row.name: row.version for row in connection.execute(versions)}
        newer = _newer(connection, GATEWAY, {one.name: one for one in gateways}, there)
        if not newer:
            return
        gone = [one.name for one in newer if one.removed and one.name in there]
        _remove(
            connection, GATEWAY, {one.name: one for one in newer if one.removed},
            delete(dispatcher).where(dispatcher.c.name.in_(gone)), now,
        )  # fmt: skip
        kept = [one for one in newer if not one.removed]
        if kept:
            written = [dispatcher_row(one, now, self._seal) for one in kept]
            # what others keep in setid, priority and description is theirs
            options = ("destination", "flags", "attrs", "password", "last_modified", "version")
            _put(connection, GATEWAY, dispatcher, options, written)
            stored = {row.name: row.version for row in connection.execute(versions)}
            kept = [one for one in kept if stored.get(one.name) == max(1, one.version)]
        # as with accounts
        changed = [*gone, *(one.name for one in kept)]
        connection.execute(delete(address).where(address.c.tag.in_(changed)))
        sources = [row for one in kept for row in address_rows(one)]
        if sources:
            connection.execute(_insert(address), sources)


def _newer(
    connection: Connection, kind: str, values: Mapping[str, Any], there: Mapping[str, int]
) -> list[Any]:
    """Those of the values that are newer than their rows, and than what is known to be gone."""
    of_kind = removed_rows.c.kind == kind
    gone = connection.execute(
        select(removed_rows.c.key, removed_rows.c.version).where(of_kind, removed_rows.c.key.in_(values))
    )
    newest = {**there}
    for key, version in gone:
        newest[key] = max(version, newest.get(key, 0))
    return [value for key, value in values.items() if max(1, value.version) > newest.get(key, 0)]


def _remove(connection: Connection, kind: str, values: Mapping[str, Any], statement: Any, now: float) -> None:
    if not values:
        return
    connection.execute(statement)
    rows = [
        {
            "kind": kind, "key": key, "version": max(1, value.version), "removed_at": now,
            "changed": func.txid_current(),
        }
        for key, value in values.items()
    ]  # fmt: skip
    for row in rows:
        connection.execute(
            _insert(removed_rows)
            .values(**row)
            .on_conflict_do_update(
                index_elements=["kind", "key"],
                set_={
                    "version": func.greatest(removed_rows.c.version, row["version"]),
                    "removed_at": row["removed_at"],
                    "changed": row["changed"],
                },
            )
        )


def _insert(table: Any) -> Any:
    # imported late: most nodes have no PostgreSQL, and no need of what SQLAlchemy knows of it
    from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415 - see above

    return insert(table)


def _upsert(table: Any, keys: Sequence[str], names: Iterable[str]) -> Any:
    statement = _insert(table)
    return statement.on_conflict_do_update(
        index_elements=list(keys), set_={name: statement.excluded[name] for name in names}
    )


def _put(
    connection: Connection, kind: str, table: Any, names: Iterable[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    """
    Insert rows, or update what has an older version: what somebody else has made or removed since it was looked for stays when
    it is newer, since no lock could hold what was not there.
    """
    bound = {name: bindparam(f"of_{name}", type_=table.c[name].type) for name in rows[0]}
    keys = [column.name for column in table.primary_key]
    key = bound[keys[0]] if len(keys) == 1 else bound[keys[0]] + "@" + bound[keys[1]]
    gone = select(removed_rows.c.key).where(
        removed_rows.c.kind == kind, removed_rows.c.key == key, removed_rows.c.version >= bound["version"]
    )
    statement = _insert(table).from_select([*bound], select(*bound.values()).where(~gone.exists()))
    statement = statement.on_conflict_do_update(
        index_elements=keys,
        set_={name: statement.excluded[name] for name in names},
        where=table.c.version < statement.excluded.version,
    )
    connection.execute(statement, [{f"of_{name}": value for name, value in row.items()} for row in rows])


def _batches(values: Sequence[Any]) -> Iterator[list[Any]]:
    left = iter(values)
    while some := list(islice(left, _SOME)):
        yield some
