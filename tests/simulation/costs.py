"""
What a node's processor takes for each thing that it does.

How the kinds of messages compare is measured (C{python -m bench.costs}); together they take what a call takes in a node under
load, about 230 microseconds (C{bench/proxy.py}).
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

RECEIVED = {
    b"INVITE": 60.0, b"ACK": 20.0, b"BYE": 25.0, b"CANCEL": 25.0, b"REGISTER": 45.0,
    b"1xx": 7.0, b"2xx": 12.0, b"3xx": 12.0, b"4xx": 12.0, b"5xx": 12.0, b"6xx": 12.0,
}  # fmt: skip
OTHER = 25.0  # a message of another kind
SENT = 10.0  # one datagram, with the kernel's part
TIMER = 10.0  # one call of the reactor
LINK = 110.0  # one message of the cluster link
HANDSHAKE = 2500.0  # of TLS, the certificates checked


def kind_of(data: bytes) -> bytes:
    """The method of a request, C{2xx} and so on for a response."""
    return data[8:9] + b"xx" if data.startswith(b"SIP/2.0 ") else data.partition(b" ")[0]


@frozen
class Costs:
    """
    Seconds of a node of speed 1; the tables are in microseconds.

    @ivar scale: SIP messages take so many times as long, so that few calls are much load. What a node does at a rate of its
        own, reports and timers, stays as it is.
    @ivar received: by L{kind_of}: all that is done about a message but sending.
    """

    scale: float = 10.0
    received: Mapping[bytes, float] = field(factory=lambda: RECEIVED)
    timer: float = TIMER * 1e-6
    link: float = LINK * 1e-6
    handshake: float = HANDSHAKE * 1e-6

    def of_received(self, data: bytes) -> float:
        return self.received.get(kind_of(data), OTHER) * 1e-6 * self.scale

    @property
    def sent(self) -> float:
        return SENT * 1e-6 * self.scale
