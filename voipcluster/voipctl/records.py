"""C{voipctl records}: the calls that are over, from all nodes, as a table, CSV or JSON."""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from voipcluster.errors import UsageError
from voipcluster.voipctl import statements, tables
from voipcluster.voipctl.client import Client
from voipcluster.voipctl.columns import clean

AGO = re.compile(r"(\d{1,9})([smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
TIMES = ("start_time", "answer_time", "end_time")
COLUMNS = (
    "uid", "callid", "from_tag", "to_tag", *TIMES, "duration", "setup", "caller", "callee", "src_user", "src_ip", "transport",
    "node", "ingress", "visited", "gateway_in", "gateway_out", "number", "sip_code", "sip_reason", "cause", "missed",
    "mos_caller", "mos_callee", "quality", "target", "attempts", "ended_by",
)  # fmt: skip
ATTEMPTS = (
    "uid", "attempt", "callid", "from_tag", "start_time", "end_time", "caller", "callee", "src_user", "target", "gateway",
    "sip_code", "cause", "ended_by", "node", "ingress", "visited",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def moment(text: str, now: float) -> float:
    """
    Unix seconds of a point in time as people type it: C{2h} (ago), C{2026-11-26}, C{2026-11-26T07:30} (local time, or with
    an offset), or unix seconds.

    @raise UsageError: none of these.
    """
    ago = AGO.fullmatch(text)
    if ago is not None:
        return now - int(ago[1]) * SECONDS[ago[2]]
    try:
        return (
            float(int(text))
            if text.isdecimal() and 8 < len(text) < 12
            else datetime.fromisoformat(text).timestamp()
        )
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{text!r}: allowed is 30m, 2h or 7d (ago), 2026-11-26, 2026-11-26T07:30, or unix seconds"
        ) from None


NONE = "no records"


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--since", default="1d", metavar="TIME", help="ended after: 2h, 7d, 2026-11-26 [%(default)s]"
    )
    command.add_argument("--until", default="0s", metavar="TIME", help="ended before [now]")
    command.add_argument("--node", metavar="NODE", help="only the calls that this one has served [all nodes]")
    command.add_argument(
        "--user", metavar="NAME@DOMAIN", help="only those of this user of ours, as caller or callee"
    )
    command.add_argument(
        "--attempts",
        action="store_true",
        help="a line for each place where a call was tried, and not for each call",
    )
    printed = command.add_mutually_exclusive_group()
    printed.add_argument("--csv", action="store_true", help="print CSV, a line a call, times in UTC")
    printed.add_argument(
        "--sql", action="store_true", help="print INSERT statements for psql, with all attempts of each call"
    )


def run(client: Client, given: argparse.Namespace, now: float | None = None) -> int:
    """
    Print the records; what one node tells is printed before the next is asked.

    @return: 0; 1 when a node did not answer, so that something is missing.
    """
    now = time.time() if now is None else now
    since, until = moment(given.since, now), moment(given.until, now)
    for name in ("csv", "sql"):
        if given.json and getattr(given, name):
            raise UsageError(f"--{name} and --json exclude each other")
    if given.sql and given.attempts:
        raise UsageError("--sql has the attempts of each call without --attempts")
    if given.user is not None and "@" not in given.user:
        raise UsageError(f"--user {given.user}: allowed is NAME@DOMAIN")
    if since > until:
        raise UsageError("--since is after --until")
    missing: list[str] = []
    rows = _of_user(_rows(client, given.node, since, until, missing), given.user)
    if given.sql:
        for line in statements.of_calls(rows, COLUMNS):
            print(line)
    elif given.attempts:
        _print_attempts(attempts(rows), given)
    elif given.csv:
        _print_csv(rows, COLUMNS)
    else:
        found = sorted(rows, key=lambda row: row["end_time"])
        if given.json:
            print(json.dumps([_with_quality(row) for row in found], indent=2))
        else:
            print(tables.records(found) if found else NONE)
    for text in missing:
        print(f"voipctl: {clean(text)}", file=sys.stderr)
    return 1 if missing else 0


def _rows(
    client: Client, node: str | None, since: float, until: float, missing: list[str]
) -> Iterator[dict[str, Any]]:
    names = [node] if node is not None else [one["name"] for one in client.ask("status")["nodes"]]
    for name in names:
        after: int | None = 0
        while after is not None:
            try:
                page = client.ask("records", node=name, since=since, until=until, after=after)
            except UsageError as error:
                if node is not None:
                    raise
                missing.append(f"the calls of node {name} are missing: {error}")
                break
            yield from page["rows"]
            after = page["next"]


def _of_user(rows: Iterator[dict[str, Any]], user: str | None) -> Iterator[dict[str, Any]]:
    if user is None:
        return rows
    called = re.compile(rf"sips?:{re.escape(user.removeprefix('sip:'))}(?:[;:?]|$)", re.IGNORECASE)
    return (
        row
        for row in rows
        if row["src_user"] == user or called.match(row["callee"]) or called.match(row["caller"])
    )


def attempts(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each attempt of each call; a call that was tried once is its own."""
    for row in rows:
        # a node of an earlier release does not say
        whole = {**row, "attempt": 1, "gateway": row.get("gateway_out", "")}
        for one in row.get("tried") or ([whole] if row.get("attempts") == 1 else ()):
            yield {name: {**row, **one}.get(name) for name in ATTEMPTS}


def _print_attempts(rows: Iterable[Mapping[str, Any]], given: argparse.Namespace) -> None:
    if given.csv:
        _print_csv(rows, ATTEMPTS)
        return
    found = sorted(rows, key=lambda row: (row["start_time"], row["uid"], row["attempt"]))
    if given.json:
        print(json.dumps([{**row, "visited": row["visited"].split()} for row in found], indent=2))
    else:
        print(tables.attempts(found) if found else NONE)


def _with_quality(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: row.get(name) for name in COLUMNS}
    return shown | {"quality": json.loads(row["quality"]), "visited": row["visited"].split()}


def _print_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(name, row.get(name)) for name in columns])


def _cell(name: str, value: Any) -> Any:
    if value is None:
        return ""
    if name in TIMES:
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    # what came from the network is a text also for a spreadsheet, and never a formula
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
