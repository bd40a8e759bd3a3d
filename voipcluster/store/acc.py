"""The call records of a node, and those that wait for whoever is to have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import delete, func, insert, select
from twisted.internet.defer import Deferred

from voipcluster.store.database import Database
from voipcluster.store.tables import acc, acc_cdrs, missed_calls, outbox

Row = Mapping[str, Any]

TABLES = {table.name: table for table in (acc, acc_cdrs, missed_calls)}


class Waiting(NamedTuple):
    """One row that a consumer has not taken yet; C{body} is JSON."""

    id: int
    kind: str
    body: str


class CallLog:
    """The call records of this node, and those that wait for whoever wants them; a record is written to all at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(
        self, rows: Sequence[tuple[str, Row]], waiting: Iterable[tuple[str, str, str]]
    ) -> Deferred[None]:
        """
        @param rows: table and row of each.
        @param waiting: consumer, kind and JSON of each that somebody is to have.
        @return: fires when all of them are on the disk.
        """
        statements: list[Any] = []
        for name, table in TABLES.items():
            of_table = [dict(row) for kind, row in rows if kind == name]
            if of_table:
                statements.append((insert(table), of_table))
        queued = [{"consumer": consumer, "kind": kind, "body": body} for consumer, kind, body in waiting]
        if queued:
            statements.append((insert(outbox), queued))
        return self._database.write(*statements)

    def waiting(self, consumer: str, most: int) -> Deferred[list[Waiting]]:
        """The oldest rows that a consumer has not taken."""
        query = (
            select(outbox.c.id, outbox.c.kind, outbox.c.body)
            .where(outbox.c.consumer == consumer)
            .order_by(outbox.c.id)
            .limit(most)
        )
        return self._database.read(query).addCallback(lambda found: [Waiting(*row) for row in found])

    def taken(self, consumer: str, last: int) -> Deferred[None]:
        """A consumer has taken everything up to that one."""
        gone = delete(outbox).where(outbox.c.consumer == consumer, outbox.c.id <= last)
        return self._database.write((gone, None))

    def count_waiting(self) -> dict[str, int]:
        """How many rows wait for each consumer. Read at once, in the calling thread: for the start only."""
        query = select(outbox.c.consumer, func.count()).group_by(outbox.c.consumer)
        return dict(self._database.rows(query))

    def drop_oldest(self, consumer: str, count: int) -> Deferred[None]:
        """Give up rows that nobody has taken, since more of them are kept than may be."""
        oldest = select(outbox.c.id).where(outbox.c.consumer == consumer).order_by(outbox.c.id).limit(count)
        return self._database.write((delete(outbox).where(outbox.c.id.in_(oldest.scalar_subquery())), None))

    def forget(self, before: float) -> Deferred[None]:
        """Remove the records of calls that ended earlier; C{before} in unix seconds."""
        return self._database.write(
            (delete(acc).where(acc.c.time < before), None),
            (delete(missed_calls).where(missed_calls.c.time < before), None),
            (delete(acc_cdrs).where(acc_cdrs.c.end_time < before), None),
        )

    def calls(self, since: float, until: float, after: int, most: int) -> Deferred[list[dict[str, Any]]]:
        """
        Calls that ended from C{since} to C{until} (unix seconds), in the order in which they were written.

        @param after: the C{id} of the last one that is known already; 0 for the first page.
        """
        query = (
            select(acc_cdrs)
            .where(acc_cdrs.c.id > after, acc_cdrs.c.end_time >= since, acc_cdrs.c.end_time <= until)
            .order_by(acc_cdrs.c.id)
            .limit(most)
        )
        return self._database.read(query).addCallback(lambda found: [dict(row._mapping) for row in found])
