"""An upstream of overload control (RFC 7339, algorithm C{loss}) that has more to send than its servers can serve."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

from attrs import define, field
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import LoopingCall

TOLD = re.compile(rb';oc=(\d+);oc-algo="loss";oc-validity=(\d+);oc-seq=([\d.]+)')
EVERY = 0.005  # s
AT_MOST = 0.05  # s of the rate that are sent at once, when this process had to wait
MOST = 10_000.0  # requests a second that are asked of one server


@define
class Server:
    """
    What the upstream knows of one server.

    @ivar asked: new requests that it had for it; C{sent}: those that it did not hold back; C{statuses}: of the answers.
    @ivar due: the part of a request that is to be asked next.
    @ivar loss: percent to hold back until C{until}, seconds.
    """

    host: str
    asked: int = 0
    sent: int = 0
    statuses: Counter[int] = field(factory=Counter)
    loss: int = 0
    until: float = 0.0
    sequence: float = -1.0
    due: float = 0.0

    def learn(self, loss: int, validity: float, sequence: float, now: float) -> None:
        """Section 5.4: a value that is not newer says nothing; with a validity of 0 the control ends."""
        if sequence > self.sequence:
            self.loss, self.until, self.sequence = loss, now + validity, sequence


class Upstream(DatagramProtocol):
    """
    Asks each server with a MESSAGE for somebody who is nowhere, again and again, and sends no more than it is told.

    It does not look at a message twice, and repeats none, so that it is never what is too slow.

    @param takes_part: whether it says C{oc}; who does not is told nothing and sends all it has.
    @ivar rates: requests a second for each server; C{reactor}: the clock.
    """

    transport: Any
    noisy = False

    def __init__(self, reactor: Any, host: str, servers: list[str], domain: str, takes_part: bool) -> None:
        self.reactor = reactor
        self.rates: dict[str, float] = {}
        self.servers = {server: Server(server) for server in servers}
        self._host, self._number, self._begun = host, 0, 0.0
        self._says = ";oc;oc-algo=loss" if takes_part else ""
        self._domain = domain
        self._rand = random.Random(7)
        self._sending = LoopingCall(self._send)
        self._sending.clock = reactor

    def begin(self, rates: dict[str, float]) -> None:
        """Ask so many a second of each server."""
        self.rates, self._begun = rates, self.reactor.seconds()
        self._sending.start(EVERY)

    def end(self) -> None:
        if self._sending.running:
            self._sending.stop()

    def forget_counts(self) -> None:
        """Count anew, from now on."""
        for server in self.servers.values():
            server.asked = server.sent = 0
            server.statuses.clear()

    def _send(self) -> None:
        now = self.reactor.seconds()
        elapsed, self._begun = min(AT_MOST, now - self._begun), now
        for server in self.servers.values():
            share = server.loss / 100.0 if now < server.until else 0.0
            server.due += self.rates[server.host] * elapsed
            count, server.due = int(server.due), server.due % 1.0
            for _ in range(count):
                server.asked += 1
                if self._rand.random() >= share:
                    server.sent += 1
                    self.transport.write(self._request(), (server.host, 5060))

    def _request(self) -> bytes:
        self._number += 1
        number, host, domain = self._number, self._host, self._domain
        return (
            f"MESSAGE sip:nobody@{domain} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:5060;branch=z9hG4bKup{number}{self._says}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:up@{domain}>;tag=u{number}\r\nTo: <sip:nobody@{domain}>\r\n"
            f"Call-ID: up{number}@{host}\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
        ).encode()

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        server = self.servers[addr[0]]
        server.statuses[int(datagram[8:11])] += 1
        if (told := TOLD.search(datagram)) is not None:
            server.learn(int(told[1]), int(told[2]) / 1000.0, float(told[3]), self.reactor.seconds())
