"""The media of one call: the negotiation, its streams and their open ports, joined."""

from __future__ import annotations

import contextlib
from functools import partial

from attrs import define, field, frozen

from voipcluster.errors import PeerError
from voipcluster.media.activity import Activity
from voipcluster.media.latch import Accept, Aim, Arrived, Connect
from voipcluster.media.offer_answer import (
    Answered,
    Confirmed,
    Effect,
    Exchange,
    MessagePassed,
    OfferAnswer,
    Offered,
    RolledBack,
    Side,
)
from voipcluster.media.rtp import kind_of
from voipcluster.media.sdp import MediaLine, SessionDescription, Transport
from voipcluster.media.stream import RTCP, RTP, Directed, Spot, Stream
from voipcluster.media.target import Address, is_unspecified, literal
from voipcluster.net.rtp import RtpPort, nowhere
from voipcluster.services.media_ports import RelayPorts


@frozen
class Description:
    """What one side said about itself, and from which host."""

    media: tuple[MediaLine, ...]
    source: str


@define
class Leg:
    """The ports that face one side: one number, in each family that was needed."""

    number: int
    ports: dict[int, list[RtpPort]]


@define
class Line:
    """One media line that is relayed. C{born} is the exchange that brought it."""

    stream: Stream
    born: Exchange
    legs: dict[Side, Leg] = field(factory=dict)

    def all_ports(self) -> list[RtpPort]:
        return [port for leg in self.legs.values() for ports in leg.ports.values() for port in ports]


