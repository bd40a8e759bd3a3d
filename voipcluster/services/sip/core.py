"""What every part of the SIP side of a node shares: its names, tokens, transports and clocks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping

from attrs import define, field

from voipcluster.address import TLS, UDP, Flow, is_ipv6, join_host_port
from voipcluster.balance.handover import HandoverTokens
from voipcluster.errors import TransportError
from voipcluster.net.timers import TimerWheel
from voipcluster.remember import LONGEST
from voipcluster.services.sip.branches import Branches
from voipcluster.services.sip.next_hop import hop_of
from voipcluster.services.sip.riding import Riding
from voipcluster.services.transaction.downstream import Downstreams
from voipcluster.services.transaction.resolving import Resolving
from voipcluster.services.transaction.transactions import TransactionService
from voipcluster.services.transaction.transport import TransportService
from voipcluster.sip.gruu import Gruus
from voipcluster.sip.proxy.breadth import RECOMMENDED
from voipcluster.sip.proxy.routing import Names
from voipcluster.sip.resolution import Server
from voipcluster.sip.route import Address, CallTokens, FlowTokens, route_value
from voipcluster.sip.uri import SipUri, parse_uri

_KEPT = 8192  # next hops that are remembered


@define(slots=True)
class SipCore:
    """
    @ivar node: our name; C{epoch}: of this start (see L{voipcluster.store.state}).
    @ivar names: replaced when members come and go.
    @ivar addresses: SIP address (UDP and TCP) of each node of the cluster by name, ours included.
    @ivar ports: of the transports that have another port, on every node: TLS, WS, WSS.
    @ivar max_breadth: into how many branches one request may fork, ours and those of all behind us (RFC 5393 section 5.3.3).
    @ivar downstreams: servers that take part in overload control, or L{None}: it is offered to nobody.
    @ivar resolving: looks names up, or L{None}: then nothing is sent to a name.
    @ivar riding: reports on what goes between nodes, or L{None}: then there are none.
    @ivar octets: so many random ones, that nobody can guess; C{new_branch}: a branch made of them.
    @ivar seconds: the reactor's clock; C{wall}: seconds since 1970, for what other nodes read.
    """

    node: str
    epoch: int
    cluster_key: bytes = field(repr=False)
    transport: TransportService
    transactions: TransactionService
    wheel: TimerWheel
    names: Names
    addresses: dict[str, Address]
    seconds: Callable[[], float]
    wall: Callable[[], float]
    epochs: Callable[[str], int] = lambda node: 0
    resolving: Resolving | None = None
    downstreams: Downstreams | None = None
    ports: Mapping[str, int] = field(factory=dict)
    max_breadth: int = RECOMMENDED
    riding: Riding | None = None
    octets: Callable[[int], bytes] = os.urandom
    new_branch: Callable[[], str] = field(init=False)
    flow_tokens: FlowTokens = field(init=False)
    call_tokens: CallTokens = field(init=False)
    handovers: HandoverTokens = field(init=False)
    gruus: Gruus = field(init=False)
    _sent_by: dict[tuple[str, int], str] = field(factory=dict)
    _ways: dict[str, Flow] = field(factory=dict)
    _towards: dict[tuple[str, bool], Address] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.new_branch = Branches(self.octets).new
        self.flow_tokens = FlowTokens(self.cluster_key)
        self.call_tokens = CallTokens(self.cluster_key)
        self.handovers = HandoverTokens(self.cluster_key)
        self.gruus = Gruus(self.cluster_key)

    def flow_to(self, uri: str) -> Flow:
        """
        The flow to the next hop that a URI names; kept for UDP, where it is always the same.

        @raise NameToResolve: its host is a name; L{TransportError}: there is no transport to it; L{ParseError}: it is none.
        """
        flow = self._ways.get(uri)
        if flow is None:
            flow = self.flow_towards(parse_uri(uri))
            if not flow.reliable:
                if len(self._ways) >= _KEPT:
                    self._ways.clear()
                if len(uri) <= LONGEST:
                    self._ways[uri] = flow
        return flow

    def flow_to_server(self, server: Server) -> Flow:
        """
        The flow to a server that a name has led to.

        @raise TransportError: there is no transport to it.
        """
        return self.transport.flow_to(server.hop, domain=server.domain)

    def flow_towards(self, uri: SipUri) -> Flow:
        """
        The same for a parsed URI, nothing kept.

        @raise TransportError: there is no transport to it; L{NameToResolve}: its host is a name.
        """
        hop, domain = hop_of(uri), ""
        if hop.transport == TLS and self.names.domains and self.names.is_node(uri):
            # our nodes are called by their addresses, but what their certificates prove is the domain that they serve
            domain = self.names.domains[0]
        return self.transport.flow_to(hop, domain=domain)

    def address_for(self, address: Address, transport: str) -> Address:
        """Where the node with that SIP address is reached by another transport."""
        return address[0], self.ports.get(transport, address[1])

    def all_addresses(self, *addresses: Address) -> frozenset[Address]:
        """Everything that nodes with these SIP addresses are called."""
        return frozenset((host, of) for host, port in addresses for of in {port, *self.ports.values()})

    def route_to_node(self, address: Address, token: str, secure: bool) -> str:
        """
        The Route to another node of the cluster, by its SIP address.

        @param secure: whether what goes there may not go in the clear (a sips Request-URI, RFC 3261 section 26.2.2).
        """
        if secure:
            return route_value(self.address_for(address, TLS), TLS, token, True)
        return route_value(address, UDP, token)

    @property
    def own_address(self) -> Address:
        return self.addresses[self.node]

    @property
    def public_address(self) -> Address:
        """What we are called at our own address by all but the other nodes: behind a NAT the advertised one."""
        return self.transport.sent_by(UDP, is_ipv6(self.own_address[0]))

    def sent_by(self, flow: Flow) -> str:
        """Host and port for the Via of what goes out on a flow (RFC 3261 section 18.1.1)."""
        text = self._sent_by.get(flow.local)
        if text is None:
            text = self._sent_by[flow.local] = join_host_port(*self.transport.sent_by(flow))
        return text

    def address_towards(self, flow: Flow) -> Address:
        """What we are called by somebody of that flow's transport and family, for Record-Route."""
        key = (flow.transport, ":" in flow.remote[0])
        address = self._towards.get(key)
        if address is None:
            try:
                address = self.transport.sent_by(*key)
            except TransportError:
                # no address of that family: the other one is all we have
                address = self.address_for(self.public_address, flow.transport)
            self._towards[key] = address
        return address

    def name_towards(self, flow: Flow, ours: bool) -> Address:
        """
        The same for somebody whose flow may be another node's: without an address of that IP version here it is that node which
        brings us what he sends, under its own address.

        @param ours: whether the flow is this node's.
        """
        if not ours:
            version = is_ipv6(flow.remote[0])
            if version != is_ipv6(self.own_address[0]):
                listening = self.transport.local_addresses()
                if all(is_ipv6(host) != version for host, _ in listening):
                    return flow.local
        return self.address_towards(flow)

    def canonical_aor(self, uri: SipUri) -> str | None:
        """The address of record that a URI means in this cluster, L{None} for a domain that is not ours."""
        return self.names.aor(uri)

    def secret(self, purpose: bytes) -> bytes:
        """A key of its own for one purpose, the same on every node."""
        return hashlib.blake2s(self.cluster_key, person=purpose[:8], digest_size=32).digest()
