"""
Joining a cluster: how a node without a certificate gets one, over the port of the cluster link.

One line of JSON each way under TLS 1.3, told apart from the link by ALPN. The joining node knows the CA by its fingerprint in the
token and sends the token's secret only to a primary that the CA has certified; the primary knows the node by that secret.
"""

from __future__ import annotations

import base64
import binascii
import json
import select
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from attrs import frozen
from cryptography import x509
from OpenSSL import SSL
from twisted.internet import protocol

from voipcluster import __version__
from voipcluster.address import is_ip, is_ipv6, join_host_port, split_host_port
from voipcluster.balance.protocol import NEWEST, OLDEST
from voipcluster.errors import PeerError, UsageError
from voipcluster.net.certificates import (
    certificate_to_pem,
    check_issued,
    check_name,
    create_request,
    fingerprint,
    key_to_pem,
    new_key,
)
from voipcluster.net.roster import verify
from voipcluster.net.tls import ALPN_JOIN

LINK_PORT = 8787
VERSION = 1
MAX_LINE = 64 * 1024  # octets of an answer; it holds the roster
MAX_REQUEST = 8 * 1024
SECRET_SIZE, FINGERPRINT_SIZE = 16, 32  # octets

_T = TypeVar("_T")


class IJoiningState(Protocol):
    """The state directory that becomes one of a member."""

    def enter(
        self, cluster: str, name: str, role: str, roster: dict[str, str], files: dict[str, bytes]
    ) -> None: ...


@frozen
class JoinToken:
    """C{TOKEN@ADDRESS}: the fingerprint of the CA, a secret, and where the primary's link listens."""

    fingerprint: bytes
    secret: bytes
    host: str
    port: int

    def __str__(self) -> str:
        token = base64.urlsafe_b64encode(self.fingerprint + self.secret).decode("ascii")
        port = None if self.port == LINK_PORT else self.port
        return f"{token}@{join_host_port(self.host, port)}"


def parse_token(text: str) -> JoinToken:
    """@raise UsageError: not C{TOKEN@ADDRESS}; the text does not repeat the secret."""
    token, at, address = text.strip().partition("@")
    if not at:
        raise UsageError(
            "a join token is TOKEN@ADDRESS as 'voipctl join-token' prints it: there is no '@' in it"
        )
    try:
        octets = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        if len(octets) != FINGERPRINT_SIZE + SECRET_SIZE:
            raise ValueError("size")
    except (ValueError, UnicodeEncodeError, binascii.Error):
        raise UsageError("the part of the join token before '@' is damaged; copy it again") from None
    try:
        host, port = split_host_port(address, LINK_PORT)
    except ValueError as error:
        raise UsageError(f"the address in the join token: {error}") from None
    return JoinToken(octets[:FINGERPRINT_SIZE], octets[FINGERPRINT_SIZE:], host, port)


