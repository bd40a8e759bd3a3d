"""
Whole nodes and phones on one clock, without a socket: the real parts of the SIP side over a transport that only queues.

What one sends lies in the L{Network} until C{run()}; nothing is delivered from inside a call, as with a real socket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import TCP, TLS, UDP, WS, WSS, Flow, Hop, is_ipv6
from voipcluster.balance.decision import Gates, Own
from voipcluster.balance.membership import Membership, MembersListed, ReportReceived
from voipcluster.balance.messages import Member
from voipcluster.balance.placement import Placement
from voipcluster.balance.policy import LeastLoaded
from voipcluster.balance.report import Report
from voipcluster.balance.state import NodeState
from voipcluster.balance.workload import Workload
from voipcluster.errors import TransportError
from voipcluster.net.timers import TimerWheel
from voipcluster.services.media.kernel_path import NoKernel
from voipcluster.services.media.ports import RelayAddress
from voipcluster.services.media.relay import MediaService
from voipcluster.services.registrar.registrar import RegistrarService
from voipcluster.services.sip.accepted import Accepted
from voipcluster.services.sip.access import Access, credentials_lookup
from voipcluster.services.sip.calls import CallTable
from voipcluster.services.sip.claims import Claims
from voipcluster.services.sip.core import SipCore
from voipcluster.services.sip.dialogs import Dialogs
from voipcluster.services.sip.diverting import Wishes
from voipcluster.services.sip.hooks import ICallHook
from voipcluster.services.sip.placing import Placing
from voipcluster.services.sip.proxy import ProxyService
from voipcluster.services.sip.serving import Serving
from voipcluster.services.sip.targets import Targets
from voipcluster.services.transaction.limiting import Limiting
from voipcluster.services.transaction.transactions import TransactionService
from voipcluster.sip import digest
from voipcluster.sip.auth import Authenticator, nonce_sealer
from voipcluster.sip.limits import LimitSettings
from voipcluster.sip.message import Request, Response, parse
from voipcluster.sip.outgoing import reply
from voipcluster.sip.preferences import Preferences, read
from voipcluster.sip.proxy.routing import Names
from voipcluster.sip.registration import Settings
from voipcluster.sip.strangers import HARD, StrangerSettings

Address = tuple[str, int]
KEY = bytes(range(32))
DOMAIN = "example.com"
PORTS = {TLS: 5061, WS: 8080, WSS: 8443}  # of every node


class Network:
    """
    @ivar ends: who receives at an address; C{closed}: UDP addresses that answer with ICMP "port unreachable";
        C{lost}: addresses to which nothing arrives; C{deaf}: nothing but UDP, as behind a firewall that drops the rest;
        C{refusing}: those that take no connection.
    @ivar log: everything that was sent, as (source, destination, bytes).
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ends: dict[Address, FakeTransport | Phone] = {}
        self.closed: set[Address] = set()
        self.lost: set[Address] = set()
        self.deaf: set[Address] = set()
        self.refusing: set[Address] = set()
        self.log: list[tuple[Address, Address, bytes]] = []
        self._queue: deque[tuple[str, Address, Address, bytes]] = deque()

    def put(self, transport: str, source: Address, destination: Address, data: bytes) -> None:
        self.log.append((source, destination, data))
        self._queue.append((transport, source, destination, data))

    def run(self) -> None:
        while self._queue:
            transport, source, destination, data = self._queue.popleft()
            if destination in self.lost or (transport != UDP and destination in self.deaf):
                continue
            if destination in self.closed and transport == UDP:
                sender = self.ends[source]
                if isinstance(sender, FakeTransport):
                    sender.sink.unreachable(Hop(UDP, *destination))
                continue
            end = self.ends.get(destination)
            if end is not None:
                end.take(transport, source, data)


