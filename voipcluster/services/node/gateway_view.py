"""The gateways as the operator sees and changes them, gathered from the whole cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.internet.defer import Deferred

from voipcluster.balance.messages import StoredGateway
from voipcluster.config.cautions import codec_cautions
from voipcluster.config.gateways import OPTIONS, WAYS, gateway_of, table_of
from voipcluster.errors import UsageError
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.hours import is_open
from voipcluster.services.gateway.merging import CHANGED, FILE, check_change, stored
from voipcluster.web.view import Row

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts

INCOMING = "incoming"  # the state of a gateway without servers: calls may come from it, and none goes to it
Ask = Callable[[str, Row], "Deferred[dict[str, Row]]"]
"""Asks all other nodes the same; gives the answers by node."""


class GatewayView:
    """
    @param ask: asks the other nodes; C{silent}: those who have not answered, of what did.
    """

    def __init__(self, node: NodeParts, ask: Ask, silent: Callable[[Mapping[str, Row]], list[str]]) -> None:
        self._node, self._ask, self._silent = node, ask, silent

    # -- reading

    def rows(self) -> Deferred[list[Row]]:
        """All gateways, by name; what nodes count is added up, but for those that are C{silent}."""

        def gathered(others: dict[str, Row]) -> list[Row]:
            rows = {row["name"]: row for row in self.own()}
            for row in rows.values():
                row["nodes"] = [{"node": self._node.core.node, **_of_node(row)}]
            for node, answer in sorted(others.items()):
                for other in answer.get("gateways", ()):
                    if isinstance(other, dict) and other.get("name") in rows:
                        _add(rows[other["name"]], node, other)
            silent = self._silent(others)
            for row in rows.values():
                row["silent"] = silent
                row["asr"] = round(row["answers"] / row["seizures"], 4) if row["seizures"] else None
            return [rows[name] for name in sorted(rows)]

        return self._ask("gateways", {}).addCallback(gathered)

    def own(self) -> list[Row]:
        """As this node sees them."""
        book, refused = self._node.gateways, self._node.incoming.refused
        rows = []
        for gateway in book:
            state = book.state(gateway.name)
            assert state is not None, "it is in the book"
            rows.append(
                {
                    "name": gateway.name,
                    "kind": gateway.kind,
                    "servers": list(gateway.servers),
                    "transport": gateway.transport,
                    "where": book.where(gateway.name),
                    "state": self._word(gateway, state.up),
                    "reason": state.reason,
                    "registration": state.registration,
                    "channels": state.channels,
                    "most": state.most,
                    "seizures": state.seizures,
                    "answers": state.answers,
                    "refused": sum(count for (name, _), count in refused.items() if name == gateway.name),
                    "last_cause": state.last_cause,
                    "last_at": state.last_at,
                }
            )
        return rows

    def _word(self, gateway: Gateway, up: bool) -> str:
        if not gateway.enabled:
            return "disabled"
        if not gateway.servers:
            return INCOMING
        if not up:
            return "down"
        return "up" if is_open(gateway.spans, *self._node.gateways.local_time()) else "closed"

    def show(self, name: str) -> Deferred[Row]:
        """One gateway with its options; no password is among them."""
        table = self._options(self._existing(name))

        def found(rows: list[Row]) -> Row:
            row = next((row for row in rows if row["name"] == name), None)
            if row is None:
                raise UsageError(f"there is no gateway {name}")
            return {**row, "options": table}

        return self.rows().addCallback(found)

    def _options(self, gateway: Gateway) -> dict[str, Any]:
        table = table_of(gateway)
        table["password"] = "set" if table["password"] else ""
        return table

    # -- changing

    def add(self, name: str, options: Mapping[str, Any]) -> Deferred[Row]:
        """@return: C{warnings} about what is hardly meant."""
        if self._node.gateways.get(name) is not None:
            raise UsageError(f"gateway {name} exists already; to change it: voipctl gateway set {name} ...")
        # as of users: at the same moment somebody may add it at another node
        return self._declare(gateway_of(_table({"name": name}, options)), new=True)

    def import_all(
        self, tables: Sequence[tuple[str, Mapping[str, Any]]], replace: bool, dry: bool
    ) -> Deferred[Row] | Row:
        """
        Many at once, all of them or none.

        @return: how many were C{added} and C{replaced}, and how many were there already as they are (C{same}).
        """
        node = self._node
        changed: list[StoredGateway] = []
        done = {"added": 0, "replaced": 0, "same": 0}
        for name, options in tables:
            try:
                gateway = gateway_of(_table({"name": name}, options))
                self._check_here(gateway)
            except UsageError as error:
                raise UsageError(f"gateway {name}: {error}") from None
            row, known = stored(gateway), node.gateways.get(name)
            if known is not None and stored(known) == row:
                done["same"] += 1
                continue
            if known is not None and node.gateways.where(name) == FILE:
                raise UsageError(
                    f"gateway {name} is in the configuration file of the nodes, with other options"
                )
            if known is not None and not replace:
                raise UsageError(
                    f"gateway {name} exists already, with other options; --replace gives it those of the import"
                )
            done["added" if known is None else "replaced"] += 1
            changed.append(row)
        check_change(node.config.gateways, node.stored_gateways, *changed)
        if dry or not changed:
            return done
        return node.cluster.change_all("gateway", changed).addCallback(lambda _: done)

    def set(self, name: str, options: Mapping[str, Any]) -> Deferred[Row]:
        """@return: as L{add}."""
        gateway = self._existing(name)
        if gateway.secret:  # which each node has, and the database has not
            raise UsageError(
                f"gateway {name} has its password in the file {gateway.secret}: change it in the configuration file of the nodes"
            )
        table = table_of(gateway)
        return self._declare(gateway_of(_table(table, options)))

    def _declare(self, gateway: Gateway, new: bool = False) -> Deferred[Row]:
        self._check_here(gateway)
        warnings = [f"codecs: {text}" for text in codec_cautions(gateway)]
        if not gateway.servers:
            warnings.append("servers: there are none, so no call goes to it")
            if not (gateway.sources or gateway.username or gateway.certificates):
                warnings.append(
                    "sources, username, certificates: there are none, so nobody is ever known as it"
                )
        return self._change(evolve(stored(gateway), new=new)).addCallback(lambda _: {"warnings": warnings})

    def _check_here(self, gateway: Gateway) -> None:
        """@raise UsageError: it cannot be a gateway of this cluster."""
        if gateway.transport == "tls" and not self._node.config.tls.certificate:
            raise UsageError(
                "transport: tls needs tls.certificate, which is not set in the configuration file"
            )
        core = self._node.core
        for server, (host, _) in gateway.servers_among(core.names.cluster):
            name = next((name for name, (of, _) in core.addresses.items() if of == host), core.node)
            raise UsageError(
                f"servers: {server} is node {name} of this cluster: a call that goes there would come back"
            )

    def switch(self, name: str, on: bool) -> Deferred[None]:
        """Enable or disable a gateway; of one in the file nothing else is changed."""
        self._existing(name)
        row = self._node.stored_gateways.get(name)
        if row is None:
            row = StoredGateway(name=name, switch=True)
        return self._change(evolve(row, enabled=on))

    def remove(self, name: str) -> Deferred[Row]:
        """
        @return: C{left}: whether the gateway is that of the file again, since only its changes were kept here; C{warnings}:
            routes that lead to nobody now.
        """
        self._existing(name)
        where = self._node.gateways.where(name)
        if where == FILE:
            raise UsageError(
                f"gateway {name} is in the configuration file of the nodes: take it out there, or disable it"
            )
        changed = self._change(StoredGateway(name=name, removed=True))
        left = where == CHANGED
        led = [route.prefix for route in self._node.config.routes if route.gateway == name and not left]
        warnings = [
            f"route {prefix or 'of all numbers'}: leads to {name}, so no call goes that way" for prefix in led
        ]
        return changed.addCallback(lambda _: {"left": left, "warnings": warnings})

    def _change(self, row: StoredGateway) -> Deferred[None]:
        return self._node.cluster.change("gateway", row)

    def _existing(self, name: str) -> Gateway:
        gateway = self._node.gateways.get(name)
        if gateway is None:
            raise UsageError(f"there is no gateway {name}")
        return gateway


def _table(before: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """
    Options over a table; C{incoming.numbers} is a key within another one, and a text may stand for a list of texts.

    @raise UsageError: a key that there is not.
    """
    table: dict[str, Any] = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in before.items()
    }
    for key, value in options.items():
        way, dot, inner = key.partition(".")
        if dot and way in WAYS:
            table.setdefault(way, {})[inner] = _listed(value)
        elif key in ("name", "secret"):
            raise UsageError(f"{key}: cannot be set here")
        elif key in OPTIONS:
            default = _DEFAULTS.get(key)
            text = str(value) if type(value) is int and isinstance(default, str) else value
            table[key] = _listed(value, key == "not_alive") if isinstance(default, list) else text
        else:
            known = ", ".join(name for name in OPTIONS if name not in ("name", "secret", "password"))
            ways = ", ".join(f"{way}.{inner}" for way in WAYS for inner in ("callers", "numbers"))
            raise UsageError(f"unknown option {key[:40]!r}; known are {known}, {ways}")
    return table


_DEFAULTS = table_of(Gateway("x"))


def _listed(value: object, of_numbers: bool = False) -> object:
    """C{a,b} as a list; hours hold a comma between days, so there it is a semicolon or a list."""
    if type(value) is int:
        return [value if of_numbers else str(value)]
    if not isinstance(value, str):
        return value
    separator = ";" if ";" in value or (":" in value and "-" in value and " " in value) else ","
    return [part.strip() for part in value.split(separator) if part.strip()]


def _of_node(row: Row) -> Row:
    return {key: row[key] for key in ("state", "reason", "registration", "seizures", "answers", "refused")}


def _add(row: Row, node: str, other: Row) -> None:
    """What another node knows of a gateway, which may be of another version."""
    for key in ("seizures", "answers", "refused"):
        count = other.get(key)
        row[key] += count if isinstance(count, int) else 0
    last = other.get("last_at")
    if isinstance(last, float) and last > row["last_at"]:
        row["last_at"], row["last_cause"] = last, str(other.get("last_cause"))
    row["nodes"].append(
        {
            "node": node,
            **{
                key: other.get(key)
                for key in ("state", "reason", "registration", "seizures", "answers", "refused")
            },
        }
    )
