"""C{voipctl trace}: what was said in a call, and whose messages are kept to be shown."""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections.abc import Mapping
from typing import Any

from voipcluster.errors import UsageError
from voipcluster.voipctl import ladder
from voipcluster.voipctl.client import Client
from voipcluster.voipctl.columns import Column, clean, clock, table

DURATION = re.compile(r"(\d{1,6})([smh]?)")
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
VERBS = ("on", "off", "status")


def duration(text: str) -> float:
    """
    Seconds of C{90}, C{90s}, C{10m} or C{1h}.

    @raise UsageError: none of these.
    """
    found = DURATION.fullmatch(text)
    if found is None:
        raise UsageError(f"--for {text}: allowed is a time such as 90s, 10m or 1h")
    return float(int(found[1]) * SECONDS[found[2]])


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "what",
        metavar="CALL-ID|on|off|status",
        help="the call to show; or begin or end keeping messages at all nodes, or show what is kept",
    )
    command.add_argument("--messages", action="store_true", help="of a call: write the whole messages out")
    wanted = command.add_argument_group("with on, whose messages are kept; one of")
    wanted.add_argument("--user", metavar="NAME[@DOMAIN]", help="who calls or is called; a number, too")
    wanted.add_argument("--address", metavar="IP[:PORT]", help="where they come from or go to")
    wanted.add_argument("--call-id", metavar="CALL-ID", help="of one call")
    wanted.add_argument("--all", action="store_true", help="of all calls")
    command.add_argument(
        "--for", dest="seconds", default="10m", metavar="TIME", help="with on: how long [%(default)s]"
    )
    command.add_argument("--forget", action="store_true", help="with off: forget what was kept, too")


def run(client: Client, given: argparse.Namespace) -> int:
    """@return: 0; 1 when a node could not be asked, so that something is missing."""
    if given.what not in VERBS:
        return _show(client, given)
    if given.messages:
        raise UsageError(f"--messages is for voipctl trace CALL-ID, not for voipctl trace {given.what}")
    if given.what == "on":
        asked = {"user": given.user, "address": given.address, "call_id": given.call_id}
        count = sum(one is not None for one in asked.values()) + given.all
        if count != 1:
            raise UsageError(
                "voipctl trace on needs one of --user, --address, --call-id and --all"
                + (f", and not {count} of them" if count else "")
            )
        rows = client.ask("trace-on", **asked, all=given.all, seconds=duration(given.seconds))
    elif given.what == "off":
        rows = client.ask("trace-off", forget=given.forget)
    else:
        rows = client.ask("trace-status")
    print(json.dumps(rows, indent=2) if given.json else _status(rows))
    return 1 if any("error" in row for row in rows) else 0


def _show(client: Client, given: argparse.Namespace) -> int:
    answer = client.ask("trace", call_id=given.what, texts=given.messages)
    if given.json:
        print(json.dumps(answer, indent=2))
    else:
        print(ladder.drawn(answer, shutil.get_terminal_size((100, 24)).columns, given.messages))
    return 1 if answer.get("silent") else 0


def _status(rows: list[Mapping[str, Any]]) -> str:
    columns: list[Column] = [
        ("NODE", lambda row: clean(row.get("node")), False),
        ("TRACES", _wanted, False),
        ("CALLS", lambda row: clean(row.get("calls")), True),
        ("MESSAGES", lambda row: clean(row.get("messages")), True),
        ("MEMORY", _memory, True),
        ("FORGOTTEN", lambda row: clean(row.get("forgotten")), True),
    ]
    return table(columns, rows)


def _wanted(row: Mapping[str, Any]) -> str:
    if "error" in row:
        return clean(row["error"])
    wanted = [f"{clean(one['what'])} ({clock(one['left'])} left)" for one in row["wanted"]]
    return ", ".join(wanted) or "nothing"


def _memory(row: Mapping[str, Any]) -> str:
    return f"{100 * row['octets'] / row['most']:.0f} %" if row.get("most") else "-"
