"""TLS of the cluster link, two ends in memory (RFC 8446, RFC 7301)."""

from __future__ import annotations

import time

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.link_network import Authority
from voipcluster.net.certificates import certified
from voipcluster.net.tls import ALPN_JOIN, ALPN_PB, LinkTls


def carry(source: SSL.Connection, target: SSL.Connection) -> bool:
    try:
        target.bio_write(source.bio_read(65536))
    except SSL.WantReadError:
        return False
    return True


def shake_hands(client: SSL.Connection, server: SSL.Connection) -> None:
    """@raise SSL.Error: one of them refuses; what the other one is told has arrived."""
    client.set_connect_state()
    server.set_accept_state()
    done: set[SSL.Connection] = set()
    for _ in range(10):
        for end, other in ((client, server), (server, client)):
            try:
                end.do_handshake()
                done.add(end)
            except SSL.WantReadError:
                pass
            finally:
                carry(end, other)
        if len(done) == 2:
            return
    raise AssertionError("the handshake does not come to an end")


class LinkTlsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.authority = Authority(now=time.time())
        self.a = LinkTls(self.authority.identity("a", "primary"))
        self.b = LinkTls(self.authority.identity("b"))

    def stranger(self, alpn: list[bytes], newest: int = SSL.TLS1_3_VERSION) -> SSL.Connection:
        """A client without a certificate."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_max_proto_version(newest)
        if alpn:
            context.set_alpn_protos(alpn)
        return SSL.Connection(context, None)

    def test_it_makes_both_ends(self) -> None:
        """As Twisted wants them."""
        self.assertTrue(verifyObject(IOpenSSLServerConnectionCreator, self.a))
        self.assertTrue(verifyObject(IOpenSSLClientConnectionCreator, self.a))

    def test_two_members(self) -> None:
        """TLS 1.3, the protocol of the link, and each sees whom the other's certificate names."""
        client, server = self.b.clientConnectionForTLS(None), self.a.serverConnectionForTLS(None)
        shake_hands(client, server)
        self.assertEqual(
            (client.get_protocol_version_name(), server.get_alpn_proto_negotiated()), ("TLSv1.3", ALPN_PB)
        )
        for end, name in ((client, "a"), (server, "b")):
            certificate = end.get_peer_certificate(as_cryptography=True)
            assert certificate is not None
            self.assertEqual(certified(certificate, "c1").name, name)

    def test_a_member_of_another_cluster(self) -> None:
        """A CA of the same name and another key has certified nobody here."""
        other = LinkTls(Authority(now=time.time()).identity("b"))
        with self.assertRaises(SSL.Error):
            shake_hands(other.clientConnectionForTLS(None), self.a.serverConnectionForTLS(None))
        with self.assertRaises(SSL.Error):
            shake_hands(self.b.clientConnectionForTLS(None), other.serverConnectionForTLS(None))

    def test_without_a_certificate(self) -> None:
        """Only who wants to join comes without one."""
        with self.assertRaises(SSL.Error):
            shake_hands(self.stranger([ALPN_PB]), self.a.serverConnectionForTLS(None))
        client, server = self.stranger([ALPN_JOIN]), self.a.serverConnectionForTLS(None)
        shake_hands(client, server)
        self.assertEqual(server.get_alpn_proto_negotiated(), ALPN_JOIN)
        self.assertIsNone(server.get_peer_certificate())

    def test_who_offers_both_needs_a_certificate(self) -> None:
        """Joining is no way around the check: the link's protocol is preferred."""
        for offered in ([ALPN_JOIN, ALPN_PB], [ALPN_PB, ALPN_JOIN]):
            with self.assertRaises(SSL.Error):
                shake_hands(self.stranger(offered), self.a.serverConnectionForTLS(None))

    def test_another_protocol_is_refused(self) -> None:
        """Also for a web browser that found the port (RFC 7301 section 3.2)."""
        with self.assertRaises(SSL.Error):
            shake_hands(self.stranger([b"h2", b"http/1.1"]), self.a.serverConnectionForTLS(None))

    def test_an_older_version_is_refused(self) -> None:
        """TLS 1.2 shows certificates in the clear."""
        with self.assertRaises(SSL.Error):
            shake_hands(self.stranger([ALPN_JOIN], SSL.TLS1_2_VERSION), self.a.serverConnectionForTLS(None))

    def test_the_ca_is_shown(self) -> None:
        """A joining node compares it with the fingerprint in its token."""
        client = self.stranger([ALPN_JOIN])
        shake_hands(client, self.a.serverConnectionForTLS(None))
        chain = client.get_peer_cert_chain(as_cryptography=True)
        assert chain is not None
        self.assertIn(self.authority.ca, chain)

    def test_renewed(self) -> None:
        """Connections from then on show the new certificate, on both sides; older ones are left alone."""
        before = self.a.serverConnectionForTLS(None)
        new = self.authority.identity("a", "primary")
        self.a.renew(new)
        self.assertIs(self.a.identity, new)
        for server, fresh in ((self.a.serverConnectionForTLS(None), True), (before, False)):
            client = self.b.clientConnectionForTLS(None)
            shake_hands(client, server)
            self.assertEqual(client.get_peer_certificate(as_cryptography=True) == new.certificate, fresh)
