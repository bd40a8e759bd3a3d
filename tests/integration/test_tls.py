"""SIP over TLS from outside: a real phone, and OpenSSL as the peer that is checked and that checks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.internet.defer import gatherResults, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    trustRootFromCertificates,
)
from twisted.names import dns
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from demo.programs import Program
from tests.certificates import Authority, Pair
from tests.conformance.dns_server import DnsServer
from tests.conformance.marks import attack, requirement
from tests.integration.harness import ClusterTestCase
from voipcluster.phone.phone_call import CallFailed

OPTIONS = (
    "OPTIONS sip:{host} SIP/2.0\r\nVia: SIP/2.0/TLS {host};branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\n"
    "From: <sip:x@elsewhere.example>;tag=1\r\nTo: <sip:{host}>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)


class Line(Protocol):
    """A connection that notes what came, and when it ended."""

    def __init__(self) -> None:
        self.received = b""
        self.asked = 0
        self.ended: Failure | None = None
        self.wire: Any = None  # the transport, of which twisted types less than it has

    def connectionMade(self) -> None:
        self.wire = self.transport

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = reason

    async def close(self) -> None:
        if self.ended is None:
            self.wire.abortConnection()

    @property
    def serial(self) -> int:
        """Serial number of the certificate that the node showed."""
        number: int = self.wire.getPeerCertificate().get_serial_number()
        return number


class TlsTestCase(ClusterTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ca = Authority(self.folder)
        self.pair = self.issue("node")
        self._ports: list[Any] = []

    def issue(self, name: str) -> Pair:
        return self.ca.issue(name, ["example.com"], [self.address(last) for last in (1, 2, 3)])

    async def start(self, *options: str, nodes: str = "a", each: Any = None) -> None:
        files = {"certificate": self.pair.certificate, "key": self.pair.key, "ca": self.ca.file}
        settings = [word for key, path in files.items() for word in ("--set", f"tls.{key}={path}")]
        await self.start_cluster(*settings, *options, nodes=nodes, each=each)

    async def connect(self, pair: Pair | None = None, host: str = "") -> Line:
        """A TLS connection to a node, the primary unless told otherwise, with a certificate of ours if it is given."""
        own = {} if pair is None else _own(pair)
        trusted = trustRootFromCertificates([Certificate.loadPEM(self.ca.file.read_bytes())])
        line = Line()
        secure = TLSMemoryBIOFactory(
            CertificateOptions(trustRoot=trusted, **own), True, Factory.forProtocol(lambda: line)
        )
        await TCP4ClientEndpoint(self.reactor, host or self.primary.address, 5061, timeout=30).connect(secure)
        self.at_end(line.close)
        return line

    async def asks(self, line: Line) -> bool:
        """Whether an OPTIONS over that connection is answered; else it ends."""
        line.asked += 1
        line.wire.write(OPTIONS.format(host=self.primary.address, branch=f"o{line.asked}").encode())
        wanted = f"Call-ID: o{line.asked}\r\n".encode()
        await self.until(lambda: wanted in line.received or line.ended, "an answer, or the end")
        return line.ended is None

    def openssl(self, *words: str, stdin: str = "") -> Program:
        return self.program(f"openssl {words[0]}", ["openssl", *words], stdin=stdin)

    async def server(self, pair: Pair, last: int = 50) -> Line:
        """A peer at .50, or as told, that shows this certificate; what connects to it is this line."""
        line = Line()
        secure = TLSMemoryBIOFactory(
            CertificateOptions(**_own(pair)), False, Factory.forProtocol(lambda: line)
        )
        port: Any = await TCP4ServerEndpoint(self.reactor, 5061, 5, self.address(last)).listen(secure)
        self._ports.append(port)
        return line

    async def stop_server(self) -> None:
        await maybeDeferred(self._ports.pop().stopListening)


def _own(pair: Pair) -> dict[str, Any]:
    """What OpenSSL takes as our own certificate."""
    read: Any = PrivateCertificate.loadPEM(pair.key.read_bytes() + pair.certificate.read_bytes())
    return {"privateKey": read.privateKey.original, "certificate": read.original}


class PhoneTests(TlsTestCase):
    @requirement(72)
    async def test_calls_between_udp_and_tls(self) -> None:
        """
        A phone on UDP at one node and baresip on TLS at the other call each other; a BYE of each side ends both kinds of call.

        Two Record-Route values, so that each side finds its way back over its own transport.
        """
        await self.start(nodes="ab")
        await self.add_users("alice", "bob")
        bob = await self.baresip("bob", self.node("b"), transport="TLS", hz=440, answer=True, ca=self.ca.file)
        alice = self.phone("alice", tone=1200)
        await alice.register()
        await self.reachable("bob")
        [binding] = await self.primary.ask("registrations", aor="bob@example.com")
        self.assertEqual((binding["transport"], binding["node"]), ("TLS", "b"))
        for caller_ends in (True, False):
            call = await alice.call("bob@example.com")
            await self.until(lambda call=call: call.heard_hz == 440, "alice hears bob")
            routes = [route for route in call.remote_route_set if f"{self.address(1)}:" in route]
            self.assertEqual(sorted(":5061" in route for route in routes), [False, True])
            if caller_ends:
                start = len(bob.program.output)
                await call.hang_up()
                await bob.program.saw("(?i)terminated|closed|BYE", start=start)
            else:
                await bob.hang_up()
                await call.when_ended()
            self.assertEqual(call.status, 200)
        await bob.dial("sip:alice@example.com")
        call = await self.until(
            lambda: next((one for one in alice.calls.values() if not one.outgoing), None), "alice is called"
        )
        await self.until(lambda: call.heard_hz == 440, "alice hears bob")
        await call.hang_up()
        self.assertEqual(call.status, 200)
        await self.until(self._no_calls, "no node counts a call")
        self.assertIn(1200, await bob.heard())

    async def _no_calls(self) -> bool:
        return not await self.primary.ask("calls", call_id=None)

    @requirement(74)
    async def test_sips(self) -> None:
        """A sips URI leads to the phone on TLS, and never in the clear to one that is not."""
        await self.start(nodes="ab")
        await self.add_users("alice", "bob", "carol")
        await self.baresip("bob", self.node("b"), transport="TLS", answer=True, ca=self.ca.file)
        alice, carol = self.phone("alice"), self.phone("carol", host=self.address(101))
        await self.register(alice, carol)
        await self.reachable("bob", "carol")
        call = await alice.call("sips:bob@example.com")
        await call.hang_up()
        self.assertEqual(call.status, 200)
        with self.assertRaises(CallFailed) as caught:
            await alice.call("sips:carol@example.com")
        self.assertEqual(caught.exception.status, 480)
        self.assertEqual(carol.calls, {})


class PeerTests(TlsTestCase):
    @attack("S27")
    async def test_handshakes(self) -> None:
        """
        TLS 1.0 and 1.1 get an alert, 1.2 and 1.3 a connection (attack S27).

        Meanwhile who says nothing, or half a ClientHello, keeps nobody out and is disconnected in bounded time (S11).
        """
        await self.start()
        silent = []
        for begin in (b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
            endpoint = TCP4ClientEndpoint(self.reactor, self.primary.address, 5061, timeout=30)
            line = await connectProtocol(endpoint, Line())
            line.wire.write(begin)
            silent.append(line)
        for version, good in (("tls1", False), ("tls1_1", False), ("tls1_2", True), ("tls1_3", True)):
            client = self.openssl(
                "s_client", "-connect", f"{self.primary.address}:5061", f"-{version}", "-cipher",
                "ALL@SECLEVEL=0", "-CAfile", str(self.ca.file), "-verify_return_error",
            )  # fmt: skip
            await client.ended()
            self.assertEqual("alert protocol version" in client.output, not good, client.output)
            self.assertEqual("Cipher is (NONE)" in client.output, not good, client.output)
        self.assertTrue(await self.asks(await self.connect()))
        await self.until(lambda: all(line.ended for line in silent), "both are disconnected", 13)

    @attack("S27")
    async def test_server_with_another_name(self) -> None:
        """A next hop whose certificate is for somebody else is sent nothing: 5xx, no call (RFC 5922 section 7.3, S27)."""
        await self.start()
        await self.add_users("alice")
        alice = self.phone("alice")
        await alice.register()
        good = self.ca.issue("good", addresses=[self.address(50)])
        other = Authority(self.folder / "other")
        for pair in (
            self.ca.issue("wrong", ["other.example"], [self.address(51)]),
            self.ca.issue("late", addresses=[self.address(50)], days=(-9, -1)),
            other.issue("stranger", addresses=[self.address(50)]),
        ):
            server = await self.server(pair)
            with self.assertRaises(CallFailed) as caught:
                await alice.call(f"sip:x@{self.address(50)};transport=tls")
            self.assertIn(caught.exception.status, (500, 503))
            await self.until(lambda server=server: server.ended, "it is hung up on")
            await self.stop_server()
            self.assertEqual(server.received, b"")
        server = await self.server(good)
        calling = alice.call(f"sip:x@{self.address(50)};transport=tls")
        await self.until(lambda: b"\r\n\r\n" in server.received, "it is sent the INVITE")
        await self.stop_server()
        self.assertIn(f"\r\nVia: SIP/2.0/TLS {self.primary.address}:5061;branch=".encode(), server.received)
        server.wire.abortConnection()
        with self.assertRaises(CallFailed):
            await calling

    @attack("S27")
    async def test_domain_of_a_server(self) -> None:
        """A name is proved by a certificate for itself, not by one for the server that its SRV records lead to (RFC 5922 7.3)."""
        names = DnsServer(self.reactor)
        ports = names.listen(self.address(53), 5353)
        self.at_end(lambda: gatherResults([maybeDeferred(port.stopListening) for port in ports]))
        names.add("_sips._tcp.peer.example", dns.Record_SRV(1, 1, 5061, "sip.provider.example"))
        names.add("sip.provider.example", dns.Record_A(self.address(50)))
        await self.start("--set", f'dns.servers=["{self.address(53)}:5353"]', "--set", "dns.penalty=0")
        await self.add_users("alice")
        alice = self.phone("alice")
        await alice.register()
        for name, good in (("sip.provider.example", False), ("*.example", False), ("peer.example", True)):
            server = await self.server(self.ca.issue("peer", [name], [self.address(50)]))
            calling = alice.call("sips:x@peer.example")
            await self.until(
                lambda server=server: b"\r\n\r\n" in server.received or server.ended, "a request or an end"
            )
            await self.stop_server()
            self.assertEqual(server.received.startswith(b"INVITE sips:x@peer.example "), good, name)
            if good:
                server.wire.abortConnection()
            with self.assertRaises(CallFailed) as caught:
                await calling
            self.assertEqual(caught.exception.status, 500)
        names.close()

    @attack("S27")
    async def test_client_certificates(self) -> None:
        """With tls.client_certificate only those get in whom our CA vouches for; without it, none is fine, a bad one is not."""
        stranger = Authority(self.folder / "other").issue("stranger", ["peer.example"])
        late = self.ca.issue("late", ["peer.example"], days=(-9, -1))
        peer = self.ca.issue("peer", ["peer.example"])
        await self.start(
            nodes="ab",
            each={"b": ("--set", "tls.client_certificate=true")},
        )
        for name, pair, good in (
            ("a", None, True), ("a", peer, True), ("a", stranger, False), ("a", late, False),
            ("b", None, False), ("b", peer, True),
        ):  # fmt: skip
            line = await self.connect(pair, self.node(name).address)
            self.assertEqual(await self.asks(line), good, (name, pair))

    async def test_new_certificate(self) -> None:
        """New files are used for new connections, those that are open stay; a bad file changes nothing and is named once."""
        await self.start()
        old = await self.connect()
        self.assertTrue(await self.asks(old))
        before, new = old.serial, self.issue("new")
        os.replace(new.key, self.pair.key)
        os.replace(new.certificate, self.pair.certificate)
        expected = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes()).serial_number

        async def renewed() -> bool:
            line = await self.connect()
            return await self.asks(line) and line.serial == expected

        await self.until(renewed, "the new certificate is shown")
        self.assertTrue(await self.asks(old))
        self.assertNotEqual(before, expected)
        Path(self.pair.certificate).write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
        line = "TLS goes on with the old certificate: .*node.pem: not a certificate in PEM"
        assert self.primary.program is not None
        await self.primary.program.saw(line)
        self.assertTrue(await renewed())
        self.assertTrue(await self.asks(old))
        self.assertEqual(self.primary.program.output.count("TLS goes on with the old certificate"), 1)
