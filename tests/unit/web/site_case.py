"""A site that is driven over a transport of strings."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fake_node import FakeNode
from voipcluster.web.gate import Gate
from voipcluster.web.site import node_site

PEER = IPv4Address("TCP", "127.0.0.1", 40000)


class Answer:
    """One parsed HTTP answer."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.code = int(first.split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class SiteCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = FakeNode()
        self.clock = Clock()
        self.channels: list[Any] = []
        self.gate = self.make_gate()
        self.site = node_site(self.clock, self.node, self.gate)

    def make_gate(self) -> Gate:
        """Anybody may read, and nobody can log in."""
        return Gate()

    def send(self, raw: bytes) -> StringTransport:
        channel, transport = self.site.buildProtocol(PEER), StringTransport(peerAddress=PEER)
        transport.abortConnection = transport.loseConnection
        channel.makeConnection(transport)
        channel.dataReceived(raw)
        self.channels.append(channel)
        return transport

    def tearDown(self) -> None:
        """No request leaves a timer behind."""
        for channel in self.channels:
            channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def get(self, path: str, *, method: str = "GET", host: str = "127.0.0.1:8080", more: str = "") -> Answer:
        # HTTP/1.0, so that bodies are not cut into chunks.
        return Answer(self.send(f"{method} {path} HTTP/1.0\r\nHost: {host}\r\n{more}\r\n".encode()).value())

    def post(self, path: str, body: object, *, kind: str = "application/json", more: str = "") -> Answer:
        """@param body: octets, or what JSON makes of anything else."""
        octets = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.0\r\nHost: 127.0.0.1:8080\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(octets)}\r\n{more}\r\n"
        )
        return Answer(self.send(head.encode() + octets).value())
