"""SIP over WebSocket (RFC 7118): the opening handshake over HTTP, and the frames behind it (RFC 6455)."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.utilities import generate_accept_token

from tests.properties.cutting import cut_of, pieces
from tests.properties.outcome import nothing_logged
from tests.unit.net.fakes import FakeReactor, FakeSink, FakeTransport
from tests.unit.net.websocket_client import WebSocketClient
from voipcluster.net.connections import Connections
from voipcluster.net.sink import SinkErrors
from voipcluster.net.stream import LINGER, StreamLimits
from voipcluster.net.timers import TimerWheel
from voipcluster.net.websocket_resource import Origins, SipWebSocketResource
from voipcluster.services.transaction.websockets import WebSocketService

LOCAL, REMOTE = ("192.0.2.1", 8080), ("198.51.100.9", 40000)
LIMITS = StreamLimits(max_head=1000, max_body=1000)


class Node:
    """What a browser reaches, with a clock and transports of the test. @ivar table: the connections behind their handshake."""

    def __init__(self) -> None:
        self.clock, self.sink = FakeReactor(), FakeSink()
        self.table = Connections(
            self.clock, self.sink, SinkErrors(self.clock), TimerWheel(self.clock), LIMITS
        )
        self.transport = FakeTransport(self.clock, REMOTE, LOCAL)

    def open_web(self) -> Any:
        resource = SipWebSocketResource(
            lambda remote, frames: self.table.accept_websocket("WS", LOCAL, remote, frames),
            Origins(domains=("example.com",)),
        )
        WebSocketService(self.clock, *LOCAL, resource).startService()
        [listening] = self.clock.ports
        self.transport.connect(listening.factory.buildProtocol(IPv4Address("TCP", *REMOTE)))

    def open_frames(self) -> None:
        stream = self.table.accept_websocket("WS", LOCAL, REMOTE, Connection(ConnectionType.SERVER))
        self.transport.producer = "the web server's"
        self.transport.connect(stream)

    def feed(self, data: bytes, step: int) -> None:
        for piece in pieces(data, step):
            if not (self.transport.gone or self.transport.aborted):
                self.transport.protocol.dataReceived(piece)

    def end(self) -> None:
        """The peer goes away; nothing of it stays."""
        self.transport.lose(ConnectionDone())
        self.clock.run_for(LINGER + 1.0, 0.5)
        assert len(self.table) == 0
        assert not self.clock.getDelayedCalls()


def check_opening(octets: bytes) -> None:
    """C{octets}: one that says how the rest is cut, and the rest: an opening handshake, and what comes behind it."""
    step, data = cut_of(octets)
    node = Node()

    def talk() -> None:
        node.open_web()
        node.feed(data, step)
        said = node.transport.written
        if said.startswith(b"HTTP/1.1 101 "):
            head, _, frames = said.partition(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            assert b"sec-websocket-protocol: sip" in lines
            keys = [line.partition(b":")[2].strip() for line in data.split(b"\r\n") if b"key" in line.lower()]
            accepted = {b"sec-websocket-accept: " + generate_accept_token(key).lower() for key in keys}
            assert accepted & set(lines), "the proof is made of the client's key (RFC 6455 section 4.2.2)"
            WebSocketClient().receive(frames)
        else:
            assert not node.sink.calls, "nothing is received before the handshake"
            assert not said or said.startswith(b"HTTP/1."), said
        node.end()

    nothing_logged(talk)


def check_frames(octets: bytes) -> None:
    """C{octets}: one that says how the rest is cut, and the rest. The messages are those of the frames, cut anywhere."""
    step, data = cut_of(octets)
    whole, cut = messages_of(data, max(1, len(data))), messages_of(data, step)
    assert whole == cut, (whole, cut)


def messages_of(data: bytes, step: int) -> tuple[list[bytes], bool]:
    """@return: the messages, and whether the connection was given up."""
    node = Node()
    closed = False

    def talk() -> None:
        nonlocal closed
        node.open_frames()
        node.feed(data, step)
        said = node.transport.written
        assert len(said) <= len(data) + 8, "pongs and a close frame, no longer than what they answer"
        client = WebSocketClient()
        client.receive(said)
        closed = client.closed is not None
        assert client.closed is None or 1000 <= client.closed <= 4999
        node.end()

    nothing_logged(talk)
    received = node.sink.received()
    assert all(len(message) <= LIMITS.max_head + LIMITS.max_body for message in received)
    return received, closed
