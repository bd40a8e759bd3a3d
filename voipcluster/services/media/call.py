"""The media of one call: the negotiation, its streams and their open ports, joined."""

from __future__ import annotations

from functools import partial

from attrs import define, field, frozen

from voipcluster.errors import PeerError
from voipcluster.media.activity import Activity
from voipcluster.media.agents import Agents
from voipcluster.media.ice import Agent
from voipcluster.media.offer_answer import (
    Answered,
    Confirmed,
    Effect,
    Exchange,
    MessagePassed,
    OfferAnswer,
    Offered,
    Repeated,
    RolledBack,
    Side,
)
from voipcluster.media.rewriting import Shown, rewritten
from voipcluster.media.sdp import Ice, MediaLine, SessionDescription, Transport
from voipcluster.media.shares import Holder
from voipcluster.media.showing import Reader
from voipcluster.media.stream import RTP, SPOTS, Stream
from voipcluster.media.target import is_unspecified, literal
from voipcluster.net.rtp import RtpPort
from voipcluster.services.media.arrival import Arrival, IcePolicy
from voipcluster.services.media.line import Leg, Line
from voipcluster.services.media.ports import RelayPorts

MAX_FORKS = (
    32  # whose early answers are kept; one phone has at most a few, and a hostile one says any number of tags
)


@frozen
class Description:
    """What one side said about itself, and from which host; C{shared} lines use the transport of another one."""

    media: tuple[MediaLine, ...]
    source: str
    shared: frozenset[int] = frozenset()


@define
class Pending:
    """
    An exchange that is under way.

    @ivar early: answers in 1xx, by the To tag of their fork.
    @ivar former: what was in force before the first of them.
    """

    offer: Description
    early: dict[str | None, Description] = field(factory=dict)
    former: dict[Side, Description] | None = None


