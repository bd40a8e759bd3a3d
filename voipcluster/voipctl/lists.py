"""Long lists of a node: read in parts, so that no answer keeps the node from its calls, and cut where nobody would read on."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any

from voipcluster.errors import UsageError
from voipcluster.voipctl.client import Client
from voipcluster.web.slices import PAGE

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


class Listing:
    """
    Columns with names.

    @ivar columns: each with a value for every row, as many as there are C{names}.
    """

    def __init__(self, names: Sequence[str] = (), columns: Sequence[Sequence[Any]] = ()) -> None:
        self.names, self.columns = list(names), list(columns)

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def column(self, name: str) -> Sequence[Any]:
        """All values of one column; L{None}s when the node does not tell it."""
        return self.columns[self.names.index(name)] if name in self.names else [None] * len(self)


Shown = Callable[[Listing], Iterable[Any]]
"""Makes of a part of a list what is printed of each row: while the next part is made by the node."""


def part_of(answer: Any) -> Listing:
    """
    One part of a list.

    @raise TypeError: it is none; or C{KeyError}, C{ValueError}.
    """
    part = Listing(answer["names"], answer["columns"])
    if len(part.names) != len(part.columns) or len(set(map(len, part.columns))) > 1:
        raise ValueError("columns of another list")
    return part


def json_rows(part: Listing) -> Iterable[str]:
    """The rows for programs, each as an object on a line of its own."""
    names = ", ".join(f"{json.dumps(name).replace('%', '%%')}: %s" for name in part.names)
    # a row after the other, as json.dumps has it, takes twice as long
    return map(f"{{{names}}}".__mod__, zip(*map(_encoded, part.columns), strict=True))


def _encoded(values: Sequence[Any]) -> list[str]:
    kinds = set(map(type, values))
    if kinds == {str}:
        return list(map(encode_basestring_ascii, values))
    if kinds == {int}:
        return list(map(str, values))
    known: dict[tuple[type, str], str] = {}  # few of all others differ
    keys = list(zip(map(type, values), map(repr, values), strict=True))
    for key, value in zip(keys, values, strict=True):
        if key not in known:
            known[key] = json.dumps(value)
    return list(map(known.__getitem__, keys))


def json_list(rows: Sequence[str]) -> str:
    return "[\n" + ",\n".join(rows) + "\n]" if rows else "[]"


def listing_of(rows: Sequence[Mapping[str, Any]]) -> Listing:
    """Of rows that have names of their own; what one of them lacks is L{None} there."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Listing(names, [[row.get(name) for row in rows] for name in names])


def as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """A list for programs of rows that have names of their own, and may lack some."""
    return json_list(list(map(json.JSONEncoder().encode, rows)))


def registrations(client: Client, most: int, shown: Shown) -> tuple[list[Any], int]:
    """
    @param most: 0: all.
    @return: what is shown of the rows, in the order of their users, and how many there are in all.
    """
    found = _whole(client, "registrations", most, ("aor", "contact"), shown, parts=most)
    total = int(client.ask("status").get("registrations") or 0) if most and len(found) >= most else 0
    return found, max(total, len(found))


def calls(client: Client, most: int) -> tuple[list[Any], int, list[str]]:
    """The same of calls, the longest ones first; and the nodes that did not answer, whose calls are missing."""
    nodes = client.ask("status")["nodes"]
    size = max(1, PAGE // max(1, len(nodes)))
    silent: list[str] = []
    try:
        rows = _named(client, "calls", most, size, silent, silent=True)
    except UsageError as error:
        # as _whole has it
        if not str(error).startswith("unknown argument"):
            raise
        rows = _named(client, "calls", most, size)
    total = sum(int(node.get("calls") or 0) for node in nodes)
    return (
        sorted(rows, key=lambda row: -row["duration"]),
        max(total if most and len(rows) >= most else 0, len(rows)),
        sorted(set(silent)),
    )


def users(client: Client, domain: str | None, shown: Shown) -> list[Any]:
    """All of them, by name: they are short."""
    return _whole(client, "user-list", 0, ("user",), shown, domain=domain, parts=True)


def _whole(
    client: Client,
    command: str,
    most: int,
    order: Sequence[str],
    shown: Shown,
    parts: object,
    **arguments: object,
) -> list[Any]:
    """@param parts: says that the list is to come in parts; C{order}: the columns that rows are sorted by."""
    found: list[tuple[Any, ...]] = []

    def take(part: Listing) -> None:
        if len(part):
            keys = (part.columns[part.names.index(name)] for name in order)
            found.extend(zip(*keys, shown(part), strict=True))

    try:
        for part in client.stream(command, parts=parts, **arguments):
            # a list is that of the web page, which has one part
            take(listing_of(part) if isinstance(part, list) else part_of(part))
            if isinstance(part, list) or 0 < most <= len(found):
                break
        found.sort()
    except UsageError as error:
        # a node of an earlier release, which is still running when this one has been installed
        if not str(error).startswith("unknown argument"):
            raise
        full = {"full": True} if command == "user-list" else {}
        take(listing_of(_named(client, command, most, PAGE, **full, **arguments)))
        found.sort()
    except (TypeError, KeyError, ValueError):
        raise UsageError(f"the node's answer to {command} is no list") from None
    return [row[-1] for row in (found[:most] if most else found)]


def _named(
    client: Client,
    command: str,
    most: int,
    size: int,
    missing: list[str] | None = None,
    /,
    **arguments: object,
) -> list[Any]:
    """@param missing: gets the nodes that did not answer, as far as the parts name them."""
    rows: list[Any] = []
    known: set[tuple[Any, ...]] = set()
    # calls end while they are listed, and those behind them come nearer to the front
    overlap = size // 10 if command == "calls" else 0
    for part in client.parts(command, size, most, overlap, **arguments):
        if part is None:
            break
        if missing is not None and isinstance(part, dict) and "silent" in part:
            missing += map(str, part["silent"])
            part = part.get("calls")  # noqa: PLW2901 - the same, without its frame
        if not isinstance(part, list):
            raise UsageError(f"the node's answer to {command} is no list")
        # a node of an earlier release knows no parts, and tells all that it has each time
        new = [row for row in part if _key(row) not in known]
        known.update(map(_key, new))
        rows += new
        if not new or 0 < most <= len(rows):
            break
    return rows[:most] if most else rows


def _key(row: Any) -> tuple[Any, ...]:
    """What a call, or a registration, is known by from one part to the next."""
    return tuple(row.get(name) for name in ("node", "call_id", "from", "client", "aor", "contact", "user"))


def rest(shown: int, total: int, what: str) -> str:
    """A line that says that a list was cut; empty when it was not."""
    return f"... {shown:,} of {total:,} {what}; --limit 0 shows all" if shown < total else ""
