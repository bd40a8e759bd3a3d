"""Who comes in by the listening side of the cluster link, and what the others see of it: nothing (attacks P1, P4)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import capturedLogs
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.unit.link_network import Authority, End, Network
from voipcluster.errors import PeerError
from voipcluster.net.certificates import Certified, Identity
from voipcluster.net.gate import HANDSHAKE_TIMEOUT, MAX_PENDING, GateFactory, LogLimiter
from voipcluster.net.join import JoinProtocol
from voipcluster.net.tls import ALPN_JOIN, ALPN_PB, LinkTls


class Listener(Protocol):
    """A client that says nothing and notes what it hears."""

    def __init__(self, first: bytes = b"") -> None:
        self.heard, self.first = b"", first
        self.lost: Failure | None = None

    def connectionMade(self) -> None:
        assert self.transport is not None
        if self.first:
            self.transport.write(self.first)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


@implementer(IOpenSSLClientConnectionCreator)
class ClientTls:
    """Whatever a client wants to show, and no check of the server."""

    def __init__(
        self, identity: Identity | None, alpn: list[bytes], newest: int = SSL.TLS1_3_VERSION
    ) -> None:
        self.context = SSL.Context(SSL.TLS_METHOD)
        self.context.set_max_proto_version(newest)
        if alpn:
            self.context.set_alpn_protos(alpn)
        if identity is not None:
            self.context.use_certificate(identity.certificate)
            self.context.use_privatekey(identity.key)

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self.context, None)


class GateCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.authority = Authority(now=time.time())
        self.tls = LinkTls(self.authority.identity("a", "primary"))
        self.served: list[tuple[str, str]] = []
        self.asked: list[dict[str, Any]] = []
        self.members = {"b", "c"}
        self.gates = GateFactory(
            self.network, lambda: self.tls.identity, self._check, self._serve, self._joining
        )
        self.port = TLSMemoryBIOFactory(self.tls, False, self.gates, self.network)

    def _check(self, peer: Certified) -> None:
        if peer.name not in self.members:
            raise PeerError(f"{peer.name!r} is not a member")

    def _serve(self, peer: Certified) -> Callable[[str, bytes], Deferred[bytes]]:
        def serve(kind: str, payload: bytes) -> Deferred[bytes]:
            self.served.append((peer.name, kind))
            return succeed(b"{}")

        return serve

    def _joining(self, refused: Callable[[str], None]) -> JoinProtocol:
        def answer(request: dict[str, Any]) -> dict[str, Any]:
            self.asked.append(request)
            return {"fine": 1}

        return JoinProtocol(answer, refused)

    def plain(self, protocol: Protocol, source: str = "127.0.0.7") -> End:
        ours, _ = self.network.join(protocol, self.port, source, ("127.0.0.1", 8787))
        return ours

    def connect(
        self, identity: Identity | None, alpn: list[bytes], listener: Listener | None = None, **options: Any
    ) -> tuple[Listener, End]:
        listener = listener or Listener()
        factory = Factory.forProtocol(lambda: listener)
        tls = TLSMemoryBIOFactory(ClientTls(identity, alpn, **options), True, factory, self.network)
        end = self.plain(tls.buildProtocol(None))
        self.network.settle()
        return listener, end


class Members(GateCase):
    def test_a_member_comes_in(self) -> None:
        """The server greets a member in PB's way, and it knows whom it serves."""
        listener, end = self.connect(self.authority.identity("b"), [ALPN_PB])
        self.assertIn(b"pb", listener.heard)
        self.assertFalse(end.closed)
        self.assertTrue(self.gates.is_connected("b"))
        self.gates.close()
        self.network.settle()
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_a_new_connection_replaces_the_old_one(self) -> None:
        """A restarted member is heard at once; its dead connection does not count."""
        identity = self.authority.identity("b")
        _, old = self.connect(identity, [ALPN_PB])
        _, new = self.connect(identity, [ALPN_PB])
        self.assertEqual((old.closed, new.closed, self.gates.is_connected("b")), (True, False, True))
        self.gates.close()
        self.network.settle()

    def test_a_removed_member_is_closed(self) -> None:
        """A node that is shut out loses its connection too."""
        _, end = self.connect(self.authority.identity("b"), [ALPN_PB])
        self.gates.close_node("b", "removed")
        self.gates.close_node("c", "was never there")
        self.network.settle()
        self.assertTrue(end.closed)
        self.assertFalse(self.gates.is_connected("b"))