class FakeTransport:
    """
    What L{voipcluster.services.transaction.transport.TransportService} offers to the SIP side, over a L{Network}.

    @ivar connections: number to remote address, of those that are open.
    """

    def __init__(self, network: Network, addresses: Sequence[Address]) -> None:
        self.network = network
        self.addresses = list(addresses)
        self.sink: TransactionService
        self.connections: dict[int, Address] = {}
        self.kept: list[tuple[Flow, float]] = []
        self.expected: list[tuple[Flow, float]] = []
        self._numbers = 0
        for host, port in addresses:
            for of in (port, *PORTS.values()):
                network.ends[host, of] = self

    def local(self, transport: str, ipv6: bool) -> Address | None:
        return next((_at(a, transport) for a in self.addresses if is_ipv6(a[0]) == ipv6), None)

    def take(self, transport: str, source: Address, data: bytes) -> None:
        local = self.local(transport, is_ipv6(source[0]))
        assert local is not None
        number = 0 if transport == UDP else self.connection_to(source) or self.open(source)
        self.sink.bytes_received(data, Flow(transport, local, source, number))

    def connection_to(self, remote: Address) -> int:
        return next((number for number, address in self.connections.items() if address == remote), 0)

    def open(self, remote: Address) -> int:
        self._numbers += 1
        self.connections[self._numbers] = remote
        return self._numbers

    def lose(self, remote: Address) -> None:
        """The connection to C{remote} breaks."""
        number = self.connection_to(remote)
        del self.connections[number]
        end = self.network.ends.get(remote)
        transport = end.transport if isinstance(end, Phone) else TCP
        local = self.local(transport, is_ipv6(remote[0]))
        assert local is not None
        self.sink.connection_lost(Flow(transport, local, remote, number))

    # as TransportService

    def send(self, data: bytes, flow: Flow, failed: Callable[[TransportError], None] | None = None) -> None:
        if flow.transport != UDP:
            if flow.connection and not self.is_alive(flow):
                return self._fail(failed, f"the connection to {flow} is closed")
            if not self.connection_to(flow.remote):
                if flow.transport in (WS, WSS):
                    return self._fail(failed, f"{flow} cannot be called on")
                if (
                    flow.remote not in self.network.ends
                    or flow.remote in self.network.closed | self.network.refusing
                ):
                    return self._fail(failed, f"{flow} refused")
                self.open(flow.remote)
        elif flow.local not in self.addresses:
            return self._fail(failed, f"nothing to send from at {flow.local}")
        self.network.put(flow.transport, flow.local, flow.remote, data)
        return None

    def close(self, flow: Flow) -> None:
        if self.is_alive(flow):
            del self.connections[flow.connection]
            self.sink.connection_lost(flow)

    def _fail(self, failed: Callable[[TransportError], None] | None, reason: str) -> None:
        if failed is not None:
            self.network.clock.callLater(0, failed, TransportError(reason))

    @property
    def transports(self) -> tuple[str, ...]:
        return (UDP, TCP, TLS)

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys("AAAA" if is_ipv6(host) else "A" for host, _ in self.addresses))

    def flow_to(self, hop: Hop, near: Address | None = None, domain: str = "") -> Flow:
        local = self.local(hop.transport, is_ipv6(hop.host))
        if local is None or hop.transport not in (UDP, TCP, TLS):
            raise TransportError(f"no way to {hop}")
        remote = (hop.host, hop.port)
        return Flow(hop.transport, local, remote, 0 if hop.transport == UDP else self.connection_to(remote))

    def is_alive(self, flow: Flow) -> bool:
        if flow.transport == UDP:
            return flow.local in self.addresses
        return self.connections.get(flow.connection) == flow.remote

    def keep(self, flow: Flow, seconds: float) -> None:
        self.kept.append((flow, seconds))

    def expect(self, flow: Flow, seconds: float) -> None:
        self.expected.append((flow, seconds))

    def local_addresses(self) -> list[Address]:
        return list(self.addresses)

    def sent_by(self, flow: Flow | str, ipv6: bool = False) -> Address:
        if isinstance(flow, Flow):
            return flow.local
        found = self.local(flow, ipv6)
        if found is None:
            raise TransportError("no address of ours for that")
        return found


def _at(address: Address, transport: str) -> Address:
    return address[0], PORTS.get(transport, address[1])


