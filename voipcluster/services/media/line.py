"""One relayed media line with its open ports: datagrams to the machine of the stream, its effects to the ports."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import define, field

from voipcluster.media.ice import answer
from voipcluster.media.latch import Accept, Aim, Arrived, Connect, Guard
from voipcluster.media.offer_answer import Exchange, Side
from voipcluster.media.offload import crossings
from voipcluster.media.rtp import Kind, is_rtcp, kind_of
from voipcluster.media.stream import RTCP, RTP, SPOTS, Directed, Spot, Stream
from voipcluster.media.target import Address
from voipcluster.net.rtp import RtpPort, Send, Sink, nowhere
from voipcluster.services.media.kernel_line import Handed, KernelLine

Heard = Callable[[Stream, Side, bytes], None]
"""Is shown each RTCP datagram of a side that passes."""


def _to_nobody(port: RtpPort, datagram: bytes, source: Address) -> None:
    """Where ports report to when their line has ended."""


@define
class Leg:
    """The ports that face one side: one number, in each family that was needed."""

    number: int
    ports: dict[int, list[RtpPort]]


@define
class Line:
    """
    One media line that is relayed.

    @ivar born: the exchange that brought it.
    @ivar heard: gets the RTCP that can be read.
    @ivar moves: how often a latch has moved because of what arrived.
    @ivar kernel: is told which ports feed each other, so that the kernel may do it; L{None} where it cannot.
    @ivar bridged: the side whose RTCP comes and goes on its RTP port although that of the other does not (RFC 5761).
    """

    stream: Stream
    born: Exchange
    _seconds: Callable[[], float]
    kernel: KernelLine | None = None
    legs: dict[Side, Leg] = field(factory=dict)
    heard: Heard | None = None
    moves: int = 0
    bridged: Side | None = None
    sink: Sink = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.sink = self.arrived  # one bound method for all ports

    def close(self) -> None:
        """Break the circle of line and ports, which would hold the memory of a call until the collector comes by."""
        self.legs, self.sink = {}, _to_nobody

    def ports(self, side: Side) -> list[RtpPort]:
        leg = self.legs.get(side)
        return [] if leg is None else [port for ports in leg.ports.values() for port in ports]

    def all_ports(self) -> list[RtpPort]:
        return [port for side in self.legs for port in self.ports(side)]

    def arrived(self, port: RtpPort, datagram: bytes, source: Address) -> None:
        """A datagram came to a port that is not latched; C{port.label} is its spot."""
        spot = port.label
        assert isinstance(spot, Spot), "ports of a line are labelled so"
        kind = kind_of(datagram)
        if kind is Kind.STUN and spot.side in self.stream.agents:
            self._checked(port, spot, datagram, source)
            return
        directed = self.stream.arrived(spot, Arrived(source, kind), self._seconds())
        if any(isinstance(effect, Accept) for _, effect in directed):
            port.accept(datagram)
        else:
            port.strangers += 1
        if directed:
            self.moves += 1
            self.execute(directed)
            for changed, effect in directed:
                if not isinstance(effect, Accept):
                    self.wire(changed)
            self.offload()

    def _checked(self, port: RtpPort, spot: Spot, datagram: bytes, source: Address) -> None:
        """STUN ends here: its password is ours."""
        said, check = answer(self.stream.agents[spot.side], datagram, source)
        if said is not None:
            port.answer(said, source)
        if check is None:
            port.strangers += 1
            return
        directed = self.stream.checked(spot, check, self._seconds())
        if directed:
            self.moves += 1
            self.execute(directed)
            self.wire(spot)
            self.offload()

    def execute(self, directed: list[Directed]) -> None:
        for spot, effect in directed:
            leg = self.legs.get(spot.side)
            if leg is None or isinstance(effect, Accept):
                continue
            family = None if effect.address is None else effect.address.family
            for own_family, ports in leg.ports.items():
                if spot.component >= len(ports):
                    continue
                port = ports[spot.component]
                if own_family != family:
                    port.aim(None)
                elif isinstance(effect, Connect):
                    try:
                        port.connect(effect.address)
                    except OSError:  # no route now: the latch goes on filtering, sending counts the errors
                        port.aim(effect.address)
                elif isinstance(effect, Guard):
                    port.guard(effect.address)
                elif isinstance(effect, Aim):
                    port.aim(effect.address)

    def wire(self, spot: Spot) -> None:
        """Let the ports of the far side forward to where this spot's media goes now."""
        far = self.legs.get(spot.side.other)
        if far is None or spot.side not in self.legs:
            return
        for component in (RTP, RTCP) if self.bridged is not None else (spot.component,):
            forward = self._towards(spot.side, component)
            for ports in far.ports.values():
                if component < len(ports):
                    ports[component].forward = forward

    def _towards(self, side: Side, component: int) -> Send:
        """Where a port of the far side sends what comes to it."""
        rtp = self._out(SPOTS[side][RTP])
        apart = self.bridged is side.other and component == RTP
        if apart:
            out = _apart(rtp, self._out(SPOTS[side][RTCP]))
        else:
            out = rtp if self.bridged is side else self._out(SPOTS[side][component])
        # only where RTCP comes and can be read: packets of media take the short way
        comes = component != RTP or apart or self.stream.muxed
        if out is nowhere or self.heard is None or self.stream.protected or not comes:
            return out
        return partial(self._pass_on, SPOTS[side][component], out)

    def _out(self, spot: Spot) -> Send:
        remote = self.stream.remote(spot)
        near = [] if remote is None else self.legs[spot.side].ports.get(remote.family, [])
        return near[spot.component].out if spot.component < len(near) else nowhere

    def _pass_on(self, spot: Spot, out: Send, datagram: bytes) -> None:
        """A datagram for that spot goes on, and is shown if it is RTCP."""
        out(datagram)
        if self.heard is not None and is_rtcp(datagram):
            self.heard(self.stream, spot.side.other, datagram)

    def packets(self, side: Side) -> int:
        """Received from that side on its RTP port."""
        leg = self.legs.get(side)
        return 0 if leg is None else sum(ports[RTP].packets for ports in leg.ports.values())

    def offload(self) -> None:
        """Let the kernel relay what it can, and nothing that has changed."""
        if self.kernel is None:
            return
        media = {
            side: {f: ports[RTP] for f, ports in leg.ports.items() if ports and ports[RTP].latched}
            for side, leg in self.legs.items()
        }
        facing = {side: {f: port.address() for f, port in ports.items()} for side, ports in media.items()}
        found = zip(Side, crossings(self.stream, facing), strict=False)
        self.kernel.update(tuple(Handed(one, media[side][one.family]) for side, one in found))

    def end_offload(self) -> None:
        """Take back what the kernel relays; its counts are in the ports then."""
        if self.kernel is not None:
            self.kernel.update(())


def _apart(rtp: Send, rtcp: Send) -> Send:
    """RTP and RTCP that came on one port go to two."""

    def send(datagram: bytes) -> object:
        return (rtcp if is_rtcp(datagram) else rtp)(datagram)

    return send
