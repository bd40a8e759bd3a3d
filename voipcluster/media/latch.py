"""
From where one relay port takes packets and where to it sends: symmetric RTP that asks the signalling first (RFC 4961,
RFC 7362 section 5).

The order of trust: the signalled address at once; else a source on the host that sent the signalling, if the signalled
address is on that host too or is one that only means something behind a NAT; after the window that host in any case, and
behind a NAT any other one. A latch that learned an address keeps it tentative for the window, in which the signalled
address still wins. Then only new signalling opens it again.
"""

from __future__ import annotations

from enum import Enum
from ipaddress import ip_address, ip_network
from typing import assert_never

from attrs import define, frozen

from voipcluster.media.rtp import Kind
from voipcluster.media.target import Address

# Addresses that a host elsewhere cannot reach: RFC 1918, RFC 6598, RFC 3927, RFC 4193.
_BEHIND_NAT = [
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "fc00::/7",
    )
]


@frozen
class Signalled:
    """
    Event: a description names the address of this side.

    @ivar address: L{None} when media must not go there.
    @ivar source: host that the signalling came from; IP literal.
    """

    address: Address | None
    source: str


@frozen
class Arrived:
    """Event: a datagram from outside, while the latch is not firm."""

    source: Address
    kind: Kind


@frozen
class Aim:
    """Effect: send there (or nowhere), and report what arrives from anywhere."""

    address: Address | None


@frozen
class Connect:
    """Effect: send there, and take packets from there alone."""

    address: Address


@frozen
class Accept:
    """Effect: forward this datagram."""


Effect = Aim | Connect | Accept


class State(Enum):
    SHUT = "nothing signalled"
    OPEN = "waits for the first packet"
    LEARNED = "took an address that was not signalled"
    LATCHED = "firm"


@define
class Latch:
    """
    One port of one side.

    @ivar window: seconds for which a learned address is tentative and others are not learned at all.
    @ivar checked: an RTP line: datagrams of other protocols teach nothing. False on lines that the relay cannot read.
    """

    window: float
    checked: bool = True
    state: State = State.SHUT
    signalled: Address | None = None
    remote: Address | None = None
    _source: str = ""
    _since: float = 0.0

    def feed(self, event: Signalled | Arrived, now: float) -> list[Effect]:
        match event:
            case Signalled(address, source):
                if self.state is not State.SHUT and address == self.signalled:
                    self._source = source
                    return []  # the same address again: a refresh, or the far side's change
                self.state, self.signalled, self.remote = State.OPEN, address, address
                self._source, self._since = source, now
                return [Aim(address)]
            case Arrived(source, kind):
                return self._arrived(source, kind, now)
            case _:
                assert_never(event)

    def _arrived(self, source: Address, kind: Kind, now: float) -> list[Effect]:
        if self.state is State.SHUT or (self.checked and kind is Kind.OTHER):
            return []
        if self.state is State.LATCHED:
            return [Accept()] if source == self.remote else []
        if source == self.signalled:
            return self._connect(source)
        if self.state is State.LEARNED:
            if source != self.remote:
                return []
            return [Accept()] if now - self._since < self.window else self._connect(source)
        if not self._may_learn(source, kind, now - self._since >= self.window):
            return []
        self.state, self.remote, self._since = State.LEARNED, source, now
        return [Accept(), Aim(source)]

    def _connect(self, source: Address) -> list[Effect]:
        self.state, self.remote = State.LATCHED, source
        return [Accept(), Connect(source)]

    def _may_learn(self, source: Address, kind: Kind, late: bool) -> bool:
        """
        Whether a source that was not signalled is believed to be the phone.

        A public address on a third host is meant as it is written (music on hold, RFC 5359 section 2.3): what still comes
        from the phone then is a left-over. From a host that has nothing to do with the call a handshake proves nothing,
        only media does.
        """
        signalled = None if self.signalled is None else self.signalled.host
        on_source = signalled == self._source
        natted = signalled is None or any(ip_address(signalled) in network for network in _BEHIND_NAT)
        if source.host == self._source:
            return late or natted or on_source
        return late and natted and not on_source and (not self.checked or kind in {Kind.RTP, Kind.RTCP})
