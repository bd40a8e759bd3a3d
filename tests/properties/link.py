"""The cluster link, from octets on a connection to the fields of a message."""

from __future__ import annotations

import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.spread import banana

from tests.properties.cutting import cut_of, pieces
from tests.properties.outcome import failed, nothing_logged, outcome, text_of
from voipcluster.balance.codec import SCHEMAS, decode, encode, kind_of
from voipcluster.errors import PeerError, UsageError
from voipcluster.net import roster
from voipcluster.net.certificates import Certified, create_ca
from voipcluster.net.envelope import Ordering, open_envelope, pack, unpack
from voipcluster.net.gate import GateFactory
from voipcluster.net.guard import BananaGuard
from voipcluster.net.join import JoinProtocol, parse_token
from voipcluster.net.link import LinkBroker, serve_with
from voipcluster.net.tls import ALPN_JOIN

KINDS = sorted(SCHEMAS)
PEER = Certified("b", "secondary", "0" * 64)
CA, CA_KEY = create_ca("cluster", 1.7e9)


class Wire(StringTransport):
    """A connection of the link: remembers that it was closed."""

    closed = False
    negotiatedProtocol = ALPN_JOIN

    def abortConnection(self) -> None:
        self.closed = True

    def loseConnection(self) -> None:
        self.closed = True


def check_guard(octets: bytes) -> None:
    """C{octets}: one that says how the rest is cut, and the rest. Nothing reaches banana but whole expressions."""
    step, data = cut_of(octets)
    results: list[tuple[list[bytes], str | None]] = []
    for width in (max(1, len(data)), step):
        guard, whole, fault = BananaGuard(), list[bytes](), None
        try:
            for piece in pieces(data, width):
                whole += guard.feed(piece, 0.0)
        except PeerError as error:
            fault = str(error)
        results.append((whole, fault))
    (once, fault), (cut, cut_fault) = results
    assert fault == cut_fault
    assert fault is not None or once == cut
    assert cut[: len(once)] == once
    assert data.startswith(b"".join(cut))
    for expression in cut:
        decoded: list[Any] = []
        reader = banana.Banana(isClient=0)
        reader.makeConnection(Wire())
        reader._selectDialect(b"pb")
        reader.expressionReceived = decoded.append
        try:
            reader.dataReceived(expression)
        except (banana.BananaError, KeyError, NotImplementedError):
            continue  # longer than banana takes, or a word that its vocabulary lacks
        assert len(decoded) == 1, "guard and banana disagree where an expression ends"
        assert not reader.buffer


def _encoded(value: object) -> bytes:
    return banana.encode(value)


def check_broker(octets: bytes) -> None:
    """A certified peer that sends anything: served, or its connection is closed; nothing is raised or logged."""
    served_of(octets)


def served_of(octets: bytes) -> list[str]:
    """@return: the kinds of the messages that were received."""
    clock, wire, lost = Clock(), Wire(), list[str]()
    kinds: list[str] = []

    def receive(peer: Certified, kind: str, body: dict[str, Any]) -> None:
        decode(kind, body)
        kinds.append(kind)

    def talk() -> None:
        serve = serve_with(PEER, Ordering(), receive, lambda node, reason: None)
        broker = LinkBroker(clock, serve, lambda broker: None, lambda broker, why: lost.append(why), 40.0)
        broker.makeConnection(wire)
        broker.dataReceived(_encoded(b"pb") + _encoded([b"version", 6]))
        assert not wire.closed, "both speak PB"
        broker.dataReceived(octets)
        broker.connectionLost(Failure(ConnectionError("gone")))

    nothing_logged(talk)
    assert len(lost) == 1 and not clock.getDelayedCalls()
    return kinds


def check_answers(octets: bytes) -> None:
    """A certified peer that answers anything to two calls: each ends once, in octets or a fault of the peer's."""
    answers_to(octets)


