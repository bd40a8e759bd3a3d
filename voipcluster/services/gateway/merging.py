"""The gateways of the file and those of the database are one list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from attrs import evolve

from voipcluster.balance.messages import StoredGateway, Way
from voipcluster.config.gateways import OPTIONS, gateway_of, marks_of, table_of
from voipcluster.errors import PeerError, UsageError
from voipcluster.gateway.gateway import Gateway

FILE, DATABASE, CHANGED = "file", "database", "file, changed"


class Origin(NamedTuple):
    """A gateway and where it is declared: C{file}, C{database}, or in the file but changed in the database."""

    gateway: Gateway
    where: str


def merged(
    of_file: Iterable[Gateway], stored: Iterable[StoredGateway]
) -> tuple[dict[str, Origin], list[str]]:
    """
    What is stored wins over the file; a switch changes only whether a gateway of the file is enabled.

    @return: all gateways by name; and one line for each that is stored but wrong, or cannot be told from another one. That
        one is left out, so that nobody is taken for somebody else.
    """
    joined = _Joined(of_file)
    faults = [fault for row in stored if (fault := joined.take(row))]
    return joined.found, [f"{fault}; it is left out" for fault in faults]


class _Joined:
    """The one list while it is made: it is looked at once for each row, however many there are."""

    def __init__(self, of_file: Iterable[Gateway]) -> None:
        self.found = {gateway.name: Origin(gateway, FILE) for gateway in of_file}
        self._owners = {
            mark[1:]: name for name, origin in self.found.items() for mark in marks_of(origin.gateway)
        }

    def take(self, row: StoredGateway) -> str:
        """@return: why it is left out; empty when it is not."""
        known = self.found.get(row.name)
        if row.switch:
            if known is not None:
                self.found[row.name] = Origin(evolve(known.gateway, enabled=row.enabled), CHANGED)
            return ""
        try:
            gateway = declared(row)
        except UsageError as error:
            return f"gateway {row.name} of the database: {error}"
        marks = list(marks_of(gateway))
        for mark in marks:
            owner = self._owners.get(mark[1:], row.name)
            if owner != row.name:
                return f"gateway {row.name} of the database: {mark.key}: {mark.is_of(owner)}"
        if known is not None:
            for mark in marks_of(known.gateway):
                self._owners.pop(mark[1:], None)
        self._owners.update((mark[1:], row.name) for mark in marks)
        self.found[row.name] = Origin(gateway, DATABASE if known is None else CHANGED)
        return ""


def declared(row: StoredGateway) -> Gateway:
    """@raise UsageError: what is wrong with it."""
    table: dict[str, Any] = {name: getattr(row, name) for name in _KEYS}
    for key, value in table.items():
        if isinstance(value, tuple):
            table[key] = list(value)
    for way in _WAYS:
        of = getattr(row, way)
        table[way] = {"callers": list(of.callers), "numbers": list(of.numbers)}
    return gateway_of(table)


def stored(gateway: Gateway) -> StoredGateway:
    """As it is kept in the database and told to the other nodes; a file with a password is no part of that."""
    table = table_of(gateway)
    taken: dict[str, Any] = {}
    for key in _KEYS:
        taken[key] = tuple(table[key]) if isinstance(table[key], list) else table[key]
    for key in _WAYS:
        taken[key] = Way(callers=tuple(table[key]["callers"]), numbers=tuple(table[key]["numbers"]))
    return StoredGateway(**taken)


def check_change(of_file: Iterable[Gateway], rows: Iterable[StoredGateway], *changed: StoredGateway) -> None:
    """
    Whether the primary may store changes, all of them at once.

    @raise PeerError: why not, in one line.
    """
    for fault in faults_of_changes(of_file, rows, changed).values():
        raise PeerError(fault)


def faults_of_changes(
    of_file: Iterable[Gateway], rows: Iterable[StoredGateway], changed: Sequence[StoredGateway]
) -> dict[str, str]:
    """Why some of the rows that change cannot be gateways, by name, when all the others of them are as they are to be."""
    names = {row.name for row in changed}
    joined = _Joined(of_file)
    for row in rows:
        if row.name not in names:
            joined.take(row)
    found = {row.name: joined.take(row) for row in changed if not (row.removed or row.switch)}
    return {name: fault for name, fault in found.items() if fault}


_WAYS = ("incoming", "outgoing")
_KEYS = tuple(key for key in OPTIONS if key != "secret")
