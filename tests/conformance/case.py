"""
What every conformance test has: a node that it shares with others, peers on addresses of its own, and a strict end.

Each test checks at its end that the node still answers within two seconds and has logged no traceback (requirement 149).
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from tests.conformance.digest import credentials
from tests.conformance.peer import Dialog, Peer, new_branch
from tests.conformance.shared_node import SharedNode, shared_node
from tests.conformance.wire import Message
from tests.integration.harness import DOMAIN, IntegrationTestCase
from tests.stopwatch import Stopwatch

__all__ = ["ConformanceTestCase", "Dialog", "Message", "Peer"]

SLOW = 3  # times that the node may take too long to answer
ASKED_AGAIN = 20  # times, when the answer is 503
_HERE = Path(__file__).parent
PORTS_FREE = "voipcluster_media_ports_free"
_COUNTS = (
    "voipcluster_calls", 'voipcluster_transactions{side="server"}', 'voipcluster_transactions{side="client"}',
    "voipcluster_media_streams", PORTS_FREE, "voipcluster_timers",
)  # fmt: skip


class ConformanceTestCase(IntegrationTestCase):
    """
    Tests of one node. Those of a module whose C{options} are the same share it.

    @cvar options: for its command line; C{auth}: whether it asks for passwords; C{domain}: its first domain.
    @cvar domains: all that it serves.
    @cvar node_host: its address, when it is not to be one of the module's own network; C{node_port}: its SIP port.
    @cvar share: who sets a word here has a node that only those with the same word share; C{node_kind}: what makes it.
    @ivar faults: what peers got that is no SIP; it fails the test.
    @ivar registered: the users whose bindings are removed at the end.
    @ivar node_options: all of the node's command line that says what it is like.
    """

    timeout = 120
    patience: ClassVar[tuple[float, ...]] = (0.5, 1.5)  # seconds for an OPTIONS, and for its copy (Timer E)
    options: ClassVar[Sequence[str]] = ()
    auth: ClassVar[bool] = False
    domain: ClassVar[str] = DOMAIN
    domains: ClassVar[Sequence[str]] = (DOMAIN,)
    node_host: ClassVar[str] = ""
    node_port: ClassVar[int] = 5060
    share: ClassVar[str] = ""
    node_kind: ClassVar[type[SharedNode]] = SharedNode
    node: SharedNode

    async def setUp(self) -> None:
        super().setUp()
        self.faults: list[str] = []
        self.registered: set[str] = set()
        self._peers = 0
        self._prober: Peer | None = None
        domains = ", ".join(f'"{domain}"' for domain in self.domains)
        options = (
            *("--set", f"cluster.domain=[{domains}]", "--set", f"auth.required={str(self.auth).lower()}"),
            *("--set", "web.port=0", "--set", f"sip.port={self.node_port}", *self.options),
        )
        module = self.network.rpartition(".")[0]
        self.node_options = options
        self.node = await shared_node(
            self.reactor, options, f"{module}.0", self.folder, self.node_host, self.share, self.node_kind
        )

    def _own_network(self) -> str:
        """127.MODULE.TEST behind those of the integration tests; a module's nodes are in 127.MODULE.0."""
        modules = sorted(path.stem for path in _HERE.glob("test_*.py"))
        IntegrationTestCase._tests_begun += 1
        number = modules.index(type(self).__module__.rpartition(".")[2])
        return f"127.{100 + number}.{1 + IntegrationTestCase._tests_begun % 250}"

    async def tearDown(self) -> None:
        try:
            if self.node.running:
                await self.node_answers()
                for user in self.registered:
                    await self.unregister(user)
        finally:
            await super().tearDown()
        self.assertTrue(self.node.running, "the node has ended")
        self.assertEqual(self.faults, [])
        self.assertEqual(self.node.tracebacks(), [])

    # peers

    def _new_peer(self, user: str, transport: str, host: str) -> Peer:
        self._peers += 1
        return Peer(self, user, transport, host or self.peer_host(self._peers))

    def peer_host(self, number: int) -> str:
        """An address for the peer of that number: each has its own."""
        return self.address(100 + number)

    def udp(self, user: str = "alice", *, host: str = "", port: int = 5060) -> Peer:
        """A peer on UDP; C{host}: one address of this test more, unless told otherwise."""
        return self._new_peer(user, "UDP", host).listen_udp(port)

    async def tcp(self, user: str = "alice", *, host: str = "") -> Peer:
        """A peer that has opened a connection to the node."""
        peer = self._new_peer(user, "TCP", host)
        await peer.connect()
        return peer

    def tcp_server(self, user: str = "bob", *, host: str = "", port: int = 5060) -> Peer:
        """A peer that waits for connections."""
        return self._new_peer(user, "TCP", host).listen_tcp(port)

    async def phone(self, user: str = "bob", **options: str) -> Peer:
        """A peer on UDP that is registered."""
        peer = self.udp(user, **options)
        await self.add_users(user)
        await peer.register()
        return peer

    async def left_by_its_caller(self) -> tuple[Peer, Peer, Message, Message]:
        """
        An INVITE whose caller's connection is closed when it has arrived, and whose Via says port 5070 for responses.

        @return: caller, callee, the INVITE as it was sent, and as it arrived.
        """
        caller, callee = await self.tcp("alice"), await self.phone("bob")
        assert caller.connection is not None
        invite = caller.invite("bob")
        invite.set("Via", invite["via"].replace(caller.where, f"{caller.host}:5070"))
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        await caller.connection.close()
        return caller, callee, invite, arrived

    async def unregister(self, user: str) -> None:
        """Remove all bindings of a user, so that the next test finds none."""
        peer = self._new_peer(user, "UDP", self.prober_host()).listen_udp(0)
        await peer.register(("Expires", "0"), contact="*")

    async def add_users(self, *names: str) -> None:
        """Let the node know these users, with random passwords; nothing happens when it asks for none."""
        for name in names if self.auth else ():
            if name not in self.node.users:
                password = secrets.token_hex(8)
                await self.node.ask("user-add", name=name, domain=self.domain, password=password)
                self.node.users[name] = password

    def authorized(
        self, peer: Peer, request: Message, challenge: Message, password: str = "", index: int = -1
    ) -> Message:
        """See L{Peer.authorized}."""
        proxy = challenge.status == 407
        values = challenge.lines("proxy-authenticate" if proxy else "www-authenticate")
        secret = password or self.node.users.get(peer.user, "")
        answer = credentials(values[index], request.method, request.uri, peer.user, secret)
        again = request.copy()
        old = request.branch
        again.set("Via", *[value.replace(old, new_branch()) for value in request.lines("via")])
        again.set("CSeq", f"{peer.next_cseq()} {request.method}")
        return again.add("Proxy-Authorization" if proxy else "Authorization", answer)

    async def call(self, caller: Peer, callee: Peer, *headers: tuple[str, str]) -> tuple[Dialog, Dialog]:
        """Bring a call up from INVITE to ACK; gives both sides of its dialog."""
        invite = caller.invite(callee.user, *headers)
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        answer = callee.reply(arrived, 200, body=callee.sdp())
        ok = await caller.expect(200, "INVITE")
        ours = Dialog.of_caller(caller, invite, ok)
        ours.ack()
        await callee.expect("ACK")
        return ours, Dialog.of_callee(callee, arrived, answer)

    def stopwatch(self) -> Stopwatch:
        """What passes from now on, but for what the node and this process wait for a processor."""
        return Stopwatch(self.node.pid)

    async def at_once(self, act: Callable[[], Awaitable[object]], seconds: float, what: object = "") -> None:
        """
        Do something up to three times until it takes less than so many seconds, and fail when it never does.

        On a busy machine any process waits for the processor now and then; what is slow is so each time.
        """
        took = []
        for _ in range(3):
            watch = self.stopwatch()
            await act()
            took.append(watch.seconds)
            if took[-1] < seconds:
                return
        self.fail(f"not within {seconds} s: {what}, but {took}")

    # the node

    async def node_answers(self) -> None:
        """
        Return once the node has answered an OPTIONS of a peer that does nothing else within C{patience}; fail when it does
        not for the third time, since on a busy machine any process waits for the processor now and then.

        A 503 is an answer, too, while other trials have the processor and requests wait: it is asked again.
        """
        if self._prober is None:
            self._prober = self._new_peer("prober", "UDP", self.prober_host()).listen_udp(0)
        for _ in range(ASKED_AGAIN):
            for number, patience in enumerate(SLOW * self.patience):
                if number % len(self.patience) == 0:
                    options = self._prober.request("OPTIONS", f"sip:{self.node_uri_host}")
                # else once more: a full buffer of the node's socket has no place for a datagram
                with suppress(self.failureException):
                    response = await self._prober.exchange(options, patience)
                    break
            else:
                self.fail(f"no answer to OPTIONS within {sum(self.patience)} s, {SLOW} times")
            if response.status != 503:
                break
            await self.tick(0.1)
        self.assertEqual(response.status, 200, response.start)

    def prober_host(self) -> str:
        return self.address(250)

    @property
    def node_uri_host(self) -> str:
        host = self.node.address
        return f"[{host}]:{self.node_port}" if ":" in host else f"{host}:{self.node_port}"

    async def counts(self) -> dict[str, float]:
        """Calls, transactions, relay ports and timers of the node: what has to return to where it was."""
        numbers = await self.node.numbers()
        return {name: numbers[name] for name in _COUNTS}

    async def returns_to(self, base: dict[str, float], seconds: float = 40.0) -> None:
        """
        Return once the counts are at the base line again: 64*T1 are 32 s with standard timers. What others have left at a node
        that is shared may end meanwhile: there may be less than at the base line, and more ports that are free.
        """

        async def back() -> bool:
            now = await self.counts()
            return all(
                now[name] >= base[name] if name == PORTS_FREE else now[name] <= base[name] for name in base
            )

        try:
            await self.until(back, "the counts return to the base line", seconds)
        except self.failureException as error:
            raise self.failureException(f"{error}: {await self.counts()} instead of {base}") from None
