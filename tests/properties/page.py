"""The web page, its JSON and its metrics, as anybody who reaches the port asks for them (RFC 9112)."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.properties.cutting import cut_of, pieces
from tests.properties.outcome import nothing_logged
from tests.unit.fake_node import FakeNode
from voipcluster.web.gate import Gate
from voipcluster.web.site import node_site

PEER = IPv4Address("TCP", "127.0.0.1", 40000)
READ = {"registrations", "calls", "explain", "history"}


class Wire(StringTransport):
    gone = False

    def abortConnection(self) -> None:
        self.gone = True


def check_page(octets: bytes) -> None:
    """C{octets}: one that says how the rest is cut, and the rest: requests on one connection. The node is only read."""
    step, data = cut_of(octets)
    node, clock, wire = FakeNode(), Clock(), Wire(peerAddress=PEER)

    def talk() -> None:
        channel = node_site(clock, node, Gate()).buildProtocol(PEER)
        assert channel is not None
        channel.makeConnection(wire)
        for piece in pieces(data, step):
            if not (wire.gone or wire.disconnecting):
                channel.dataReceived(piece)
        channel.connectionLost(Failure(ConnectionDone()))

    nothing_logged(talk)
    said = wire.value()
    assert not said or said.startswith(b"HTTP/1."), said[:40]
    assert {what for what, *_ in node.asked} <= READ
    assert b"Traceback" not in said
    assert not clock.getDelayedCalls()
