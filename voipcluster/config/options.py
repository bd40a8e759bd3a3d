"""All options: their sections together, and a list of them for whoever reads, checks or documents them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import NamedTuple

from attrs import Attribute, Factory, field, fields, frozen

from voipcluster.config.allowance import AllowanceOptions
from voipcluster.config.cluster import ClusterOptions, NodeOptions
from voipcluster.config.dns import DnsOptions
from voipcluster.config.kinds import Kind
from voipcluster.config.limits import LimitsOptions, OverloadOptions
from voipcluster.config.log import LogOptions
from voipcluster.config.media import MediaOptions
from voipcluster.config.numbers import NumbersOptions
from voipcluster.config.option import is_live, kind_of
from voipcluster.config.problem import Problem
from voipcluster.config.records import DatabaseOptions, RecordsOptions
from voipcluster.config.sip import AuthOptions, SipOptions
from voipcluster.config.tracing import HepOptions, TraceOptions
from voipcluster.config.transports import TlsOptions, WebOptions, WebSocketOptions
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.rates import RateTable
from voipcluster.gateway.routing import Route


@frozen
class Config:
    """
    All that can be set, checked and complete.

    @ivar gateways: those of the file; C{routes} and C{rates}: the routes to them, and what they cost.
    @ivar cautions: what is allowed, and hardly meant: C{file:line: key: text} of each.
    @ivar path: the file that it came from, or L{None}.
    """

    cluster: ClusterOptions = Factory(ClusterOptions)
    limits: LimitsOptions = Factory(LimitsOptions)
    overload: OverloadOptions = Factory(OverloadOptions)
    media: MediaOptions = Factory(MediaOptions)
    auth: AuthOptions = Factory(AuthOptions)
    sip: SipOptions = Factory(SipOptions)
    tls: TlsOptions = Factory(TlsOptions)
    dns: DnsOptions = Factory(DnsOptions)
    numbers: NumbersOptions = Factory(NumbersOptions)
    database: DatabaseOptions = Factory(DatabaseOptions)
    records: RecordsOptions = Factory(RecordsOptions)
    hep: HepOptions = Factory(HepOptions)
    trace: TraceOptions = Factory(TraceOptions)
    log: LogOptions = Factory(LogOptions)
    web: WebOptions = Factory(WebOptions)
    websocket: WebSocketOptions = Factory(WebSocketOptions)
    node: NodeOptions = Factory(NodeOptions)
    allowance: AllowanceOptions = Factory(AllowanceOptions)
    gateways: tuple[Gateway, ...] = ()
    routes: tuple[Route, ...] = ()
    rates: RateTable = Factory(RateTable)
    cautions: tuple[Problem, ...] = field(default=(), eq=False)
    path: str | None = None

    @property
    def web_host(self) -> str:
        """
        Where the web page listens: C{web.host}, else the node's own loopback address, else 127.0.0.1.

        The page needs no password, so it is not shown to a network that nobody asked for.
        """
        if self.web.host:
            return self.web.host
        address = self.node.address
        return address if address and ipaddress.ip_address(address).is_loopback else "127.0.0.1"


SECTIONS: dict[str, type] = {
    "cluster": ClusterOptions,
    "limits": LimitsOptions,
    "overload": OverloadOptions,
    "media": MediaOptions,
    "auth": AuthOptions,
    "sip": SipOptions,
    "tls": TlsOptions,
    "dns": DnsOptions,
    "numbers": NumbersOptions,
    "database": DatabaseOptions,
    "records": RecordsOptions,
    "allowance": AllowanceOptions,
    "hep": HepOptions,
    "trace": TraceOptions,
    "log": LogOptions,
    "web": WebOptions,
    "websocket": WebSocketOptions,
    "node": NodeOptions,
}


class Option(NamedTuple):
    """One option: where it is, what it holds when nobody sets it, and what it is for."""

    section: str
    key: str
    default: object
    kind: Kind[object]
    doc: str
    live: bool

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"


def options() -> Iterator[Option]:
    """All options, in the order of the sample file."""
    for section, made_from in SECTIONS.items():
        attribute: Attribute[object]
        for attribute in fields(made_from):
            yield Option(
                section,
                attribute.name,
                attribute.default,
                kind_of(attribute.metadata),
                attribute.metadata["doc"],
                is_live(attribute.metadata),
            )
