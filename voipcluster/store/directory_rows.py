"""Accounts and gateways as rows of the shared database, which anybody may have written."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from attrs import evolve

from voipcluster.balance import codec
from voipcluster.balance.messages import Account, Preference, StoredGateway
from voipcluster.errors import PeerError, UsageError
from voipcluster.gateway.dispatcher import DISABLED, INACTIVE, NOT_PROBED, PROBED, attributes, server_of
from voipcluster.sip.preferences import NAMES, read
from voipcluster.store.accounts import MD5, SHA_256, imported_account
from voipcluster.store.gateways import destination_of

# what has a column of its own, or is nobody's option
_APART = (
    "v", "name", "servers", "transport", "sources", "enabled", "password", "removed", "version", "switch", "new",
)  # fmt: skip
MOST = (1 << 53) - 1  # of a version: what the link between nodes carries


class ISeal(Protocol):
    """Makes a text of octets that only the cluster can read, see L{voipcluster.seal.Concealer}."""

    def seal(self, payload: bytes) -> str: ...
    def open(self, token: str) -> bytes: ...


def account_of(row: Any, preferences: Iterable[tuple[str, str]], domains: Iterable[str]) -> Account:
    """
    @param row: of C{subscriber}; C{preferences}: names and values.
    @param domains: those of the cluster.
    @raise UsageError: what is wrong with it.
    """
    _check_version(row.version)
    if not (row.ha1 or row.ha1_sha256):
        raise UsageError("has neither ha1 nor ha1_sha256")
    try:
        account = imported_account(row.username, row.domain, row.ha1, row.ha1_sha256)
    except UsageError as error:
        raise UsageError(str(error).removeprefix(f"{row.username}@{row.domain}: ")) from None
    if account.domain not in domains:
        raise UsageError(f"{row.domain[:80]} is not a domain of this cluster")
    texts = {name: value for name, value in preferences if value}
    read(account.username, account.domain, {name: text for name, text in texts.items() if name in NAMES})
    return evolve(
        account,
        disabled=bool(row.disabled),
        preferences=tuple(Preference(name=name, text=text) for name, text in sorted(texts.items())),
        version=row.version,
    )


def subscriber_row(account: Account, now: float) -> dict[str, Any]:
    found = {one.algorithm: one.ha1 for one in account.ha1}
    return {
        "username": account.username, "domain": account.domain.lower(), "ha1": found.get(MD5, ""),
        "ha1_sha256": found.get(SHA_256, ""), "disabled": account.disabled, "created": now, "last_modified": now,
        "version": max(1, account.version), "password": "", "ha1b": "",
    }  # fmt: skip


def preference_rows(account: Account, now: float) -> list[dict[str, Any]]:
    return [
        {
            "username": account.username, "domain": account.domain.lower(), "attribute": one.name,
            "value": one.text, "last_modified": now,
        }
        for one in account.preferences
    ]  # fmt: skip


def gateway_of(row: Any, addresses: Iterable[Any], seal: ISeal) -> StoredGateway:
    """
    @param row: of C{dispatcher}; C{addresses}: rows of C{address} whose tag is its name.
    @raise UsageError: what is wrong with it.
    """
    _check_version(row.version)
    table = _options(row.attrs) if row.attrs.lstrip().startswith("{") else _foreign(row)
    sealed = table.pop("sealed", "")
    if not table.get("switch"):
        table |= _servers(row.destination)
        table["sources"] = [*table.get("sources", ()), *map(_network, addresses)]
    table |= {
        "name": row.name,
        "enabled": not row.flags & (INACTIVE | DISABLED),
        "password": row.password or (_opened(sealed, row.name, seal) if sealed else ""),
        "version": row.version,
    }
    try:
        gateway: StoredGateway = codec.decode("gateway", table)
    except PeerError as error:
        raise UsageError(str(error)) from None
    return gateway


def dispatcher_row(gateway: StoredGateway, now: float, seal: ISeal) -> dict[str, Any]:
    table = {key: value for key, value in codec.encode(gateway).items() if key not in _APART}
    if gateway.password:
        table["sealed"] = seal.seal(f"{gateway.name}\0{gateway.password}".encode())
    if gateway.switch:
        table = {"switch": True}
    return {
        "name": gateway.name, "setid": 1, "destination": destination_of(gateway),
        "flags": (0 if gateway.enabled else DISABLED) | (PROBED if gateway.probe else 0),
        "priority": 0, "attrs": json.dumps(table), "description": gateway.kind, "password": "",
        "last_modified": now, "version": max(1, gateway.version),
    }  # fmt: skip


def address_rows(gateway: StoredGateway) -> list[dict[str, Any]]:
    networks = [ipaddress.ip_network(source) for source in gateway.sources]
    return [
        {
            "grp": 1, "ip_addr": f"{network.network_address}", "mask": network.prefixlen, "port": 0,
            "tag": gateway.name,
        }
        for network in networks
    ]  # fmt: skip


def _check_version(version: int) -> None:
    if not 0 < version <= MOST:
        raise UsageError(f"version {version} is none")


def _options(attrs: str) -> dict[str, Any]:
    try:
        table = json.loads(attrs)
    except (ValueError, RecursionError):
        raise UsageError("attrs is neither JSON nor NAME=VALUE;...") from None
    return {key: value for key, value in table.items() if key == "switch" or key not in _APART} | {
        "sources": table.get("sources", ()) if isinstance(table.get("sources"), list) else []
    }


def _foreign(row: Any) -> dict[str, Any]:
    """As other servers write it."""
    try:
        found = attributes(row.attrs)
    except ValueError as error:
        raise UsageError(str(error)) from None
    table: dict[str, Any] = {}
    if found.get("maxload"):
        table["channels"] = int(found["maxload"])
    if row.flags & NOT_PROBED:
        table["probe"] = 0.0
    return table


def _servers(destination: str) -> dict[str, Any]:
    servers: list[str] = []
    transports: set[str] = set()
    for uri in destination.split():
        try:
            server, transport = server_of(uri)
        except ValueError as error:
            raise UsageError(f"destination {error}") from None
        servers.append(server)
        transports.add(transport)
    if len(transports) > 1:
        raise UsageError("destination: its servers have not all the same transport")
    return {"servers": servers, "transport": next(iter(transports), "udp")}


def _network(row: Any) -> str:
    if row.port:
        raise UsageError(f"address {row.ip_addr} has a port, and a gateway is known by addresses only")
    try:
        address = ipaddress.ip_address(row.ip_addr.strip())
        mask = address.max_prefixlen if row.mask is None else row.mask
        return str(ipaddress.ip_network((address, mask), strict=False))
    except ValueError:
        mask = "" if row.mask is None else f"/{row.mask}"
        raise UsageError(f"address {row.ip_addr[:50]}{mask} is none") from None


def _opened(sealed: object, name: str, seal: ISeal) -> str:
    try:
        of, _, password = seal.open(sealed if isinstance(sealed, str) else "").partition(b"\0")
    except PeerError:
        of, password = b"", b""
    if of.decode("utf-8", "replace") != name:
        raise UsageError("its password was sealed by another cluster; write it into the column password")
    return password.decode("utf-8", "replace")


def texts_of(rows: Iterable[Any]) -> Mapping[tuple[str, str], list[tuple[str, str]]]:
    """Rows of C{usr_preferences} by user."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in rows:
        found.setdefault((row.username, row.domain), []).append((row.attribute, row.value))
    return found
