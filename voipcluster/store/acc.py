"""The call records of a node, and those that wait for whoever is to have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from sys import intern
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, select
from twisted.internet.defer import Deferred

from voipcluster.store.database import Database, Rows
from voipcluster.store.tables import acc_cdrs, acc_tried, outbox

Row = Mapping[str, Any]


# plain and interned, as the keys of a row are, so that each is found without being compared, which a C{quoted_name} makes slow
COLUMNS = tuple(intern(str(column.name)) for column in acc_cdrs.columns if column.name != "id")
_values = itemgetter(*COLUMNS)
# as the driver takes them: SQLAlchemy's own binding of 25 columns costs a call more than all the rest of its record
_INSERT = f"INSERT OR IGNORE INTO acc_cdrs ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
TRIED_COLUMNS = tuple(intern(str(column.name)) for column in acc_tried.columns)
_values_tried = itemgetter(*TRIED_COLUMNS)
_TRIED = f"INSERT OR IGNORE INTO acc_tried ({', '.join(TRIED_COLUMNS)}) VALUES ({', '.join('?' * len(TRIED_COLUMNS))})"
_QUEUE = "INSERT INTO outbox (consumer, body) VALUES (?, ?)"


class Waiting(NamedTuple):
    """One row of C{acc_cdrs} that a consumer has not taken yet; C{body} is JSON."""

    id: int
    body: str


class CallLog:
    """The call records of this node, and those that wait for whoever wants them; a record is written to all at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, calls: Sequence[Row], waiting: Iterable[tuple[str, str]]) -> Deferred[None]:
        """
        @param calls: rows of C{acc_cdrs}, with C{tried} where there were several attempts; those that are there
            already, by C{uid}, are passed over.
        @param waiting: consumer and JSON of each row that somebody is to have.
        @return: fires when all of them are on the disk.
        """
        return self._database.write_rows(
            Rows(_INSERT, map(_values, calls)),
            Rows(_TRIED, map(_values_tried, tried_of(calls))),
            Rows(_QUEUE, waiting),
        )

    def waiting(self, consumer: str, most: int) -> Deferred[list[Waiting]]:
        """The oldest rows that a consumer has not taken."""
        query = (
            select(outbox.c.id, outbox.c.body)
            .where(outbox.c.consumer == consumer)
            .order_by(outbox.c.id)
            .limit(most)
        )
        return self._database.read(query).addCallback(lambda found: [Waiting(*row) for row in found])

    def taken(self, consumer: str, last: int) -> Deferred[None]:
        """A consumer has taken everything up to that one."""
        gone = delete(outbox).where(outbox.c.consumer == consumer, outbox.c.id <= last)
        return self._database.write((gone, None))

    def limit(self, consumer: str, most: int) -> Deferred[tuple[int, int]]:
        """
        Give up the oldest rows of a consumer beyond so many.

        @return: how many wait now, and how many were given up.
        """

        def work(connection: Connection) -> tuple[int, int]:
            mine = outbox.c.consumer == consumer
            count = connection.execute(select(func.count()).where(mine)).scalar_one()
            if count <= most:
                return count, 0
            oldest = select(outbox.c.id).where(mine).order_by(outbox.c.id).limit(count - most)
            connection.execute(delete(outbox).where(outbox.c.id.in_(oldest)))
            return most, count - most

        return self._database.transact(work)

    def forget(self, before: float) -> Deferred[None]:
        """Remove the records of calls that ended earlier, with all their attempts; C{before} in unix seconds."""
        old = acc_cdrs.c.end_time < before
        return self._database.write(
            (delete(acc_tried).where(acc_tried.c.uid.in_(select(acc_cdrs.c.uid).where(old))), None),
            (delete(acc_cdrs).where(old), None),
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
        return self._database.read(query).addCallback(self._with_tried)

    def _with_tried(self, found: Sequence[Any]) -> list[dict[str, Any]] | Deferred[list[dict[str, Any]]]:
        rows = [dict(row._mapping) for row in found]
        several = [row["uid"] for row in rows if row["attempts"] > 1]
        if not several:
            return rows
        query = select(acc_tried).where(acc_tried.c.uid.in_(several)).order_by(acc_tried.c.attempt)

        def joined(tried: Sequence[Any]) -> list[dict[str, Any]]:
            of_call = {row["uid"]: row for row in rows}
            for one in tried:
                attempt = dict(one._mapping)
                of_call[attempt.pop("uid")].setdefault("tried", []).append(attempt)
            return rows

        return self._database.read(query).addCallback(joined)


def tried_of(calls: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Rows of C{acc_tried}, of those calls that have several."""
    for row in calls:
        for one in row.get("tried", ()):
            yield {**one, "uid": row["uid"]}