class JoinProtocol(protocol.Protocol):
    """
    The primary's side of one joining: takes a line, gives a line, closes.

    @param answer: takes the request and gives the answer, or raises L{PeerError} whose text the joining node shows.
    @param refused: told why.
    """

    def __init__(
        self, answer: Callable[[dict[str, Any]], dict[str, Any]], refused: Callable[[str], None]
    ) -> None:
        self._answer, self._refused = answer, refused
        self._line = b""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self._line += data
        line, end, _ = self._line.partition(b"\n")
        if len(line) > MAX_REQUEST:
            self.transport.abortConnection()  # type: ignore[attr-defined]  # of a TCP or TLS transport
        elif end:
            self._line = b""
            self.transport.write(json.dumps(self._answered(line)).encode() + b"\n")
            self.transport.loseConnection()

    def _answered(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise PeerError("the request is not a JSON object")
            return self._answer(request)
        except (PeerError, UsageError) as error:
            self._refused(f"it cannot join: {error}")
            return {"error": str(error)}
        except (ValueError, RecursionError):
            return {"error": "the request is not JSON"}


def join(
    state: IJoiningState,
    token_at_address: str,
    name: str,
    role: str,
    address: str,
    port: int,
    settings: dict[str, str] | None = None,
    timeout: float = 10.0,
) -> None:
    """
    Join a cluster and write what it gives into the state directory. Blocks; call it before the reactor runs or in a thread.

    @param address: and C{port}: where this node's own link will listen.
    @param settings: those that the primary wants to be like its own.
    @param timeout: seconds for all of it.
    @raise UsageError: one line that says why not; nothing is written then.
    """
    token = parse_token(token_at_address)
    key = new_key()
    request = {
        "version": VERSION, "secret": base64.b64encode(token.secret).decode("ascii"), "name": check_name(name), "role": role,
        "address": address, "port": port, "request": create_request(name, key).decode("ascii"),
        "settings": settings or {}, "release": __version__, "protocol": [OLDEST, NEWEST],
    }  # fmt: skip
    where = join_host_port(token.host, token.port)
    try:
        line = json.dumps(request).encode() + b"\n"
        ca, line = _exchange(token, line, address, time.monotonic() + timeout)
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise ValueError("no object")
        if "error" in answer:
            raise UsageError(f"the primary at {where} refuses: {answer['error']}")
        certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
        check_issued(certificate, ca, time.time())
        roster = verify(answer["roster"], ca)
        cluster_key = base64.b64decode(answer["cluster_key"], validate=True)
        if roster.get(name) is None or roster.cluster != answer["cluster"] or len(cluster_key) < 32:
            raise ValueError("it does not fit together")
    except OSError as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise UsageError(f"cannot join: the primary at {where} is not reachable: {reason}") from None
    except (SSL.SysCallError, SSL.ZeroReturnError):
        # as the primary's gate does when it takes more than some seconds (gate.HANDSHAKE_TIMEOUT)
        raise UsageError(
            f"cannot join: what listens at {where} closed the connection before the node had joined; try again, and look "
            "into the log of the primary if it is so again"
        ) from None
    except SSL.Error:
        raise UsageError(
            f"cannot join: what listens at {where} is not the cluster link of a primary"
        ) from None
    except PeerError as error:
        raise UsageError(f"cannot join: the primary at {where}: {error}") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UsageError(f"cannot join: the answer of the primary at {where} is not understood") from None
    files = {
        "ca.pem": certificate_to_pem(ca), "node.pem": certificate_to_pem(certificate), "node.key": key_to_pem(key),
        "cluster.key": cluster_key,
    }  # fmt: skip
    state.enter(roster.cluster, name, role, answer["roster"], files)


def _exchange(token: JoinToken, line: bytes, address: str, deadline: float) -> tuple[x509.Certificate, bytes]:
    """
    @param address: where to connect from, as the link will, when it is of the same family.
    @return: the cluster's CA, and the line that the primary answered.
    """
    same = is_ip(token.host) and is_ip(address) and is_ipv6(token.host) == is_ipv6(address)
    source = (address, 0) if same else None
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_alpn_protos([ALPN_JOIN])
    context.set_verify(SSL.VERIFY_NONE)  # by _check_primary, before anything is sent
    with socket.create_connection((token.host, token.port), _left(deadline), source) as plain:
        plain.setblocking(False)
        connection = SSL.Connection(context, plain)
        connection.set_connect_state()
        _wait(plain, deadline, connection.do_handshake)
        ca = _check_primary(connection, token)
        if _wait(plain, deadline, lambda: connection.send(line)) != len(line):
            raise ValueError("more than one TLS record")
        received = b""
        while b"\n" not in received:
            received += _wait(plain, deadline, lambda: connection.recv(16384))
            if len(received) > MAX_LINE:
                raise ValueError("too long")
        return ca, received


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _wait(plain: socket.socket, deadline: float, step: Callable[[], _T]) -> _T:
    nobody: list[socket.socket] = []
    while True:
        try:
            return step()
        except SSL.WantReadError:
            ready = select.select([plain], nobody, nobody, _left(deadline))
        except SSL.WantWriteError:
            ready = select.select(nobody, [plain], nobody, _left(deadline))
        if not any(ready):
            raise TimeoutError


def _check_primary(connection: SSL.Connection, token: JoinToken) -> x509.Certificate:
    """
    @return: the CA that the token names.
    @raise PeerError: the other end is not certified by it as the primary.
    """
    chain = connection.get_peer_cert_chain(as_cryptography=True) or []
    ca = next((one for one in chain if fingerprint(one) == token.fingerprint), None)
    if ca is None:
        raise PeerError("belongs to another cluster: its CA is not the one that the token names", 403)
    check_issued(chain[0], ca, time.time())
    if "primary" not in [
        unit.value for unit in chain[0].subject.get_attributes_for_oid(x509.NameOID.ORGANIZATIONAL_UNIT_NAME)
    ]:
        raise PeerError("is a secondary; only the primary lets nodes join", 403)
    return ca
