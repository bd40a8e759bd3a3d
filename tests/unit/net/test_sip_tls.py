"""TLS contexts from files, and the handshakes they allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.net.fakes import FakeReactor
from tests.unit.net.tls_peer import Peer, authority, built, files, handshake
from voipcluster.errors import UsageError
from voipcluster.net.sip_tls import SipTls, TlsFactory, TlsFiles, _Side


class SipTlsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.ca = authority(self)
        self.pair = self.ca.issue("node", ["example.com"])
        self.client = SipTls(files(self.ca.issue("peer", ["peer.example"]), self.ca))

    def tearDown(self) -> None:
        self.reactor.advance(0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def meet(self, client: SipTls, server: SipTls, **options: Any) -> tuple[Peer, Peer]:
        """Both ends after a handshake, and after each has sent a word."""
        wire, one, other = handshake(self.reactor, client, server, **options)
        one.wire.write(b"ping")
        other.wire.write(b"pong")
        wire.run()
        self.addCleanup(wire.end)
        return one, other

    def test_both_sides_are_checked(self) -> None:
        """A server shows its certificate, and a client its own when it is asked (mutual TLS)."""
        one, other = self.meet(self.client, SipTls(files(self.pair, self.ca)))
        self.assertEqual((one.received, other.received), (b"pong", b"ping"))
        names = [end.wire.getPeerCertificate().get_subject().CN for end in (one, other)]
        self.assertEqual(names, ["node", "peer"])

    def test_browsers_are_not_asked(self) -> None:
        """A browser is never asked for a certificate, which it would ask its user for."""
        server = SipTls(files(self.pair, self.ca, client_certificate=True))
        _, other = self.meet(self.client, server, browser=True)
        self.assertEqual(other.received, b"ping")
        self.assertIsNone(other.wire.getPeerCertificate())

    def test_server_of_another_ca(self) -> None:
        """A server that our CAs do not vouch for, or whose time is over, is sent nothing."""
        for pair in (
            authority(self).issue("node", ["example.com"]),
            self.ca.issue("late", ["example.com"], days=(-9, -1)),
        ):
            one, other = self.meet(self.client, SipTls(files(pair)))
            self.assertEqual((one.received, other.received), (b"", b""))
            assert one.lost is not None
            self.assertIsInstance(one.lost.value, SSL.Error)

    def test_client_without_certificate(self) -> None:
        """None is fine, but not when it is demanded; one of another CA never is."""
        stranger = SipTls(files(authority(self).issue("x"), self.ca))
        anonymous = _Anonymous(self.ca.file)
        for client, required, good in (
            (anonymous, False, True), (anonymous, True, False), (stranger, False, False), (self.client, True, True),
        ):  # fmt: skip
            _, other = self.meet(client, SipTls(files(self.pair, self.ca, required)))
            self.assertEqual(other.received == b"ping", good, (client, required))

    def test_huge_chain(self) -> None:
        """A client that shows hundreds of certificates is cut off, not checked (attack S27)."""
        pair = self.ca.issue("huge")
        pair.certificate.write_bytes(pair.certificate.read_bytes() + 400 * self.ca.file.read_bytes())
        _, other = self.meet(SipTls(files(pair, self.ca)), SipTls(files(self.pair, self.ca)))
        self.assertEqual(other.received, b"")
        assert other.lost is not None
        self.assertIn("excessive message size", str(other.lost.value))

    def test_no_renegotiation(self) -> None:
        """With TLS 1.2 a client cannot make us do one handshake after the other (attack S27)."""
        client = _Anonymous(self.ca.file)
        client._context.set_max_proto_version(SSL.TLS1_2_VERSION)
        wire, one, other = handshake(self.reactor, client, SipTls(files(self.pair)))
        self.addCleanup(wire.end)
        handle, ours = one.wire.getHandle(), other.wire.getHandle()
        self.assertEqual(handle.get_protocol_version_name(), "TLSv1.2")
        self.assertTrue(handle.renegotiate())
        self.assertRaises(SSL.WantReadError, handle.do_handshake)
        one.wire.write(b"")
        one.wire._flushSendBIO()
        wire.run()
        self.assertEqual(ours.total_renegotiations(), 0)
        self.assertNotEqual(one.lost, None)

    def test_name_for_the_server(self) -> None:
        """The domain goes into SNI, an address does not (RFC 6066 section 3)."""
        for name, told in (("Example.com", b"Example.com"), ("192.0.2.1", None), ("", None)):
            _, other = self.meet(self.client, SipTls(files(self.pair)), name=name)
            self.assertEqual(other.wire.getHandle().get_servername(), told)

    def test_creators(self) -> None:
        """What makes the connections provides what twisted asks for."""
        side = _Side(lambda: self.client._contexts.opening)
        verifyObject(IOpenSSLClientConnectionCreator, side)
        verifyObject(IOpenSSLServerConnectionCreator, side)

    def test_refused_connection(self) -> None:
        """A factory that takes no connection is not wrapped."""
        refusing = Factory.forProtocol(lambda: None)
        refusing.buildProtocol = lambda addr: None
        self.assertIsNone(built(self.client.accepting(refusing, self.reactor)))

    def test_reload(self) -> None:
        """New files count for the next connection; a look tells once that they changed."""
        server = SipTls(files(self.pair))
        self.assertFalse(server.changed())
        one, _ = self.meet(self.client, server)
        before = one.wire.getPeerCertificate().get_serial_number()
        self.ca.issue("node", ["example.com"], days=(-1, 20))
        self.assertTrue(server.changed())
        self.assertFalse(server.changed())
        expires = server.expires
        server.reload()
        self.assertGreater(server.expires, expires)
        new, _ = self.meet(self.client, server)
        self.assertNotEqual(new.wire.getPeerCertificate().get_serial_number(), before)
        one.wire.write(b"still")
        self.assertIsNone(one.lost)

    def test_become(self) -> None:
        """Other files count for the next connection, and are looked at from then on; connections stay."""
        server, other = SipTls(files(self.pair)), self.ca.issue("other", ["example.com"], days=(-1, 20))
        one, _ = self.meet(self.client, server)
        server.become(SipTls(files(other)))
        new, _ = self.meet(self.client, server)
        names = [end.wire.getPeerCertificate().get_subject().CN for end in (one, new)]
        self.assertEqual(names, ["node", "other"])
        self.pair.certificate.unlink()
        self.assertFalse(server.changed())
        self.assertIsNone(one.lost)

    def test_bad_reload(self) -> None:
        """A file that went away or holds something else is named, and the old ones stay in use."""
        server = SipTls(files(self.pair))
        contexts = server._contexts
        self.pair.certificate.unlink()
        self.assertTrue(server.changed())
        error = self.assertRaises(UsageError, server.reload)
        self.assertEqual(str(error), f"tls.certificate: {self.pair.certificate}: No such file or directory")
        self.assertIs(server._contexts, contexts)
        self.assertEqual(self.meet(self.client, server)[1].received, b"ping")

    def test_files_that_cannot_be_used(self) -> None:
        """Each mistake is one line that names its file."""
        other = self.ca.issue("other")
        nonsense, locked = Path(self.mktemp()), Path(self.mktemp())
        nonsense.write_text("nonsense")
        key: Any = serialization.load_pem_private_key(self.pair.key.read_bytes(), None)
        locked.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"x"),
            )
        )
        good = self.pair.certificate
        for certificate, private, ca, text in (
            (nonsense, self.pair.key, "", f"tls.certificate: {nonsense}: not a certificate in PEM"),
            (good, nonsense, "", f"tls.key: {nonsense}: not a private key in PEM"),
            (
                good,
                locked,
                "",
                f"tls.key: {locked}: the key has a pass phrase, which nobody is there to type",
            ),
            (good, other.key, "", f"tls.key: {other.key}: not the key of the certificate in {good}"),
            (good, self.pair.key, nonsense, f"tls.ca: {nonsense}: not a certificate in PEM"),
            (good, "", "", f"tls.certificate: {good}: not a private key in PEM"),
        ):
            given = TlsFiles(str(certificate), str(private), str(ca))
            self.assertEqual(str(self.assertRaises(UsageError, SipTls, given)), text)

    def test_all_in_one_file(self) -> None:
        """Key and certificate may be in one file."""
        one = Path(self.mktemp())
        one.write_bytes(self.pair.key.read_bytes() + self.pair.certificate.read_bytes())
        self.assertEqual(self.meet(self.client, SipTls(TlsFiles(str(one))))[1].received, b"ping")


class _Anonymous(SipTls):
    """A client that has no certificate at all."""

    def __init__(self, ca: Path) -> None:
        context = SSL.Context(SSL.TLS_METHOD)
        context.load_verify_locations(str(ca))
        context.set_verify(SSL.VERIFY_PEER)
        self._context = context

    def opening(self, factory: Any, name: str, clock: Any) -> Any:
        return TlsFactory(_Side(lambda: self._context), True, factory, clock)