class Phone:
    """
    A user agent that the test plays itself.

    @ivar inbox: what came and was not looked at yet.
    @ivar contact: what it says as its Contact; another thing than C{address} behind a NAT.
    """

    def __init__(self, world: World, user: str, address: Address, transport: str = UDP) -> None:
        self.world, self.user, self.address, self.transport = world, user, address, transport
        self.inbox: list[Request | Response] = []
        self.sources: list[Address] = []
        self.tag = f"tag-{user}"
        self.contact = ""
        world.network.ends[address] = self

    @property
    def uri(self) -> str:
        if self.contact:
            return self.contact
        host = f"[{self.address[0]}]" if ":" in self.address[0] else self.address[0]
        suffix = "" if self.transport == UDP else f";transport={self.transport.lower()}"
        return f"sip:{self.user}@{host}:{self.address[1]}{suffix}"

    @property
    def aor(self) -> str:
        return f"sip:{self.user}@{DOMAIN}"

    def take(self, transport: str, source: Address, data: bytes) -> None:
        self.inbox.append(parse(data))
        self.sources.append(source)

    def took(self) -> list[int | str]:
        """Statuses and methods of what came since the last look."""
        found = [m.status if isinstance(m, Response) else m.method for m in self.inbox]
        self.inbox.clear()
        return found

    def request(self, method: str | None = None) -> Request:
        """The last request that came (of that method)."""
        return next(m for m in reversed(self.inbox) if isinstance(m, Request) and method in (None, m.method))

    def response(self, status: int | None = None) -> Response:
        """The last response that came (of that status)."""
        return next(m for m in reversed(self.inbox) if isinstance(m, Response) and status in (None, m.status))

    def send(
        self,
        node: Node,
        method: str,
        uri: str,
        *,
        cseq: int = 1,
        branch: str = "",
        call_id: str = "call-1",
        from_uri: str | None = None,
        to_tag: str = "",
        routes: Sequence[str] = (),
        headers: Sequence[str] = (),
        contact: str | None = None,
        sent_by: str | None = None,
        rport: bool = True,
        body: str = "",
        run: bool = True,
    ) -> bytes:
        """Send a request, and let the network run; C{branch}: the end of one, else a new one."""
        self.world.branches += 1
        host = f"[{self.address[0]}]" if ":" in self.address[0] else self.address[0]
        via = f"SIP/2.0/{self.transport} {sent_by or f'{host}:{self.address[1]}'}"
        via += f";branch=z9hG4bK{branch or self.world.branches}{';rport' if rport else ''}"
        target = self.aor if method == "REGISTER" else uri
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: {via}",
            "Max-Forwards: 70",
            f"From: <{from_uri or self.aor}>;tag={self.tag}",
            f"To: <{target}>{';tag=' + to_tag if to_tag else ''}",
            f"Call-ID: {call_id}",
            f"CSeq: {cseq} {method}",
            *(f"Route: {route}" for route in routes),
            f"Contact: {contact}"
            if (contact or "").startswith("<")
            else f"Contact: <{self.uri if contact is None else contact}>",
            *headers,
            f"Content-Length: {len(body)}",
        ]
        data = ("\r\n".join([*lines, "", ""]) + body).encode()
        self.world.network.put(self.transport, self.address, node.address, data)
        if run:
            self.world.run()
        return data

    def reply(
        self, request: Request, status: int, *, headers: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        """Answer a request, as a UAS does: the Record-Route comes back with it (RFC 3261 section 12.1.1)."""
        more = [("record-route", value) for value in request.get_all("record-route")]
        more += [("contact", f"<{self.uri}>"), *headers]
        response = reply(request, status, None, None if status == 100 else self.tag, more, body)
        via = request.top_via
        self.world.network.put(
            self.transport, self.address, (via.host, via.port or 5060), response.to_bytes()
        )
        self.world.run()

    def register(self, node: Node, expires: int = 600, headers: Sequence[str] = ()) -> None:
        self.send(
            node, "REGISTER", f"sip:{DOMAIN}", call_id=f"reg-{self.user}", cseq=self.world.branches,
            headers=[f"Expires: {expires}", *headers],
        )  # fmt: skip

    def credentials(self, response: Response, method: str, uri: str, password: str = "secret") -> str:
        """The header line that answers a challenge."""
        key = "www-authenticate" if response.status == 401 else "proxy-authenticate"
        found = digest.answer(
            response.get_all(key)[0], method, uri, self.user, password=password, cnonce="c0ffee"
        )
        return f"{'Authorization' if response.status == 401 else 'Proxy-Authorization'}: {found}"


class Node:
    """The SIP side of one node, wired as L{voipcluster.services.node.service.NodeService} does it."""

    def __init__(
        self, world: World, name: str, addresses: Sequence[Address], mode: str = "forward",
        auth: bool = False, hook: ICallHook | None = None, relay: str = "off", epoch: int = 1000,
        limits: LimitSettings | None = None, strangers: StrangerSettings | None = None,
    ) -> None:  # fmt: skip
        self.world, self.name, self.address, clock = world, name, addresses[0], world.clock
        self.transport = FakeTransport(world.network, addresses)
        self.wheel = TimerWheel(clock)
        self.limiting = Limiting(
            clock.seconds, limits or LimitSettings(), (),
            lambda: [node.address[0] for node in world.nodes.values()],
            lambda request: self.proxy.is_in_dialog(request), lambda uri: self.core.canonical_aor(uri),  # noqa: PLW0108 - not yet
            strangers or (StrangerSettings() if auth else StrangerSettings(share=HARD, unanswered_in_all=0)), self._load,
            lambda key: self.transactions.is_pending(key),  # noqa: PLW0108 - not yet
        )  # fmt: skip
        self.transactions = TransactionService(self.wheel, KEY, limiting=self.limiting)
        self.transport.sink = self.transactions
        self.core = SipCore(
            name, epoch, KEY, self.transport, self.transactions, self.wheel,
            Names(frozenset(addresses), frozenset(addresses), (DOMAIN,)), {name: self.address},
            clock.seconds, clock.seconds, ports=PORTS,
        )  # fmt: skip
        self.core.epochs = lambda other: world.nodes[other].core.epoch
        self.own = Own(Workload())
        self.membership = Membership(name)
        self.placement = Placement(lambda: self.own, self.membership, LeastLoaded(), Gates())
        self.calls = CallTable(3, 2)
        self.media = MediaService(
            clock,
            ports=(30000, 30099),
            addresses=[RelayAddress(host) for host, _ in addresses],
            relay=relay,
            kernel=NoKernel(),
        )
        self.registrar = RegistrarService(
            clock, name, epoch, Settings(), publish=self._publish, aor_of=self.core.canonical_aor,
            is_known=world.is_user,
        )  # fmt: skip
        self.dialogs = Dialogs(self.core)
        self.down: set[str] = set()
        self.targets = Targets(
            self.core, self.dialogs, self.registrar, world.is_user, lambda node: node not in self.down
        )
        self.access = Access(
            self.core, Authenticator(nonce_sealer(KEY, name, epoch)), credentials_lookup(world.ha1), auth
        )
        claims = Claims(self.core, self.access, self.dialogs, self.registrar.lookup)
        self.serving = Serving(
            self.core, self.dialogs, self.targets, self.media, self.calls, claims, hook, 185.0,
            wishes=Wishes(lambda: self.core.names, world.preferences),
        )  # fmt: skip
        self.placing = Placing(self.core, self.placement, mode, lambda: 0.5, self._serve, 185.0)
        self.proxy = ProxyService(
            self.core, self.access, self.dialogs, claims, self.serving, self.placing, self.registrar,
            self.registrar.connection_lost,
        )  # fmt: skip
        self.transactions.connect(self.transport, self.proxy)

    def _load(self, calls: bool) -> float:
        workload = self.own.workload
        return workload.calls if calls else workload.transactions

    def _serve(self, accepted: Accepted) -> None:
        self.proxy.serve(accepted)

    def _publish(self, update: object) -> None:
        for node in self.world.nodes.values():
            if node is not self:
                node.registrar.apply_remote(update)

    def load(self, workload: float) -> None:
        """Be as busy as that from now on, and tell the others."""
        state = NodeState.FULL if workload >= 0.95 else NodeState.SHED if workload >= 0.75 else NodeState.OPEN
        self.own = Own(Workload(calls=workload), state)
        self.world.tell()


class World:
    """Nodes a, b, ... at 192.0.2.1, .2, ... of one cluster, their phones, and one clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.network = Network(self.clock)
        self.nodes: dict[str, Node] = {}
        self.users = {"alice", "bob", "carol"}
        self.preferences: dict[str, Preferences] = {}
        self.branches = 0
        self._seq = 0

    def node(
        self, name: str, mode: str = "forward", auth: bool = False, hook: ICallHook | None = None,
        relay: str = "off", more: Sequence[Address] = (), limits: LimitSettings | None = None,
        strangers: StrangerSettings | None = None,
    ) -> Node:  # fmt: skip
        address = (f"192.0.2.{len(self.nodes) + 1}", 5060)
        node = self.nodes[name] = Node(
            self, name, [address, *more], mode, auth, hook, relay, limits=limits, strangers=strangers
        )
        addresses = {n.name: n.address for n in self.nodes.values()}
        for known in self.nodes.values():
            known.core.addresses.update(addresses)
            core = known.core
            own, all_ = known.transport.addresses, addresses.values()
            own_names = core.all_addresses(*own)
            core.names = Names(own_names, core.all_addresses(*all_) | own_names, (DOMAIN,))
        members = tuple(
            Member(name=n.name, role="secondary", address=n.address[0]) for n in self.nodes.values()
        )
        for known in self.nodes.values():
            known.membership.feed(MembersListed(members))
        self.tell()
        return node

    def prefers(self, user: str, texts: dict[str, str]) -> None:
        """What a user wants from now on."""
        self.preferences[f"{user}@{DOMAIN}"] = read(user, DOMAIN, texts)

    def phone(self, user: str, host: str, transport: str = UDP, port: int = 5060) -> Phone:
        return Phone(self, user, (host, port), transport)

    def tell(self) -> None:
        """Each node reports its workload to the others."""
        self._seq += 1
        for node in self.nodes.values():
            report = Report(
                node=node.name, epoch=node.core.epoch, seq=self._seq, state=node.own.state,
                workload=node.own.workload, period=1.0,
            )  # fmt: skip
            for other in self.nodes.values():
                if other is not node:
                    other.membership.feed(ReportReceived(report, self.clock.seconds()))

    def is_user(self, aor: str) -> bool:
        user, _, domain = aor.rpartition("@")
        return domain == DOMAIN and user in self.users

    def ha1(self, user: str, domain: str, algorithm: str) -> str | None:
        return digest.ha1(algorithm, user, domain, "secret") if user in self.users else None

    def run(self) -> None:
        self.network.run()
        self.clock.advance(0)
        self.network.run()

    def wait(self, seconds: float, step: float = 0.05) -> None:
        """Time passes in small steps, with a report of each node in every second."""
        told = self.clock.seconds()
        end = told + seconds
        while self.clock.seconds() < end - 1e-9:
            self.clock.advance(step)
            self.network.run()
            if self.clock.seconds() - told >= 1.0:
                told = self.clock.seconds()
                self.tell()

    def leftovers(self) -> list[str]:
        """What is still there on any node; nothing is to be when all timers are through."""
        found = []
        for node in self.nodes.values():
            found += [f"{node.name} server {key}" for key in node.transactions.servers]
            found += [f"{node.name} client {key}" for key in node.transactions.clients]
            found += [f"{node.name} call {call.key}" for call in node.calls]
            if node.wheel.running:
                found.append(f"{node.name} {node.wheel.running} timers")
        return found


class WorldCase(SynchronousTestCase):
    """
    A test with a world of its own; at its end, when all timers are through, nothing may be left anywhere.

    @cvar calls_left: calls in progress that the test leaves behind on purpose.
    """

    calls_left = 0

    def setUp(self) -> None:
        self.world = World()

    def tearDown(self) -> None:
        self.world.wait(70, step=0.5)
        left = self.world.leftovers()
        calls = [entry for entry in left if " call " in entry]
        self.assertEqual(len(calls), self.calls_left, calls)
        self.assertEqual([entry for entry in left if " call " not in entry], [])
        self.world.wait(200, step=1.0)  # the wheel ticks until cancelled timers were due, Timer C among them
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