class Strangers(GateCase):
    """P1: none of these sees a single octet of PB."""

    def refused(self, identity: Identity | None, alpn: list[bytes], **options: Any) -> None:
        listener, end = self.connect(identity, alpn, **options)
        self.assertEqual(listener.heard, b"")
        self.assertTrue(end.closed)
        self.assertEqual((self.served, self.asked), ([], []))
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_no_certificate(self) -> None:
        """TLS without a client certificate."""
        self.refused(None, [ALPN_PB])

    def test_certificate_of_another_ca(self) -> None:
        """The same names, another key of the CA."""
        self.refused(Authority(now=time.time()).identity("b"), [ALPN_PB])

    def test_expired_certificate(self) -> None:
        """A certificate of the right CA, an hour too late."""
        old = Authority(now=time.time() - 10 * 86400)
        self.tls.renew(old.identity("a", "primary"))
        self.refused(old.identity("b", days=9.9), [ALPN_PB])

    def test_not_a_member(self) -> None:
        """The right CA, but not a member's name, which is also what a removed node has."""
        self.refused(self.authority.identity("stranger"), [ALPN_PB])

    def test_another_cluster(self) -> None:
        """The right CA, but the name of another cluster in the certificate."""
        self.refused(self.authority.identity("b", cluster="c9"), [ALPN_PB])

    def test_other_or_no_alpn(self) -> None:
        """A member's certificate, but not the link's protocol (RFC 7301)."""
        self.refused(self.authority.identity("b"), [b"http/1.1"])
        self.refused(self.authority.identity("b"), [])

    def test_older_tls(self) -> None:
        """TLS 1.2 is not spoken."""
        self.refused(self.authority.identity("b"), [ALPN_PB], newest=SSL.TLS1_2_VERSION)

    def test_without_tls(self) -> None:
        """Plain octets end the connection; silence ends it in time."""
        rude, silent = Listener(b"\x01\x80pb-or-http\r\n\r\n"), Listener()
        first, second = self.plain(rude), self.plain(silent)
        self.network.settle()
        self.assertTrue(first.closed)
        self.network.pass_time(HANDSHAKE_TIMEOUT - 0.2)
        self.assertFalse(second.closed)
        self.network.pass_time(0.3)
        self.assertTrue(second.closed)
        self.assertNotIn(b"pb", rude.heard)
        self.assertEqual(silent.heard, b"")
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_a_flood_pushes_out_its_own(self) -> None:
        """P4: connections of one address do not push out one of another address that is at work."""
        other = self.plain(Listener(), source="127.0.0.9")
        for _ in range(3 * MAX_PENDING):
            self.plain(Listener())
        self.network.settle()
        self.assertFalse(other.closed)
        self.gates.close()
        self.network.settle()
        self.assertTrue(other.closed)
        self.assertEqual((self.network.getDelayedCalls(), self.gates._pending), ([], {}))

    def test_one_line_in_the_log(self) -> None:
        """A hundred refusals of one address within 10 s are one line, and the next line counts them."""
        with capturedLogs() as events:
            for _ in range(100):
                self.connect(None, [ALPN_PB])
            self.network.pass_time(11, step=1)
            self.connect(None, [ALPN_PB])
        lines = [event for event in events if "refused" in str(event.get("log_format"))]
        self.assertEqual([event["left_out"] for event in lines], [0, 99])

    def test_half_open_handshakes_are_bounded(self) -> None:
        """P4: the oldest incomplete handshake gives way, and a member still comes in."""
        ends = [self.plain(Listener()) for _ in range(MAX_PENDING + 40)]
        self.network.settle()
        self.assertEqual(sum(not end.closed for end in ends), MAX_PENDING)
        _, end = self.connect(self.authority.identity("b"), [ALPN_PB])
        self.assertFalse(end.closed)
        self.network.pass_time(HANDSHAKE_TIMEOUT + 0.2)
        self.assertTrue(all(end.closed for end in ends))
        self.gates.close()
        self.network.settle()


class Joining(GateCase):
    def test_a_line_is_answered_and_the_connection_closed(self) -> None:
        """A node without a certificate says one line and hears one line."""
        listener, end = self.connect(None, [ALPN_JOIN], Listener(b'{"name": "d"}\n{"name": "e"}\n'))
        self.assertEqual(self.asked, [{"name": "d"}])
        self.assertEqual(listener.heard, b'{"fine": 1}\n')
        self.assertTrue(end.closed)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_a_slow_one_is_closed(self) -> None:
        """P4: who may say one line may not take its time for it."""
        _, end = self.connect(None, [ALPN_JOIN], Listener(b'{"na'))
        self.network.pass_time(HANDSHAKE_TIMEOUT + 0.1)
        self.assertTrue(end.closed)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_a_long_line_is_closed(self) -> None:
        """The line is bounded."""
        listener, end = self.connect(None, [ALPN_JOIN], Listener(b"x" * 20_000))
        self.assertEqual((listener.heard, end.closed, self.asked), (b"", True, []))

    def test_rubbish_is_answered_as_such(self) -> None:
        """What is not a JSON object is refused without asking anybody."""
        for line in (b"rubbish\n", b"[]\n", b"[" * 5000 + b"\n"):
            listener, _ = self.connect(None, [ALPN_JOIN], Listener(line))
            self.assertIn(b'"error"', listener.heard)
        self.assertEqual(self.asked, [])

    def test_only_the_primary_lets_in(self) -> None:
        """A secondary closes a joining node without a word."""
        self.gates._joining = None
        listener, end = self.connect(None, [ALPN_JOIN], Listener(b"{}\n"))
        self.assertEqual((listener.heard, end.closed), (b"", True))


class Limiter(SynchronousTestCase):
    def test_lines_are_counted_while_left_out(self) -> None:
        """One line per kind and interval, with the number of those left out."""
        limiter = LogLimiter(10.0)
        taken = [limiter.take("x", now) for now in (0.0, 1.0, 9.9, 10.0, 11.0)]
        self.assertEqual(taken, [0, None, None, 2, None])
        self.assertEqual(limiter.take("y", 1.0), 0)

    def test_kinds_are_bounded(self) -> None:
        """Many addresses do not fill the memory."""
        limiter = LogLimiter(10.0, kinds=8)
        for number in range(100):
            limiter.take(str(number), 0.0)
        self.assertLessEqual(len(limiter._seen), 8)
