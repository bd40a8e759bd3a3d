"""What the relay shows of its calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from voipcluster.media.codec import Codec
from voipcluster.media.offer_answer import Side
from voipcluster.media.quality import StreamQuality
from voipcluster.media.stream import RTP, Spot
from voipcluster.media.target import Address
from voipcluster.services.media.line import Line
from voipcluster.services.media.listening import Trouble, trouble_of

if TYPE_CHECKING:
    from voipcluster.services.media.relay import CallKey


@frozen
class LegSnapshot:
    """
    One side of a media line. C{local} is what that side sends to; C{signalled} and C{remote} are L{None} when there
    is no address that media may go to. C{strangers} were not forwarded.
    """

    local: Address
    signalled: Address | None
    remote: Address | None
    latched: bool
    packets: int
    octets: int
    strangers: int
    errors: int


@frozen
class StreamSnapshot:
    """
    C{codec} is what both sides agreed on. C{quality} is the one that goes on counting, L{None} as long as no RTCP came that can
    be read; none ever will when the stream is C{protected}. C{kernel}: whether the kernel relays it now.
    """

    kind: str
    protocol: str
    held: bool
    caller: LegSnapshot | None
    callee: LegSnapshot | None
    codec: Codec | None = None
    protected: bool = False
    quality: StreamQuality | None = None
    trouble: Trouble | None = None
    kernel: bool = False


@frozen
class MediaSnapshot:
    """One relayed call. C{age} and C{silent} in seconds."""

    call: CallKey
    answered: bool
    held: bool
    age: float
    silent: float
    streams: tuple[StreamSnapshot, ...]


@frozen
class MediaStatistics:
    """
    C{packets_per_second} is of the last full second, both directions; C{ports_free} counts pairs outside quarantine;
    the totals are since the start. C{path} is C{kernel}, C{userspace} or C{off}, C{reason} why it is not the kernel. Of the
    packets C{kernel_packets} did not come to this process, C{kernel_rate} a second of late.
    """

    sessions: int
    ports_free: int
    ports_total: int
    packets_per_second: float
    total_sessions: int
    total_packets: int
    total_octets: int
    total_timeouts: int
    total_refused: int
    path: str
    reason: str
    kernel_packets: int
    kernel_rate: float


def stream_snapshot(index: int, line: Line) -> StreamSnapshot:
    stream, silence = line.stream, line.stream.silence
    missing = None if silence is None else silence.missing
    protocols = [media.protocol for media in stream.lines.values()]
    return StreamSnapshot(
        kind=stream.kind,
        protocol=protocols[-1] if protocols else "",
        held=stream.held,
        caller=_leg_snapshot(line, Side.CALLER),
        callee=_leg_snapshot(line, Side.CALLEE),
        codec=stream.codec,
        protected=stream.protected,
        quality=stream.quality,
        trouble=None if missing is None else trouble_of(index, stream, missing),
        kernel=line.kernel is not None and bool(line.kernel.handed),
    )


def _leg_snapshot(line: Line, side: Side) -> LegSnapshot | None:
    leg = line.legs.get(side)
    if leg is None:
        return None
    latch = line.stream.latch(Spot(side, RTP))
    remote = line.stream.remote(Spot(side, RTP))
    media = [ports[RTP] for ports in leg.ports.values()]
    facing = leg.ports.get(remote.family if remote is not None else 0) or next(iter(leg.ports.values()))
    return LegSnapshot(
        local=facing[RTP].address(),
        signalled=latch.signalled,
        remote=remote,
        latched=any(port.latched for port in media),
        packets=sum(port.packets for port in media),
        octets=sum(port.octets for port in media),
        strangers=sum(port.strangers for port in media),
        errors=sum(port.errors for port in media),
    )
