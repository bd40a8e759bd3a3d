"""
The tables of a database brought to what this release needs, by Alembic; the scripts are in C{versions}.

A database that is empty gets the tables of today at once, marked as up to date; unit tests hold both ways against each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, inspect, text

from voipcluster.errors import UsageError
from voipcluster.store.tables import VIEWS, metadata
from voipcluster.store.triggers import make_triggers

HEAD: Final = "0006"  # the latest script
MARK: Final = "alembic_version"  # the table in which Alembic keeps what a database has
_LOCK: Final = 0x766F6970  # of PostgreSQL's advisory locks, so that two nodes do not begin at the same time


class NewerSchema(UsageError):
    """The database was brought up to date by a newer voipcluster."""


def schema_of(connection: Connection) -> str | None:
    """Which script a database was brought up to; L{None} when it has no tables of ours yet."""
    if MARK not in inspect(connection).get_table_names():
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {MARK}")).scalar_one_or_none()
    return found


def bring_up_to_date(connection: Connection) -> None:
    """
    Within a transaction of the caller.

    @raise NewerSchema: a later release has changed the tables already.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    found = schema_of(connection)
    if found == HEAD:
        return
    _begin(connection)
    tables = set(inspect(connection).get_table_names())
    if found is None and not tables & set(metadata.tables):
        metadata.create_all(connection)
        for name, query in VIEWS.items():
            connection.execute(text(f"CREATE VIEW {name} AS {query}"))
        make_triggers(connection)
        _mark(connection)
        return
    _upgrade(connection, found)


def _begin(connection: Connection) -> None:
    """
    All of it or nothing, also when the process dies meanwhile: SQLite's driver begins a transaction by itself when a row is to
    change, but not for a table.
    """
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def _mark(connection: Connection) -> None:
    connection.execute(
        text(f"CREATE TABLE IF NOT EXISTS {MARK} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    )
    connection.execute(text(f"INSERT INTO {MARK} (version_num) VALUES (:head)"), {"head": HEAD})


def _upgrade(connection: Connection, found: str | None) -> None:
    # imported late: most starts find nothing to do, and Alembic takes a third of a second to import
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise NewerSchema(
            f"the tables are of a newer voipcluster (schema {found[:32]}, this one knows up to {HEAD})"
        )
    command.upgrade(config, "head")
