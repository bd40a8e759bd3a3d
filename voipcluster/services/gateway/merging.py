"""The gateways of the file and those of the database are one list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from attrs import evolve

from voipcluster.balance.messages import StoredGateway, Way
from voipcluster.config.gateways import OPTIONS, clashes, gateway_of, table_of
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
    found = {gateway.name: Origin(gateway, FILE) for gateway in of_file}
    faults: list[str] = []
    for row in stored:
        known = found.get(row.name)
        try:
            if row.switch:
                if known is not None:
                    found[row.name] = Origin(evolve(known.gateway, enabled=row.enabled), CHANGED)
                continue
            gateway = declared(row)
            others = {**{name: origin.gateway for name, origin in found.items()}, gateway.name: gateway}
            for clash in clashes(others.values()):
                raise UsageError(f"{clash.key}: {clash.text}")
        except UsageError as error:
            faults.append(f"gateway {row.name} of the database: {error}; it is left out")
            continue
        found[row.name] = Origin(gateway, DATABASE if known is None else CHANGED)
    return found, faults


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


def check_change(of_file: Iterable[Gateway], rows: Iterable[StoredGateway], row: StoredGateway) -> None:
    """
    Whether the primary may store a change.

    @raise PeerError: why not, in one line.
    """
    if row.removed or row.switch:
        return
    _, before = merged(of_file, [one for one in rows if one.name != row.name])
    _, faults = merged(of_file, [*(one for one in rows if one.name != row.name), row])
    for fault in faults:
        if fault not in before:
            raise PeerError(fault.removesuffix("; it is left out"))


_WAYS = ("incoming", "outgoing")
_KEYS = tuple(key for key in OPTIONS if key != "secret")
