"""
The embedded database of one node: SQLite through SQLAlchemy Core, opened before the reactor runs and written to in a thread.

Its tables are in L{voipcluster.store.tables}.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Executable, create_engine, event, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import QueuePool
from twisted.internet.defer import Deferred, DeferredLock

from voipcluster.errors import UsageError
from voipcluster.store.migrations import HEAD, NewerSchema, bring_up_to_date, schema_of

Run = Callable[[Callable[[], Any]], "Deferred[Any]"]
"""Runs a function in some other thread; gives a Deferred in the reactor's thread."""

Result = TypeVar("Result")

Statement = tuple[Executable, list[dict[str, Any]] | None]
"""A statement, and the rows of its parameters or L{None} for none."""


def _set_pragmas(connection: Any, record: object) -> None:
    """Readers and the writer do not wait for each other; what is committed is on the disk."""
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "trusted_schema=OFF"):
        connection.execute(f"PRAGMA {pragma}")


class Rows(NamedTuple):
    """SQL as the driver has it, and the rows of its parameters."""

    statement: str
    rows: Iterable[tuple[Any, ...]]


class Database:
    """
    An open database file.

    @param run: how to work in another thread; writes are given to it one at a time, in their order.
    """

    def __init__(self, path: Path, run: Run) -> None:
        """@raise UsageError: the file is damaged, not ours, or of a newer version."""
        self.path, self._run, self._order = path, run, DeferredLock()
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None
        # connections stay open: closing the last one would copy the whole write-ahead log into the file, at each write
        self._engine = create_engine(
            f"sqlite:///{path}",
            poolclass=QueuePool,
            pool_size=2,
            connect_args={"check_same_thread": False},
            hide_parameters=True,  # an error is logged and shown: digests and who called whom are nobody's business there
        )
        event.listen(self._engine, "connect", _set_pragmas)
        try:
            self._open()
        except DatabaseError as error:
            reason = str(error.orig)
            raise UsageError(f"{path}: damaged, or not a database of voipcluster: {reason}") from None

    def _open(self) -> None:
        with self._engine.begin() as connection:
            fault = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
            if fault != "ok":
                raise UsageError(f"{self.path}: damaged: {' '.join(str(fault).split())}")
            found = schema_of(connection)
        if found is not None and found < HEAD:
            self._keep_copy(found)
        with self._engine.begin() as connection:
            try:
                bring_up_to_date(connection)
            except NewerSchema as error:
                copy = self._copy_of(HEAD)
                kept = f"; {copy} is the one from before the upgrade" if copy.exists() else ""
                raise UsageError(f"{self.path}: {error}{kept}") from None

    def _copy_of(self, schema: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{schema}")

    def _keep_copy(self, schema: str) -> None:
        """The database as it is before tables change: the release before cannot read it afterwards."""
        copy = self._copy_of(schema)
        try:
            copy.unlink(missing_ok=True)
            os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM INTO :copy"), {"copy": str(copy)})
        except (OSError, DatabaseError) as error:
            with contextlib.suppress(OSError):
                copy.unlink()
            reason = error.strerror if isinstance(error, OSError) else error.orig
            raise UsageError(f"{copy}: no copy can be kept before the tables change: {reason}") from None

    def read(self, query: Executable) -> Deferred[Sequence[Any]]:
        return self._run(partial(self.rows, query))

    def rows(self, query: Executable) -> Sequence[Any]:
        """Read at once, in the calling thread: for the start only."""
        with self._engine.connect() as connection:
            return connection.execute(query).all()

    def write(self, *statements: Statement) -> Deferred[None]:
        """
        Run statements in one transaction, after those of all earlier calls.

        @return: fires when they are on the disk.
        """

        def work() -> None:
            with self._engine.begin() as connection:
                for statement, rows in statements:
                    connection.execute(statement, rows)

        return self._order.run(self._run, work)

    def transact(self, work: Callable[[Connection], Result]) -> Deferred[Result]:
        """
        Run a function in one transaction, after the statements of all earlier calls: nothing is written between what it reads
        and what it writes.

        @return: what it returns, when what it wrote is on the disk.
        """

        def run() -> Result:
            with self._engine.begin() as connection:
                return work(connection)

        return self._order.run(self._run, run)

    def write_rows(self, *inserted: Rows) -> Deferred[None]:
        """As L{write}, past SQLAlchemy: for what is written for every call. The rows are looked at in the other thread."""

        def work() -> None:
            with self._engine.begin() as connection:
                for statement, rows in inserted:
                    parameters = list(rows)
                    if parameters:
                        connection.exec_driver_sql(statement, parameters)

        return self._order.run(self._run, work)

    def close(self) -> None:
        self._engine.dispose()