def answers_to(octets: bytes) -> list[bytes]:
    """@return: the payloads that came for the calls 1 and 2."""
    clock, wire, lost = Clock(), Wire(), list[str]()
    answered: list[bytes] = []
    failures: list[Failure] = []

    def talk() -> None:
        broker = LinkBroker(clock, None, lambda broker: None, lambda broker, why: lost.append(why))
        broker.makeConnection(wire)
        broker.dataReceived(_encoded([b"pb", b"none"]) + _encoded([b"version", 6]))
        assert not wire.closed, "both speak PB"
        for kind in ("report", "members"):
            broker.call(kind, b"{}").addCallbacks(answered.append, failures.append)
        broker.dataReceived(octets)
        broker.connectionLost(Failure(ConnectionError("gone")))

    nothing_logged(talk)
    assert len(answered) + len(failures) == 2 and len(lost) == 1 and not clock.getDelayedCalls()
    assert all(isinstance(payload, bytes) for payload in answered)
    assert all(failure.check(PeerError) for failure in failures)
    return answered


def check_envelope(octets: bytes) -> None:
    body = outcome(lambda: unpack(octets))
    opened = outcome(lambda: open_envelope(PEER, octets))
    if failed(body):
        assert failed(opened)
        return
    wire = outcome(lambda: pack(body))
    if not failed(wire):
        assert unpack(wire) == body
    if not (failed(opened)):
        epoch, sequence, inner = opened
        assert 0 <= epoch < 1 << 53 and 0 <= sequence < 1 << 53 and isinstance(inner, dict)
        ordering = Ordering()
        assert ordering.fault("b", epoch, sequence) is None
        assert ordering.fault("b", epoch, sequence) is not None


def check_codec(octets: bytes) -> None:
    """C{octets}: one that names the kind, and JSON. What is taken is sent again as the same."""
    try:
        value = json.loads(octets[1:])
    except (ValueError, RecursionError):
        value = text_of(octets[1:])
    kind = KINDS[octets[0] % len(KINDS)] if octets else "report"
    try:
        message = decode(kind, value)
    except PeerError as error:
        assert len(str(error)) < 400, "the log line of a peer's fault is short"
        return
    assert kind_of(message) == kind
    try:
        wire = encode(message)
    except UsageError as error:
        raise AssertionError(f"taken, but not sent: {error}") from None
    assert decode(kind, wire) == message
    unpack(pack({"node": "b", "body": wire}))


def check_roster(octets: bytes) -> None:
    """Text that the CA signed, of any form, and the same under a wrong signature."""
    text = octets.decode("utf-8", "replace")
    good = roster.base64.b64encode(CA_KEY.sign(text.encode(), ec.ECDSA(hashes.SHA256()))).decode()
    found = outcome(lambda: roster.verify({"roster": text, "signature": good}, CA))
    if not failed(found):
        assert roster.verify(roster.sign(found, CA_KEY), CA) == found
        assert failed(outcome(lambda: roster.verify({"roster": text + " ", "signature": good}, CA)))
    assert failed(outcome(lambda: roster.verify({"roster": text, "signature": text}, CA)))


def check_join(octets: bytes) -> None:
    """Before anybody is known: the line of a joining node, behind the gate of the link's port."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        raise PeerError("the join token is unknown", 403)

    def unreachable(*_: object) -> Any:
        raise AssertionError("nobody is a member here")

    def unserved(peer: Certified) -> Any:
        def serve(kind: str, payload: bytes) -> Deferred[bytes]:
            return succeed(b"")

        return serve

    clock, wire = Clock(), Wire()
    gates = GateFactory(
        clock,
        unreachable,
        unreachable,
        unserved,
        lambda refused: JoinProtocol(answer, refused),
        lambda: 1.7e9,
    )
    gate = gates.buildProtocol(None)
    gate.makeConnection(wire)
    gate.dataReceived(octets)
    assert not wire.value(), "nothing is answered before the handshake is complete"
    gate.handshakeCompleted()
    for start in range(0, len(octets), 1000):
        if not wire.closed:
            gate.dataReceived(octets[start : start + 1000])
    said = wire.value()
    assert len(said) <= 512
    if b"\n" in octets[:4096]:
        assert wire.closed and said.endswith(b"\n") and "error" in json.loads(said)
    gate.connectionLost(Failure(ConnectionError("gone")))
    assert not clock.getDelayedCalls()
    try:
        token = parse_token(octets.decode("utf-8", "replace"))
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert parse_token(str(token)) == token
