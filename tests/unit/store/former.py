"""What databases of former releases hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine

from voipcluster.store import migrations

FORMER = ("0001", "0002", "0003", "0004", "0005")

AT = 1_700_000_000.5  # when all of it was changed
VERSION = 1_700_000_000_500_000
_DIGEST = "0" * 32
_CALL: dict[str, Any] = {
    "from_tag": "ft", "to_tag": "tt", "start_time": AT - 30, "end_time": AT, "caller": "sip:alice@example.com",
    "callee": "sip:bob@example.com", "src_user": "alice@example.com", "src_ip": "192.0.2.1:5060", "transport": "UDP",
    "node": "a", "ingress": "a", "visited": "a", "gateway_in": "", "gateway_out": "", "number": "", "mos_caller": 4.2,
    "mos_callee": None, "quality": "[]",
}  # fmt: skip
ANSWERED = _CALL | {
    "uid": "1", "callid": "answered", "answer_time": AT - 20, "duration": 20.0, "setup": 10.0, "sip_code": "200",
    "sip_reason": "OK", "cause": "bye", "missed": False,
}  # fmt: skip
MISSED = _CALL | {
    "uid": "2", "callid": "missed", "answer_time": None, "duration": 0.0, "setup": 30.0, "sip_code": "486",
    "sip_reason": "Busy Here", "cause": "failed 486", "missed": True,
}  # fmt: skip


def upgrade(connection: Connection, version: str) -> None:
    """Run the scripts up to that one."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, version)


def bring_to(connection: Connection, version: str) -> None:
    """The tables of the release with that script, with what L{fill} puts there."""
    upgrade(connection, version)
    fill(connection, version)


def make_file(path: Path, version: str) -> None:
    """A database file as the release with that script left it."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        bring_to(connection, version)
    engine.dispose()


def fill(connection: Connection, version: str) -> None:
    """A row in each table: a user, his phone, an answered and a missed call, what waits for others; and what there is of more."""

    def put(table: str, **row: Any) -> None:
        insert(connection, table, row)

    versioned = {"version": VERSION} if version >= "0004" else {}
    put(
        "subscriber", username="alice", domain="example.com", ha1=_DIGEST, ha1_sha256="", disabled=False,
        created=1_700_000_000.0, last_modified=AT, **versioned,
    )  # fmt: skip
    put(
        "location", aor="alice@example.com", ruid="sip:alice@192.0.2.1", username="alice", domain="example.com",
        contact="sip:alice@192.0.2.1", received="", path="", expires=AT + 3600, q=1.0, callid="c", cseq=1, last_modified=AT,
        user_agent="", params="", instance="", reg_id=0, flow="", node="a",
    )  # fmt: skip
    of_calls = (
        {"target": "sip:bob@192.0.2.2", "attempts": 1, "ended_by": "caller"} if version >= "0005" else {}
    )
    put("acc_cdrs", **ANSWERED, **of_calls)
    put("acc_cdrs", **MISSED, **of_calls)
    put("outbox", consumer="database", body="{}")
    if version >= "0002":
        put(
            "dispatcher", name="carrier", setid=1, destination="sip:192.0.2.7", flags=8, priority=0,
            attrs='{"servers": ["192.0.2.7"]}', description="pstn", password="", last_modified=AT, **versioned,
        )  # fmt: skip
    if version >= "0003":
        put(
            "usr_preferences", username="alice", domain="example.com", attribute="forward.busy", value="carol",
            last_modified=AT,
        )  # fmt: skip
    if version >= "0004":
        put("removed_rows", kind="account", key="gone@example.com", version=VERSION, removed_at=AT)
        put("address", ip_addr="192.0.2.0", mask=28, tag="carrier")
    if version >= "0005":
        put("acc_cdrs", **{**ANSWERED, **of_calls, "uid": "3", "callid": "tried", "attempts": 2})
        for attempt, status in ((1, "503"), (2, "200")):
            put(
                "acc_tried", uid="3", attempt=attempt, target=f"sip:192.0.2.{attempt}", gateway="", start_time=AT - 30,
                end_time=AT, sip_code=status, cause="bye", ended_by="callee",
            )  # fmt: skip


def insert(connection: Connection, table: str, row: dict[str, Any]) -> None:
    """A row as a program of that time wrote it, whatever the tables of today are like."""
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    marks = ", ".join([mark] * len(row))
    statement = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"
    connection.exec_driver_sql(statement, tuple(row.values()))