@define
class RelayedCall:
    """
    @ivar answered: a final answer is in force, so that media is due.
    @ivar looked: when L{voipcluster.services.media.listening} last looked at it, C{troubles}: the kinds that it found.
    """

    _relay: RelayPorts
    _new_stream: partial[Stream]
    _ice: IcePolicy
    activity: Activity
    started: float
    answered: bool = False
    lines: dict[int, Line] = field(factory=dict)
    closed_packets: int = 0
    closed_octets: int = 0
    looked: float = 0.0
    troubles: tuple[str, ...] = ()
    _negotiation: OfferAnswer = field(factory=OfferAnswer)
    _pending: dict[Exchange, Pending] = field(factory=dict)
    _in_force: dict[Side, Description] = field(factory=dict)
    _moves: int = 0
    _ports: tuple[RtpPort, ...] | None = None  # all of them, for counting every second; None after a change
    agents: Agents | None = None
    passed: frozenset[int] = frozenset()  # lines that are left to the ICE of both sides
    _unheard: dict[str | None, str] | None = None  # by callee's tag: why an early answer did not go on

    def passes(self, message: MessagePassed, sdp: bytes | None, arrival: Arrival, now: float) -> bytes | None:
        """
        A message of the call passes.

        @return: the description to send on; the same object when it stays.
        @raise PeerError: an offer or answer that cannot be relayed (488), or no ports for it (503).
        """
        self.activity.moved(now)
        if not self.answered and message.method == "INVITE" and (message.status or 0) >= 300:
            return sdp  # one branch of several may have failed; when all have, the owner ends the call
        description, fault = None, None
        if sdp is not None:
            try:
                description = SessionDescription.parse(sdp)
            except PeerError as error:
                fault = error  # of no matter unless it is an offer or answer
        if description is not None and self._is_ours(description.media):
            return sdp  # the request came back to us on its way (a spiral), and was translated before
        if (
            self._unheard
            and sdp is None
            and message.method == "INVITE"
            and 200 <= (message.status or 0) < 300
        ):
            why = self._unheard.get(message.to_tag)
            if why is not None:  # it has answered in a 1xx or to an UPDATE, and believes that it was heard
                raise PeerError(why, 488)
        effects = self._negotiation.feed(message)
        used = any(not isinstance(effect, RolledBack) for effect in effects)
        try:
            if fault is not None and used:
                raise fault
            translated, described = sdp, None
            if description is not None and used:
                offer = self._answered_offer(message, effects)
                owners = description.owners(answer=offer is not None)
                described = Description(description.media, arrival.source, frozenset(owners))
                translated = self._translate(description, message, arrival, offer, owners)
            for effect in effects:
                self._apply(effect, described, now)
        except PeerError as error:
            self._undo(message, now)
            if message.status is not None and not self.answered:
                self._unheard = self._unheard or {}
                if len(self._unheard) < MAX_FORKS:
                    self._unheard[message.to_tag] = str(error)
            raise
        if self._unheard and described is not None and message.status is not None:
            self._unheard.pop(message.to_tag, None)  # what it says now is heard
        return translated

    def _answered_offer(self, message: MessagePassed, effects: list[Effect]) -> tuple[MediaLine, ...] | None:
        """The offer that the description of a message answers; L{None} when it is an offer."""
        exchange = next(
            effect.exchange for effect in effects if isinstance(effect, Offered | Answered | Repeated)
        )
        offerer = self._negotiation.offerer(exchange)
        if offerer is None or offerer is message.sender:
            return None
        pending = self._pending.get(exchange)
        offer = self._in_force.get(offerer) if pending is None else pending.offer
        return () if offer is None else offer.media

    def _undo(self, message: MessagePassed, now: float) -> None:
        """The message is not sent on; the offer in a request ends here as if it had been refused."""
        if message.status is None:
            refusal = MessagePassed(message.sender.other, message.method, 500, message.cseq, described=False)
            for effect in self._negotiation.feed(refusal):
                self._apply(effect, None, now)

    def _is_ours(self, media: tuple[MediaLine, ...]) -> bool:
        numbers = {leg.number for line in self.lines.values() for leg in line.legs.values()}
        return any(line.port in numbers and line.relayed and self._relay.is_own(line.host) for line in media)

    # what an effect of the negotiation does

    def _apply(self, effect: Effect, described: Description | None, now: float) -> None:
        match effect:
            case Offered(exchange, offerer):
                assert described is not None, "an offer is a description"
                self._pending[exchange] = Pending(described)
                if not self.answered:
                    self._enforce(offerer, described, now, final=False)
            case Answered(exchange, offerer, to_tag, early):
                assert described is not None, "an answer is a description"
                pending = self._pending.get(exchange)
                if early and pending is not None:
                    if to_tag not in pending.early and len(pending.early) >= MAX_FORKS:
                        return
                    pending.early[to_tag] = described
                    if pending.former is None:
                        pending.former = dict(self._in_force)
                self._agree(pending, offerer, described, now, final=not early)
                if not early:
                    self._settle(exchange, now)
            case Confirmed(exchange, offerer, to_tag):
                pending = self._pending.get(exchange)
                chosen = None if pending is None else pending.early.get(to_tag)
                if chosen is not None:
                    self._agree(pending, offerer, chosen, now, final=True)
                self._settle(exchange, now)
            case RolledBack(exchange):
                self._roll_back(exchange, now)
            case _:
                pass  # Repeated: translated, nothing else

    def _agree(
        self, pending: Pending | None, offerer: Side, answer: Description, now: float, *, final: bool
    ) -> None:
        if pending is not None:
            self._enforce(offerer, pending.offer, now, final=final)
        self._enforce(offerer.other, answer, now, final=final)

    def _settle(self, exchange: Exchange, now: float) -> None:
        if not self.answered:
            self.answered = True
            self.activity.since = now
        self._forget(exchange)

    def _forget(self, exchange: Exchange) -> Pending | None:
        if self.agents is not None:
            self.agents.settled(exchange)
        pending = self._pending.pop(exchange, None)
        if not self._pending:
            self._pending = {}  # an emptied table keeps its size
        return pending

    def _roll_back(self, exchange: Exchange, now: float) -> None:
        if self.agents is not None:
            self.agents.rolled_back(exchange)
        pending = self._forget(exchange)
        if not self.answered:
            return  # the whole call fails with its first offer, or is tried again with credentials
        if pending is not None and pending.former is not None:
            for side, description in pending.former.items():
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
            if media.relayed and index not in description.shared:
                due = final or self.answered
                line.execute(line.stream.described(side, media, description.source, now, due=due))
                # what the far side sends is wired anew, too: both have a say in where RTCP goes
                for spot in (*SPOTS[side], SPOTS[side.other][RTP]):
                    line.wire(spot)
                for port in line.ports(side):
                    port.checked = media.transport is Transport.RTP
                line.offload()
            elif final:
                self._close_line(index)

    # translating

    def _translate(
        self,
        description: SessionDescription,
        message: MessagePassed,
        arrival: Arrival,
        offer: tuple[MediaLine, ...] | None,
        owners: dict[int, int],
    ) -> bytes:
        """Our ports in place of the sender's. Ports of both sides are opened here, so that the answer finds its own."""
        sender, facing = message.sender, message.sender.other
        known = self._in_force.get(facing)
        reader = Reader(() if known is None else known.media, offer, arrival.browser and not self.answered)
        family = self._family(facing, arrival.target_family, description)
        if offer is None:
            self._offered(message.exchange, sender, description)
        shown: dict[int, Shown] = {}
        for index, media in enumerate(description.media):
            if not media.relayed or index in owners or index in self.passed:
                continue
            line = self.lines.get(index)
            if line is None:
                line = self.lines[index] = Line(
                    self._new_stream(), message.exchange, self._relay.seconds, self._relay.kernel_line()
                )
                line.heard = self._relay.heard
            number = self._leg(index, line, facing, family, media).number
            self._sender_leg(index, line, sender, family, media)
            terms = reader.terms(index, media, ice=self._ice.mode == "relay")
            if terms.ice:
                line.stream.agents[facing] = self._agent(facing)
            if media.ice is Ice.FULL and self._ice.mode == "relay":
                line.stream.agents[sender] = self._agent(sender)
            if offer is not None:
                bridged = reader.bridged(index, media)
                line.bridged = None if bridged is None else facing if bridged else sender
            shown[index] = Shown(number, number + 1, *terms)
        shown |= {index: shown[owner] for index, owner in owners.items() if owner in shown}
        for index in description.bundle_only() if offer is None else ():
            terms = reader.terms(index, description.media[index], ice=self._ice.mode == "relay")
            shown[index] = Shown(0, 0, *terms)
        credentials = self._agent(facing).current if any(line.ice for line in shown.values()) else None
        return rewritten(description, self._relay.shown(facing, family), shown, credentials)

    def _offered(self, exchange: Exchange, sender: Side, description: SessionDescription) -> None:
        if self._ice.mode == "pass":
            self.passed = frozenset(
                n
                for n, media in enumerate(description.media)
                if n not in self.lines and media.relayed and media.ice is not Ice.NONE
            )
        before = self._in_force.get(sender)
        if self.agents is not None and before is not None:
            self.agents.offered(exchange, sender, before.media, description.media)

    def _agent(self, side: Side) -> Agent:
        if self.agents is None:
            self.agents = Agents(self._ice.credentials)
        return self.agents.facing(side)

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
        spots = SPOTS[side] if paired else SPOTS[side][:1]
        leg = line.legs.get(side)
        if leg is None:
            try:
                number, ports = self._relay.open_pair(side, family, line.sink, spots)
            except PeerError:
                if not line.legs:
                    del self.lines[index]
                raise
            leg = line.legs[side] = Leg(number, {family: ports})
        elif family not in leg.ports or len(leg.ports[family]) < len(spots):
            present = leg.ports.setdefault(family, [])
            try:
                present += self._relay.open_on(leg.number, side, family, line.sink, spots, len(present))
            except OSError as error:
                if not present:
                    del leg.ports[family]
                raise PeerError(
                    f"media port {leg.number} is taken by another program: {error}", 503
                ) from error
        else:
            return leg
        self._ports = None
        for port in leg.ports[family]:
            port.checked = paired
        for spot in SPOTS[side.other]:
            line.wire(spot)
        return leg

    # ending and counting

    def _close_line(self, index: int) -> None:
        line = self.lines.pop(index)
        line.end_offload()
        self._ports = None
        for port in line.all_ports():
            self.closed_packets += port.packets
            self.closed_octets += port.octets
            self._relay.close(port)
        for leg in line.legs.values():
            self._relay.give_back(leg.number)
        line.close()

    def close(self) -> None:
        for index in list(self.lines):
            self._close_line(index)

    def at_rest(self) -> tuple[OfferAnswer, dict[Side, Description], dict[int, Line]]:
        """What would be in force if every exchange that is under way came to nothing."""
        in_force = next((p.former for p in self._pending.values() if p.former is not None), self._in_force)
        lines = {i: line for i, line in self.lines.items() if line.born not in self._pending}
        return self._negotiation.at_rest(), in_force, lines

    def has_moved(self) -> bool:
        """Whether a latch has moved since this was asked before."""
        moves = 0
        for line in self.lines.values():
            moves += line.moves
        before, self._moves = self._moves, moves
        return moves != before

    @property
    def holders(self) -> tuple[Holder, ...]:
        """Whom its ports count for."""
        return self._relay.holders

    @property
    def held(self) -> bool:
        return bool(self.lines) and all(line.stream.held for line in self.lines.values())

    def traffic(self) -> tuple[int, int]:
        """Packets and octets received from both sides since the call began."""
        if self._ports is None:
            self._ports = tuple(port for line in self.lines.values() for port in line.all_ports())
        packets, octets = self.closed_packets, self.closed_octets
        for port in self._ports:
            packets += port.packets
            octets += port.octets
        return packets, octets


def _family_of(host: str) -> int | None:
    """4 or 6, or L{None} for a name and for the null address."""
    address = literal(host)
    return None if address is None or is_unspecified(host) else address.version
