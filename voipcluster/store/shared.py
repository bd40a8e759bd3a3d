"""
The database that the nodes share: PostgreSQL, by URL. It may be slow or gone at any time, and nothing of SIP waits for it.

It has the same tables as the embedded one (L{voipcluster.store.tables}); the first node that reaches it makes them.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from weakref import ref

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from voipcluster.errors import UsageError
from voipcluster.store.acc import tried_of
from voipcluster.store.database import Run, Statement
from voipcluster.store.migrations import NewerSchema, bring_up_to_date
from voipcluster.store.tables import acc_cdrs, acc_tried

Result = TypeVar("Result")

CONNECT_TIMEOUT = 5  # s
STATEMENT_TIMEOUT = 20_000  # ms
LONGEST = 30.0  # s for anything that is asked
AT_THE_END = 2.0  # s, when the node stops
DEAD_PEER = 10_000  # ms after which a server that acknowledges nothing is given up


class NotReachable(UsageError):
    """The shared database cannot be used now; one line, without a password."""


def database_url(text: str, password: str) -> URL:
    """
    @param text: C{postgresql://USER@HOST:PORT/NAME}, without a password; C{password}: that, or empty.
    @raise UsageError: no such URL.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        raise UsageError("database.url: not a URL; allowed is postgresql://USER@HOST:PORT/NAME") from None
    if url.get_backend_name() != "postgresql" or not url.database:
        raise UsageError("database.url: allowed is postgresql://USER@HOST:PORT/NAME")
    if url.password is not None:
        raise UsageError(
            "database.url: a password belongs into database.password_file, which nobody else can read"
        )
    if password:
        url = url.set(password=password)
    return url.set(drivername="postgresql+psycopg")


class SharedDatabase:
    """
    @param run: does work in a thread of its own, so that nothing else waits while the server is slow.
    @param clock: ends what takes too long.
    @raise UsageError: the driver is missing.
    """

    def __init__(self, url: URL, run: Run, clock: IReactorTime) -> None:
        self._run, self._order, self._clock = run, DeferredLock(), clock
        self._ready = False
        self._limit: IDelayedCall | None = None  # of what is under way
        self._stopping = False
        # connections of psycopg's: replaced as a whole by the thread, so that the reactor can go through it at any time
        self._wires: tuple[ref[Any], ...] = ()
        try:
            self._engine = _engine(url)
        except ModuleNotFoundError:
            raise UsageError(
                "database.url: PostgreSQL needs psycopg, which is not installed: "
                f"{sys.executable} -m pip install 'voipcluster[postgresql]'"
            ) from None

        event.listen(self._engine, "connect", lambda wire, record: self._connected(wire))

    def _connected(self, wire: Any) -> None:
        """In the thread."""
        self._wires = (*(one for one in self._wires if one() is not None), ref(wire))

    def _asked(self, work: Callable[[], Result]) -> Deferred[Result]:
        """Do it in the thread, behind all that was asked before, and not for longer than L{LONGEST}."""
        return self._order.run(self._begin, work)

    def _begin(self, work: Callable[[], Result]) -> Deferred[Result]:
        self._limit = self._clock.callLater(AT_THE_END if self._stopping else LONGEST, self._interrupt)
        return self._run(partial(_told, work)).addBoth(self._ended)

    def _ended(self, result: Any) -> Any:
        limit, self._limit = self._limit, None
        if limit is not None and limit.active():
            limit.cancel()
        return result

    def _interrupt(self) -> None:
        """
        The thread waits for a server that is there and says nothing, as one does that was stopped: what it waits for comes to
        an end. Time limits of the server and of TCP do not help there.
        """
        for one in self._wires:
            with suppress(Exception):  # it may be closed at this moment, by the thread
                wire: Any = one()
                number = wire.pgconn.socket
                with socket.socket(fileno=os.dup(number)) as copy:
                    # still open, so it was this one that was copied, and no other that got its number meanwhile
                    if wire.pgconn.socket == number:
                        copy.shutdown(socket.SHUT_RDWR)

    def hurry(self) -> None:
        """The node stops: what is under way gets a moment yet, and what waits behind it another one."""
        self._stopping = True
        if self._limit is not None and self._limit.active():
            self._limit.reset(AT_THE_END)

    def _prepared(self) -> Engine:
        """In the thread: the tables are there."""
        if not self._ready:
            try:
                with self._engine.begin() as connection:
                    bring_up_to_date(connection)
            except NewerSchema:
                pass  # another node has a newer release already; what it changed leaves what we use as it is
            self._ready = True
        return self._engine

    def write(self, *statements: Statement) -> Deferred[None]:
        """
        Run statements in one transaction, after those of all earlier calls.

        @return: fires when they are committed; fails with L{NotReachable}.
        """

        def work() -> None:
            with self._prepared().begin() as connection:
                for statement, rows in statements:
                    connection.execute(statement, rows)

        return self._asked(work)

    def transact(self, work: Callable[[Connection], Result], snapshot: bool = False) -> Deferred[Result]:
        """
        Run a function in the thread, in one transaction, after those of all earlier calls.

        @param snapshot: all that it reads is as of one moment.
        @return: what it returns, when that is committed; fails with L{NotReachable}.
        """
        level = "REPEATABLE READ" if snapshot else "READ COMMITTED"

        def run() -> Result:
            with (
                self._prepared().connect().execution_options(isolation_level=level) as connection,
                connection.begin(),
            ):
                return work(connection)

        return self._asked(run)

    def read(self, query: Any) -> Deferred[Sequence[Any]]:
        """@return: the rows; fails with L{NotReachable}."""

        def work() -> Sequence[Any]:
            with self._prepared().connect() as connection:
                return connection.execute(query).all()

        return self._asked(work)

    def listen(self, channel: str) -> Deferred[Any]:
        """@return: a connection of psycopg's, apart from all others, that is told of each C{NOTIFY} on that channel."""

        def connect() -> Any:
            pooled = self._prepared().raw_connection()
            connection: Any = pooled.driver_connection
            pooled.detach()
            try:
                connection.rollback()
                connection.autocommit = True
                connection.execute(f"LISTEN {channel}")
            except Exception:
                connection.close()
                raise
            return connection

        return self._asked(connect)

    def close(self) -> None:
        self._engine.dispose()


class SharedRecords:
    """Call records into the shared database, as L{IConsumer <voipcluster.services.records.forwarding.IConsumer>} has it."""

    name = "database"

    def __init__(self, database: SharedDatabase) -> None:
        self._database = database

    def take(self, rows: Sequence[Any]) -> Deferred[None]:
        # imported late: most nodes have no PostgreSQL, and no need of what SQLAlchemy knows of it
        from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415 - see above

        calls = [json.loads(row.body) for row in rows]
        # what came before a crash comes again
        statement = insert(acc_cdrs).on_conflict_do_nothing(index_elements=["uid"])
        statements: list[Statement] = [(statement, [_columns(row) for row in calls])]
        tried = list(tried_of(calls))
        if tried:
            once = insert(acc_tried).on_conflict_do_nothing(index_elements=["uid", "attempt"])
            statements.append((once, tried))
        return self._database.write(*statements)

    def close(self) -> None:
        """The connection is that of the database."""


def _columns(row: dict[str, Any]) -> dict[str, Any]:
    """A row as it came out of the queue, which a release before may have put there."""
    return {**_NEW, **{name: value for name, value in row.items() if name != "tried"}}


_NEW = {"target": "", "attempts": 0, "ended_by": ""}


def _engine(url: URL) -> Engine:
    options = f"-c statement_timeout={STATEMENT_TIMEOUT} -c lock_timeout={STATEMENT_TIMEOUT}"
    arguments = {
        "connect_timeout": CONNECT_TIMEOUT,
        "application_name": "voipcluster",
        "options": options,
        "tcp_user_timeout": DEAD_PEER,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
    }
    return create_engine(url, pool_size=1, max_overflow=0, pool_pre_ping=True, connect_args=arguments)


def _told(work: Any) -> Any:
    try:
        return work()
    except Exception as error:
        if not isinstance(error, SQLAlchemyError) and not type(error).__module__.startswith("psycopg"):
            raise
        cause = getattr(error, "orig", None) or error
        raise NotReachable(f"the shared database: {' '.join(str(cause).split())[:200]}") from None