@define
class RelayedCall:
    """
    @ivar answered: a final answer is in force, so that media is due.
    """

    _relay: RelayPorts
    _new_stream: partial[Stream]
    activity: Activity
    started: float
    answered: bool = False
    lines: dict[int, Line] = field(factory=dict)
    closed_packets: int = 0
    closed_octets: int = 0
    _negotiation: OfferAnswer = field(factory=OfferAnswer)
    _offers: dict[Exchange, Description] = field(factory=dict)
    _early: dict[str | None, Description] = field(factory=dict)
    _in_force: dict[Side, Description] = field(factory=dict)
    _former: dict[Exchange, dict[Side, Description]] = field(factory=dict)

    def passes(
        self, message: MessagePassed, sdp: bytes | None, source: str, target_family: int | None, now: float
    ) -> bytes | None:
        """
        A message of the call passes.

        @param source: host that it came from.
        @param target_family: 4 or 6 for the hop that it goes to, when known.
        @return: the description to send on; the same object when it stays.
        @raise PeerError: an offer or answer that cannot be relayed (488), or no ports for it (503).
        """
        self.activity.moved(now)
        if sdp is not None and self._is_ours(sdp):
            return sdp  # the request came back to us on its way (a spiral), and was translated before
        effects = self._negotiation.feed(message)
        try:
            description = self._parse(sdp, effects)
            translated = sdp
            if description is not None:
                described = Description(description.media, source)
                if sdp is not None and any(not isinstance(e, RolledBack) for e in effects):
                    translated = self._translate(description, message, target_family)
            else:
                described = None
            for effect in effects:
                self._apply(effect, described, now)
        except PeerError:
            self._undo(message, now)
            raise
        return translated

    def _parse(self, sdp: bytes | None, effects: list[Effect]) -> SessionDescription | None:
        if sdp is None or all(isinstance(effect, RolledBack) for effect in effects):
            return None
        return SessionDescription.parse(sdp)

    def _undo(self, message: MessagePassed, now: float) -> None:
        """The message is not sent on; the offer in a request ends here as if it had been refused."""
        if message.status is None:
            refusal = MessagePassed(message.sender.other, message.method, 500, message.cseq, described=False)
            for effect in self._negotiation.feed(refusal):
                self._apply(effect, None, now)

    def _is_ours(self, sdp: bytes) -> bool:
        if not self.lines:
            return False
        numbers = {leg.number for line in self.lines.values() for leg in line.legs.values()}
        try:
            media = SessionDescription.parse(sdp).media
        except PeerError:
            return False
        return any(line.relayed and line.port in numbers and self._relay.is_own(line.host) for line in media)

    # what an effect of the negotiation does

    def _apply(self, effect: Effect, described: Description | None, now: float) -> None:
        match effect:
            case Offered(exchange, offerer):
                assert described is not None, "an offer is a description"
                self._offers[exchange] = described
                if not self.answered:
                    self._enforce(offerer, described, now, final=False)
            case Answered(exchange, offerer, to_tag, early):
                assert described is not None, "an answer is a description"
                offer = self._offers.get(exchange)
                if early:
                    self._early[to_tag] = described
                    self._former.setdefault(exchange, dict(self._in_force))
                if offer is not None:
                    self._enforce(offerer, offer, now, final=not early)
                self._enforce(offerer.other, described, now, final=not early)
                if not early:
                    self._settle(exchange, now)
            case Confirmed(exchange, offerer, to_tag):
                chosen = self._early.get(to_tag)
                if chosen is not None:
                    offer = self._offers.get(exchange)
                    if offer is not None:
                        self._enforce(offerer, offer, now, final=True)
                    self._enforce(offerer.other, chosen, now, final=True)
                self._settle(exchange, now)
            case RolledBack(exchange):
                self._roll_back(exchange, now)
            case _:
                pass  # Repeated: translated, nothing else

    def _settle(self, exchange: Exchange, now: float) -> None:
        if not self.answered:
            self.answered = True
            self.activity.since = now
        self._offers.pop(exchange, None)
        self._former.pop(exchange, None)
        self._early.clear()

    def _roll_back(self, exchange: Exchange, now: float) -> None:
        self._offers.pop(exchange, None)
        former = self._former.pop(exchange, {})
        if not self.answered:
            return  # the whole call fails with its first offer, or is tried again with credentials
        for side, description in former.items():
            self._enforce(side, description, now, final=False)
        for index, line in list(self.lines.items()):
            if line.born == exchange:
                self._close_line(index)

    def _enforce(self, side: Side, description: Description, now: float, *, final: bool) -> None:
        self._in_force[side] = description
        for index, media in enumerate(description.media):
            line = self.lines.get(index)
            if line is None:
                continue
            if media.relayed:
                self._execute(line, line.stream.described(side, media, description.source, now))
                for component in (RTP, RTCP):
                    self._wire(line, Spot(side, component))
            elif final:
                self._close_line(index)

    # translating

    def _translate(
        self, description: SessionDescription, message: MessagePassed, target_family: int | None
    ) -> bytes:
        """Our ports in place of the sender's. Ports of both sides are opened here, so that the answer finds its own."""
        facing = message.sender.other
        ports: dict[int, tuple[int, int]] = {}
        family = self._family(facing, target_family, description)
        for index, media in enumerate(description.media):
            if not media.relayed:
                continue
            line = self.lines.get(index)
            if line is None:
                line = self.lines[index] = Line(self._new_stream(), message.exchange)
            number = self._leg(index, line, facing, family, media).number
            self._sender_leg(index, line, message.sender, family, media)
            ports[index] = (number, number + 1)
        return description.rewritten(self._relay.shown(facing, family), ports)

    def _family(self, side: Side, target: int | None, description: SessionDescription) -> int:
        known = self._in_force.get(side)
        candidates = [known.media if known is not None else (), description.media]
        spoken, other = (
            next((f for m in media if m.relayed and (f := _family_of(m.host)) is not None), None)
            for media in candidates
        )
        if not self.answered and target is not None:
            spoken = target  # forks may speak different ones
        return self._relay.family(side, spoken or other or 4)

    def _sender_leg(self, index: int, line: Line, sender: Side, fallback: int, media: MediaLine) -> None:
        """Ports that send to what a description names; a name or the null address needs no new ones."""
        leg = line.legs.get(sender)
        known = fallback if leg is None else next(iter(leg.ports))
        family = self._relay.family(sender, _family_of(media.host) or known)
        self._leg(index, line, sender, family, media)

    def _leg(self, index: int, line: Line, side: Side, family: int, media: MediaLine) -> Leg:
        paired = media.transport is Transport.RTP
        sinks = [partial(self._arrived, line, Spot(side, c)) for c in ((RTP, RTCP) if paired else (RTP,))]
        leg = line.legs.get(side)
        if leg is None:
            try:
                number, ports = self._relay.open_pair(side, family, sinks)
            except PeerError:
                if not line.legs:
                    del self.lines[index]
                raise
            leg = line.legs[side] = Leg(number, {family: ports})
        elif family not in leg.ports or len(leg.ports[family]) < len(sinks):
            present = leg.ports.setdefault(family, [])
            try:
                present += self._relay.open_on(leg.number, side, family, sinks, skip=len(present))
            except OSError as error:
                if not present:
                    del leg.ports[family]
                raise PeerError(
                    f"media port {leg.number} is taken by another program: {error}", 503
                ) from error
        else:
            return leg
        for port in leg.ports[family]:
            port.checked = paired
        for component in range(len(sinks)):
            self._wire(line, Spot(side.other, component))
        return leg

    # moving packets

    def _arrived(self, line: Line, spot: Spot, port: RtpPort, datagram: bytes, source: Address) -> None:
        kind = kind_of(datagram)
        directed = line.stream.arrived(spot, Arrived(source, kind), self._relay.seconds())
        accepted = False
        for _, effect in directed:
            if isinstance(effect, Accept):
                accepted = True
                port.accept(datagram)
        if not accepted:
            port.strangers += 1
        self._execute(line, directed)

    def _execute(self, line: Line, directed: list[Directed]) -> None:
        for spot, effect in directed:
            leg = line.legs.get(spot.side)
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
                    with contextlib.suppress(OSError):  # no route: stay open, sending counts the errors
                        port.connect(effect.address)
                elif isinstance(effect, Aim):
                    port.aim(effect.address)
            self._wire(line, spot)

    def _wire(self, line: Line, spot: Spot) -> None:
        """Let the ports of the far side forward to where this spot's media goes now."""
        leg, far = line.legs.get(spot.side), line.legs.get(spot.side.other)
        if leg is None or far is None:
            return
        remote = line.stream.remote(spot)
        near = [] if remote is None else leg.ports.get(remote.family, [])
        out = near[spot.component].out if spot.component < len(near) else nowhere
        for ports in far.ports.values():
            if spot.component < len(ports):
                ports[spot.component].forward = out

    # ending and counting

    def _close_line(self, index: int) -> None:
        line = self.lines.pop(index)
        for port in line.all_ports():
            self.closed_packets += port.packets
            self.closed_octets += port.octets
            self._relay.close(port)
        for leg in line.legs.values():
            self._relay.give_back(leg.number)

    def close(self) -> None:
        for index in list(self.lines):
            self._close_line(index)

    @property
    def held(self) -> bool:
        return bool(self.lines) and all(line.stream.held for line in self.lines.values())

    def traffic(self) -> tuple[int, int]:
        """Packets and octets received from both sides since the call began."""
        packets, octets = self.closed_packets, self.closed_octets
        for line in self.lines.values():
            for port in line.all_ports():
                packets += port.packets
                octets += port.octets
        return packets, octets


def _family_of(host: str) -> int | None:
    """4 or 6, or L{None} for a name and for the null address."""
    address = literal(host)
    return None if address is None or is_unspecified(host) else address.version
