"""
TLS of the cluster link: TLS 1.3 (RFC 8446) and nothing older, and both ends show a certificate of the cluster's CA.

The two things that are spoken on the link's port are told apart by ALPN (RFC 7301): C{voipcluster-pb} between
members, C{voipcluster-join} from a node that has no certificate yet.
"""

from __future__ import annotations

from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from zope.interface import implementer

from voipcluster.net.certificates import Identity

ALPN_PB = b"voipcluster-pb"
ALPN_JOIN = b"voipcluster-join"


def _context(identity: Identity) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)  # every connection shows its certificate again
    context.use_certificate(identity.certificate)
    context.add_extra_chain_cert(
        identity.ca
    )  # a joining node compares the CA with the fingerprint in its token
    context.use_privatekey(identity.key)
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(X509.from_cryptography(identity.ca))
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    context.set_verify_depth(1)
    return context


def _select(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    """Choose what is spoken (RFC 7301 section 3.2); only a joining node may come without a certificate."""
    if ALPN_PB in offered:
        return ALPN_PB
    if ALPN_JOIN in offered:
        connection.set_verify(SSL.VERIFY_NONE)
        return ALPN_JOIN
    return b""  # refused by an alert


@implementer(IOpenSSLServerConnectionCreator, IOpenSSLClientConnectionCreator)
class LinkTls:
    """Makes the TLS connections of the link, of the identity that the node has at that moment."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.renew(identity)

    def renew(self, identity: Identity) -> None:
        """Take another certificate for all connections from now on."""
        self.identity = identity
        self._server, self._client = _context(identity), _context(identity)
        self._server.set_alpn_select_callback(_select)
        self._client.set_alpn_protos([ALPN_PB])

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self._server, None)

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self._client, None)
