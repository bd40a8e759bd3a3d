"""Long lists of a node: read in parts, so that no answer keeps the node from its calls, and cut where nobody would read on."""

from __future__ import annotations

import argparse
from typing import Any

from voipcluster.errors import UsageError
from voipcluster.voipctl.client import Client
from voipcluster.web.slices import PAGE, USERS

MOST = 1000  # rows that are shown unless told otherwise


def add_limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit", type=_limit, default=MOST, metavar="N", help="at most so many, 0: all [%(default)s]"
    )


def _limit(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


_limit.__name__ = "number"  # as argparse calls it


def registrations(client: Client, most: int) -> tuple[list[Any], int]:
    """
    @param most: 0: all.
    @return: the rows in the order of their users, and how many there are in all.
    """
    rows = _read(client, "registrations", most, PAGE)
    total = int(client.ask("status").get("registrations") or 0) if most and len(rows) >= most else 0
    return sorted(rows, key=lambda row: (row["aor"], row["contact"])), max(total, len(rows))


def calls(client: Client, most: int) -> tuple[list[Any], int]:
    """The same of calls; the longest ones first."""
    nodes = client.ask("status")["nodes"]
    rows = _read(client, "calls", most, max(1, PAGE // max(1, len(nodes))))
    total = sum(int(node.get("calls") or 0) for node in nodes)
    return sorted(rows, key=lambda row: -row["duration"]), max(
        total if most and len(rows) >= most else 0, len(rows)
    )


def users(client: Client, domain: str | None) -> list[Any]:
    """All of them, by name: they are short."""
    found: list[Any] = []
    after = 0
    while (part := client.ask("user-list", domain=domain, limit=USERS, after=after, full=True)) is not None:
        found += part
        after += USERS
    return sorted(found, key=lambda row: str(row["user"]))


def _read(client: Client, command: str, most: int, part: int) -> list[Any]:
    rows: list[Any] = []
    known: set[tuple[Any, ...]] = set()
    after = 0
    while not most or len(rows) < most:
        found = client.ask(command, limit=part, after=after)
        if not isinstance(found, list):
            raise UsageError(f"the node's answer to {command} is no list")
        # a node of an earlier release knows no parts, and tells all that it has each time
        new = [row for row in found if _key(row) not in known]
        known.update(map(_key, new))
        rows += new
        after += part
        if not new or not client.in_parts:
            break
    return rows[:most] if most else rows


def _key(row: Any) -> tuple[Any, ...]:
    """What a call, or a registration, is known by from one part to the next."""
    return tuple(row.get(name) for name in ("node", "call_id", "from", "client", "aor", "contact"))


def rest(shown: int, total: int, what: str) -> str:
    """A line that says that a list was cut; empty when it was not."""
    return f"... {shown:,} of {total:,} {what}; --limit 0 shows all" if shown < total else ""
