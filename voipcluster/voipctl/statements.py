"""Call records as statements of SQL, that fill what is missing in the tables of a database and leave alone what is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

TRIED = (
    "uid", "attempt", "target", "gateway", "start_time", "end_time", "sip_code", "cause", "ended_by",
)  # fmt: skip
# in a database where this is off, a backslash that somebody has sent would end the literal that it stands in
STRINGS = "SET standard_conforming_strings = on;"


def of_calls(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Iterator[str]:
    """
    One transaction, a statement a line at least: each call, and its attempts where there were several.

    @param rows: of C{acc_cdrs}, with C{tried}; what a node of an earlier release does not tell is left to the table's default.
    @param columns: those of C{acc_cdrs}.
    """
    yield STRINGS
    yield "BEGIN;"
    for row in rows:
        yield _insert("acc_cdrs", row, columns, "uid")
        for one in row.get("tried") or ():
            yield _insert("acc_tried", {**one, "uid": row["uid"]}, TRIED, "uid, attempt")
    yield "COMMIT;"


def _insert(table: str, row: Mapping[str, Any], columns: Sequence[str], key: str) -> str:
    names = [name for name in columns if name in row]
    values = ", ".join(literal(row[name]) for name in names)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values}) ON CONFLICT ({key}) DO NOTHING;"  # noqa: S608 - literals


def literal(value: Any) -> str:
    """As SQL has it; a text comes from the network, and stays one (PostgreSQL knows no NUL in it)."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return repr(value)
    text = str(value).replace("\0", "").replace("'", "''")
    return f"'{text}'"
