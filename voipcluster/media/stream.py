"""The machine of one relayed media line: two sides, each with one latch for RTP and one for RTCP."""

from __future__ import annotations

from typing import NamedTuple

from attrs import define, field

from voipcluster.media.codec import Codec, agreed
from voipcluster.media.ice import Agent, Checked, IceLatch
from voipcluster.media.latch import Accept, Arrived, Effect, HeardFrom, Latch, Signalled
from voipcluster.media.offer_answer import Side
from voipcluster.media.quality import StreamQuality
from voipcluster.media.sdp import Direction, Ice, MediaLine, Transport
from voipcluster.media.silence import Silence
from voipcluster.media.target import Address, Targets, is_unspecified

RTP, RTCP = 0, 1


class Spot(NamedTuple):
    """One port of a stream: the side that it faces, and L{RTP} or L{RTCP}."""

    side: Side
    component: int


SPOTS = {side: (Spot(side, RTP), Spot(side, RTCP)) for side in Side}  # made once: each port keeps its own


class Directed(NamedTuple):
    """An effect of the latch of one spot."""

    spot: Spot
    effect: Effect


@define
class Stream:
    """
    @ivar window: see L{Latch}.
    @ivar kind: C{audio}, C{video}, ... of the line in force.
    @ivar lines: what each side last said about itself; missing until it spoke.
    @ivar quality: what RTCP told, from the first of it on; C{silence}: who sends, once media was due.
    @ivar agents: that answer the ICE checks of a side; missing where it was told nothing of ICE.
    """

    targets: Targets
    window: float
    kind: str = ""
    lines: dict[Side, MediaLine] = field(factory=dict)
    quality: StreamQuality | None = None
    silence: Silence | None = None
    agents: dict[Side, Agent] = field(factory=dict)
    _latches: dict[Spot, Latch] = field(factory=dict)
    ice_latches: dict[Spot, IceLatch] = field(factory=dict)

    @property
    def paired(self) -> bool:
        """RTP has a second port; any other datagram protocol has not."""
        return all(line.transport is Transport.RTP for line in self.lines.values())

    @property
    def held(self) -> bool:
        return any(line.held for line in self.lines.values())

    @property
    def mutual(self) -> bool:
        """Both sides agreed to send and to receive."""
        return len(self.lines) == len(Side) and all(
            line.direction is Direction.SENDRECV and not line.held for line in self.lines.values()
        )

    @property
    def muxed(self) -> bool:
        """RTCP comes to the port of RTP (RFC 5761)."""
        return len(self.lines) == len(Side) and all(line.rtcp_mux for line in self.lines.values())

    @property
    def protected(self) -> bool:
        """Its RTCP cannot be read (RFC 3711 section 3.4)."""
        return any("SAVP" in line.protocol.upper() for line in self.lines.values())

    @property
    def codec(self) -> Codec | None:
        """What both sides send, as far as signalling tells; L{None} as long as nothing is agreed on."""
        if len(self.lines) < len(Side):
            return None
        return agreed(self.lines[Side.CALLER].codecs, self.lines[Side.CALLEE].codecs)

    def muted(self, side: Side) -> bool:
        """The side asked for nothing to be sent, by the null address."""
        return side in self.lines and self.lines[side].muted

    def checks(self, side: Side) -> bool:
        """Whether the side makes ICE checks, so that they alone say where its media goes."""
        line = self.lines.get(side)
        return line is not None and line.ice is Ice.FULL and side in self.agents

    def latch(self, spot: Spot) -> Latch | IceLatch:
        """The one in force."""
        return self.ice_latch(spot) if self.checks(spot.side) else self.plain_latch(spot)

    def plain_latch(self, spot: Spot) -> Latch:
        latch = self._latches.get(spot)
        if latch is None:
            latch = self._latches[spot] = Latch(self.window)
        return latch

    def ice_latch(self, spot: Spot) -> IceLatch:
        latch = self.ice_latches.get(spot)
        if latch is None:
            latch = self.ice_latches[spot] = IceLatch()
        return latch

    def described(
        self, side: Side, line: MediaLine, source: str, now: float, *, due: bool = True
    ) -> list[Directed]:
        """
        Event: a description of that side comes into force.

        The null address leaves the latches as they are: the resume that follows names the old address again.

        @param source: host that sent the message; IP literal.
        @param due: it is agreed on: a final answer, or an offer that has one.
        """
        self.kind = line.kind
        self.lines[side] = line
        addresses = [
            None if is_unspecified(line.host) else self.targets.usable(line.host, line.port),
            None if is_unspecified(line.rtcp_host) else self.targets.usable(line.rtcp_host, line.rtcp_port),
        ]
        effects: list[Directed] = []
        for spot, address in zip(SPOTS[side], addresses if self.paired else addresses[:1], strict=False):
            if self.checks(side):
                self._latches.pop(spot, None)  # without ICE, should it come to that again, all is open
                nominated = self.ice_latch(spot)
                nominated.checked = line.transport is Transport.RTP
                effects += [Directed(spot, e) for e in nominated.expect(line.ufrag, address, now)]
                continue
            latch = self.plain_latch(spot)
            latch.checked = line.transport is Transport.RTP
            if not self.muted(side):
                vouched = self.targets.vouched(address, source)
                effects += [
                    Directed(spot, e) for e in latch.feed(Signalled(address, source, vouched, due), now)
                ]
        return effects

    def arrived(self, spot: Spot, event: Arrived, now: float) -> list[Directed]:
        """Event: a datagram at a latch that is not firm. One from our own ports teaches nothing: it would come back."""
        if self.targets.usable(*event.source) is None:
            return []
        if self.checks(spot.side):
            return [Directed(spot, effect) for effect in self.ice_latch(spot).arrived(event)]
        effects = [Directed(spot, effect) for effect in self.plain_latch(spot).feed(event, now)]
        if effects and isinstance(effects[0].effect, Accept) and self.paired:
            sibling = SPOTS[spot.side][1 - spot.component]
            heard = HeardFrom(event.source.host, media=spot.component == RTP)
            effects += [Directed(sibling, effect) for effect in self.plain_latch(sibling).feed(heard, now)]
        return effects

    def checked(self, spot: Spot, check: Checked, now: float) -> list[Directed]:
        """Event: a good ICE check, perhaps before its agent described itself. One from our own ports teaches nothing."""
        if self.targets.usable(*check.source) is None:
            return []
        effects = self.ice_latch(spot).heard(check, now)
        return [Directed(spot, effect) for effect in effects] if self.checks(spot.side) else []

    def remote(self, spot: Spot) -> Address | None:
        """Where media for that side goes now."""
        return None if self.muted(spot.side) else self.latch(spot).remote
