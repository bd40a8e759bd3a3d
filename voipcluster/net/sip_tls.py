"""
TLS for SIP: certificate, key and CAs from files, TLS 1.2 and newer, both ends checked (RFC 3261 section 26, RFC 5922).

A connection keeps what it was made with; files that changed count for the connections after that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from voipcluster.address import is_ip
from voipcluster.errors import UsageError

# Forward secrecy and AEAD: what RFC 9325 section 4.2 leaves of TLS 1.2. TLS 1.3 brings its own.
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"
_DEPTH = 4  # CA certificates between a peer's certificate and a CA of ours
_NO_RENEGOTIATION = 1 << 30  # SSL_OP_NO_RENEGOTIATION of openssl/ssl.h


@frozen
class TlsFiles:
    """
    What TLS is made from.

    @ivar certificate: PEM, our certificate first, then those between it and the CA.
    @ivar key: PEM without a pass phrase; empty: it is in the file of the certificate.
    @ivar ca: PEM, the CAs that vouch for peers; empty: those of the system, and nobody who connects is asked for a certificate.
    @ivar client_certificate: whether a peer that connects is refused without one.
    """

    certificate: str
    key: str = ""
    ca: str = ""
    client_certificate: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(path for path in (self.certificate, self.key, self.ca) if path)


@frozen
class _Contexts:
    accepting: SSL.Context
    browsers: SSL.Context
    opening: SSL.Context


class SipTls:
    """
    Makes the TLS side of each connection.

    @ivar expires: end of our certificate, in unix seconds.
    @raise UsageError: one line that names the file that cannot be used.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._seen = _stamps(files)
        self.expires = 0.0
        self._contexts = self._load()

    def changed(self) -> bool:
        """Whether a file is another one than at the last look."""
        seen = _stamps(self._files)
        if seen == self._seen:
            return False
        self._seen = seen
        return True

    def reload(self) -> None:
        """
        Use the files as they are now, for all connections from now on.

        @raise UsageError: one of them is bad; all stays as it was.
        """
        self._contexts = self._load()

    def become(self, other: SipTls) -> None:
        """Use the files that another one was made of, for all connections from now on."""
        self._files, self._seen, self._contexts = other._files, other._seen, other._contexts
        self.expires = other.expires

    def accepting(self, factory: IProtocolFactory, clock: IReactorTime, browsers: bool = False) -> Any:
        """
        Wrap what takes connections.

        @param browsers: never ask for a certificate: a browser would ask its user.
        """
        side = _Side(lambda: self._contexts.browsers if browsers else self._contexts.accepting)
        return TlsFactory(side, False, factory, clock)

    def opening(self, factory: IProtocolFactory, name: str, clock: IReactorTime) -> Any:
        """
        Wrap what takes a connection that we open.

        @param name: the host that is to be reached, told to the server (SNI, RFC 6066 section 3). Whether its certificate
            speaks for that is to be looked at when the handshake is done.
        """
        return TlsFactory(_Side(lambda: self._contexts.opening, name), True, factory, clock)

    def _load(self) -> _Contexts:
        files = self._files
        chain = _certificates("tls.certificate", files.certificate)
        key_option, key_file = ("tls.key", files.key) if files.key else ("tls.certificate", files.certificate)
        key = _key(key_option, key_file)
        authorities = _certificates("tls.ca", files.ca) if files.ca else []
        asking = SSL.VERIFY_NONE
        if files.ca:
            asking = SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if files.client_certificate else 0)

        def context(verify: int) -> SSL.Context:
            made = _context()
            made.use_certificate(chain[0])
            for between in chain[1:]:
                made.add_extra_chain_cert(between)
            try:
                made.use_privatekey(key)
                made.check_privatekey()
            except (SSL.Error, TypeError, ValueError):
                raise UsageError(
                    f"{key_option}: {key_file}: not the key of the certificate in {files.certificate}"
                ) from None
            store = made.get_cert_store()
            assert store is not None, "every context has one"
            if authorities:
                for authority in authorities:
                    store.add_cert(X509.from_cryptography(authority))
            else:
                made.set_default_verify_paths()
            made.set_verify(verify)
            made.set_verify_depth(_DEPTH)
            return made

        accepting = context(asking)
        if authorities:
            accepting.set_client_ca_list([X509.from_cryptography(one).get_subject() for one in authorities])
        contexts = _Contexts(accepting, context(SSL.VERIFY_NONE), context(SSL.VERIFY_PEER))
        self.expires = chain[0].not_valid_after_utc.timestamp()
        return contexts


class TlsFactory(TLSMemoryBIOFactory):
    """TLS around the protocols of another factory, which may refuse a connection."""

    noisy = False

    def __init__(self, side: _Side, client: bool, factory: IProtocolFactory, clock: IReactorTime) -> None:
        super().__init__(side, client, factory, clock)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        inner = self.wrappedFactory.buildProtocol(addr)
        # the parent would wrap "no" as well
        return None if inner is None else self.protocol(self, inner)


@implementer(IOpenSSLServerConnectionCreator, IOpenSSLClientConnectionCreator)
class _Side:
    """One end of connections, each made from the context of that moment."""

    def __init__(self, context: Callable[[], SSL.Context], name: str = "") -> None:
        self._context, self._name = context, name

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self._context(), None)

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        connection = SSL.Connection(self._context(), None)
        if self._name and not is_ip(self._name):
            connection.set_tlsext_host_name(self._name.encode("ascii", "replace"))
        return connection


def _context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(CIPHERS)
    # a session taken up again would not show its certificate again
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | _NO_RENEGOTIATION)
    return context


def _read(option: str, path: str) -> bytes:
    """@param option: the key of the configuration that names the file, for errors."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{option}: {path}: {error.strerror or error}") from None


def _certificates(option: str, path: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(option, path))
    except ValueError:
        raise UsageError(f"{option}: {path}: not a certificate in PEM") from None


def _key(option: str, path: str) -> Any:
    try:
        return load_pem_private_key(_read(option, path), None)
    except TypeError:
        raise UsageError(
            f"{option}: {path}: the key has a pass phrase, which nobody is there to type"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{option}: {path}: not a private key in PEM") from None


def _stamps(files: TlsFiles) -> tuple[tuple[int, int, int] | None, ...]:
    """What tells one version of the files from the next."""
    stamps: list[tuple[int, int, int] | None] = []
    for path in files.paths:
        try:
            status = Path(path).stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(stamps)
