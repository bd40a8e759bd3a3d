"""What databases of former releases hold."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine

from voipcluster.store import migrations

FORMER = ("0001", "0002", "0003")

_USER = (
    "INSERT INTO subscriber (username, domain, ha1, ha1_sha256, disabled, created, last_modified) "
    "VALUES ('alice', 'example.com', '00000000000000000000000000000000', '', false, 1700000000, 1700000000.5)"
)
_GATEWAY = (
    "INSERT INTO dispatcher (name, setid, destination, flags, priority, attrs, description, password, last_modified) VALUES "
    """('carrier', 1, 'sip:192.0.2.7', 8, 0, '{"servers": ["192.0.2.7"]}', 'pstn', '', 1700000000.5)"""
)


def bring_to(connection: Connection, version: str) -> None:
    """The tables of the release with that script, with what L{fill} puts there."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, version)
    fill(connection, version)


def make_file(path: Path, version: str) -> None:
    """A database file as the release with that script left it."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        bring_to(connection, version)
    engine.dispose()


def fill(connection: Connection, version: str) -> None:
    """A user, and a gateway where there are any."""
    connection.exec_driver_sql(_USER)
    if version >= "0002":
        connection.exec_driver_sql(_GATEWAY)
