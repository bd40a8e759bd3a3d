"""
From where one relay port takes packets and where to it sends: symmetric RTP that asks the signalling first (RFC 4961,
RFC 7362 section 5).

A source has a L{Rank}: the signalled address counts most, then the host that sent the signalling, if the signalled address is
on that host too or is one that only means something behind a NAT, or else after the window; last, behind a NAT and after the
window, any other host. What was learned is tentative, and a higher rank takes its place. It becomes firm after the window; one
of any other host never does. The window begins when media is due, with the final answer: who sends before that to be the
first has won nothing. Behind a firm latch only new signalling opens it again.

Nothing is sent to an address on a host that nobody vouches for, until it has sent something itself: else the relay would
shoot at whoever is named in a description (attack: relay as a weapon).
"""

from __future__ import annotations

from enum import Enum, IntEnum
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


class Rank(IntEnum):
    """How much speaks for it that a source is the phone."""

    NONE = 0
    OTHER_HOST = 1
    SAME_HOST = 2
    SAME_HOST_AND_PORT = 3  # most NATs keep the port where they can (RFC 4787 section 4.2.1)
    SIGNALLED = 4


@frozen
class Signalled:
    """
    Event: a description names the address of this side.

    @ivar address: L{None} when media must not go there.
    @ivar source: host that the signalling came from; IP literal.
    @ivar vouched: media may go there although nothing came from there yet.
    @ivar due: it is agreed on, so that media is to come now.
    """

    address: Address | None
    source: str
    vouched: bool = True
    due: bool = True


@frozen
class HeardFrom:
    """
    Event: the other port of the same side was sent something by that host, so it is there, and wants media.

    @ivar media: it was RTP; its RTCP comes from nowhere else.
    """

    host: str
    media: bool


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
class Guard:
    """Effect: send there, and take media from there alone; report everything else (checks of ICE from other addresses)."""

    address: Address


@frozen
class Accept:
    """Effect: forward this datagram."""


Effect = Aim | Connect | Guard | Accept


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
    _rank: Rank = Rank.NONE
    _due: bool = False
    _vouched: bool = True
    _beside: str = ""  # for RTCP: the host that RTP comes from
    _since: float = 0.0  # when media became due, or what is learned now was learned
    _heard: float = 0.0  # when what is learned now was last heard

    def feed(self, event: Signalled | Arrived | HeardFrom, now: float) -> list[Effect]:
        match event:
            case Signalled():
                return self._signal(event, now)
            case Arrived(source, kind):
                return self._arrived(source, kind, now)
            case HeardFrom(host, media):
                return self._heard_from(host, media)
            case _:
                assert_never(event)

    def _signal(self, event: Signalled, now: float) -> list[Effect]:
        self._source, self._vouched = event.source, event.vouched
        if self.state is not State.SHUT and event.address == self.signalled:
            # the same address again: a refresh, or the far side's change
            if event.due and not self._due:
                self._due, self._since = True, now
            if (
                self.state is State.OPEN
                and self.remote is None
                and event.vouched
                and event.address is not None
            ):
                return self._aim(event.address)
            return []
        self.state, self.signalled, self._rank = State.OPEN, event.address, Rank.NONE
        self._due, self._since, self._beside = event.due, now, ""
        return self._aim(event.address if event.vouched else None)

    def _heard_from(self, host: str, media: bool) -> list[Effect]:
        if media:
            self._beside = host
            if self._rank is Rank.OTHER_HOST and self.remote is not None and self.remote.host != host:
                self.state, self._rank = State.OPEN, Rank.NONE
                return self._aim(self.signalled if self._vouched else None)
        if self.state is not State.OPEN or self.remote is not None or self.signalled is None:
            return []
        return self._aim(self.signalled) if self.signalled.host == host else []

    def _aim(self, address: Address | None) -> list[Effect]:
        self.remote = address
        return [Aim(address)]

    def _arrived(self, source: Address, kind: Kind, now: float) -> list[Effect]:
        if self.state is State.SHUT or (self.checked and kind is Kind.OTHER):
            return []
        if self.state is State.LATCHED:
            return [Accept()] if source == self.remote else []
        if source == self.signalled:
            return self._connect(source)
        passed = self._due and now - self._since >= self.window
        if self.state is State.LEARNED and source == self.remote:
            self._heard = now
            return self._connect(source) if passed and self._rank > Rank.OTHER_HOST else [Accept()]
        rank = self._rank_of(source, kind, passed)
        if rank <= self._rank and not self._gone(rank, now):
            return []
        self.state, self.remote, self._rank = State.LEARNED, source, rank
        self._since = self._heard = now
        return [Accept(), Aim(source)]

    def _connect(self, source: Address) -> list[Effect]:
        self.state, self.remote = State.LATCHED, source
        return [Accept(), Connect(source)]

    def _gone(self, rank: Rank, now: float) -> bool:
        """What was learned is silent: the phone may have got another port of its NAT, or have opened another one itself."""
        return rank == self._rank > Rank.OTHER_HOST and now - self._heard >= self.window

    def _rank_of(self, source: Address, kind: Kind, late: bool) -> Rank:
        """
        How much is believed that a source that was not signalled is the phone.

        A public address on a third host is meant as it is written (music on hold, RFC 5359 section 2.3): what still comes
        from the phone then is a left-over. From a host that has nothing to do with the call a handshake proves nothing,
        only media does.
        """
        signalled = None if self.signalled is None else self.signalled.host
        on_source = signalled == self._source
        natted = signalled is None or any(ip_address(signalled) in network for network in _BEHIND_NAT)
        if source.host == self._source:
            if not (late or natted or on_source):
                return Rank.NONE
            same_port = self.signalled is not None and source.port == self.signalled.port
            return Rank.SAME_HOST_AND_PORT if same_port else Rank.SAME_HOST
        if self._beside not in ("", source.host):
            return Rank.NONE
        if late and natted and not on_source and (not self.checked or kind in {Kind.RTP, Kind.RTCP}):
            return Rank.OTHER_HOST
        return Rank.NONE
