"""
Which descriptions of a call are offers and which are answers (RFC 3264, RFC 6337), seen by a proxy in the middle.

The machine is told about each message that passes and says what that does to the negotiation. It knows exchanges: one
offer with its answer, named after the transaction whose request began it.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from attrs import define, field, frozen


class Side(Enum):
    """The two ends of a call; the caller is the one who sent the first INVITE."""

    CALLER = "caller"
    CALLEE = "callee"

    __hash__ = object.__hash__  # Enum's own is a call into Python, for each look into a table

    @property
    def other(self) -> Side:
        return Side.CALLEE if self is Side.CALLER else Side.CALLER


class Exchange(NamedTuple):
    """Name of one offer/answer exchange: who sent the request, and its CSeq number."""

    requester: Side
    cseq: int


@frozen
class MessagePassed:
    """
    Event: a message goes from one side to the other.

    @ivar status: L{None} for a request.
    @ivar to_tag: of the callee, tells forks of an INVITE apart (RFC 3261 section 12.1).
    """

    sender: Side
    method: str
    status: int | None
    cseq: int
    described: bool
    to_tag: str | None = None

    @property
    def exchange(self) -> Exchange:
        return Exchange(self.sender if self.status is None else self.sender.other, self.cseq)


@frozen
class Offered:
    """Effect: the body is an offer. The former session stays until the answer."""

    exchange: Exchange
    offerer: Side


@frozen
class Answered:
    """
    Effect: the body is an answer, both descriptions are in force.

    @ivar early: in an unreliable or reliable 1xx; another fork, or the 2xx, may come with another one.
    """

    exchange: Exchange
    offerer: Side
    to_tag: str | None
    early: bool


@frozen
class Confirmed:
    """Effect: a 2xx without a body: the early answer of that fork is the one."""

    exchange: Exchange
    offerer: Side
    to_tag: str | None


@frozen
class Repeated:
    """Effect: the body was seen before (or is one that counts no more): translate it, change nothing."""

    exchange: Exchange


@frozen
class RolledBack:
    """Effect: the offer came to nothing, the former session stays (RFC 3261 section 14.1, RFC 6141)."""

    exchange: Exchange


Effect = Offered | Answered | Confirmed | Repeated | RolledBack


class _State(Enum):
    EMPTY = "an INVITE without an offer"
    OFFERED = "waits for the answer"
    EARLY = "answered in a 1xx"
    SETTLED = "answered"


@define
class _Progress:
    method: str
    offerer: Side | None
    state: _State
    chosen: str | None = None  # To tag of the 2xx that won
    reliable: bool = False  # a PRACK followed the early answer, or carried it


@define
class OfferAnswer:
    """The negotiation of one call."""

    _exchanges: dict[Exchange, _Progress] = field(factory=dict)

    def at_rest(self) -> OfferAnswer:
        """The negotiation without what is under way: that begins anew with the next copy of its request, or never ends."""
        return OfferAnswer({e: p for e, p in self._exchanges.items() if p.state is _State.SETTLED})

    def offerer(self, exchange: Exchange) -> Side | None:
        """Who offered, or offers, in an exchange; L{None} when nobody has or it is forgotten."""
        progress = self._exchanges.get(exchange)
        return None if progress is None else progress.offerer

    def feed(self, event: MessagePassed) -> list[Effect]:
        if event.status is None:
            return self._request(event)
        progress = self._exchanges.get(event.exchange)
        if progress is None or progress.method != event.method or event.status <= 100:
            return []
        if event.status >= 300:
            return self._refused(event.exchange, progress)
        if event.method == "INVITE":
            return self._invite_response(event, progress)
        return self._short_response(event, progress)

    def _request(self, event: MessagePassed) -> list[Effect]:
        match event.method:
            case "INVITE":
                return self._begin(event)
            case "UPDATE" if event.described:
                return self._begin(event)
            case "PRACK":
                return self._prack(event)
            case "ACK":
                return self._ack(event)
            case _:
                return []

    def _begin(self, event: MessagePassed) -> list[Effect]:
        exchange, sender = event.exchange, event.sender
        known = self._exchanges.get(exchange)
        if known is not None and known.method == event.method:
            if not event.described:
                return []
            waits = (
                known.state is _State.OFFERED and known.offerer is sender
            )  # else the other side has offered
            return [Offered(exchange, sender)] if waits else [Repeated(exchange)]
        effects = self._forget_older(exchange, event.method)
        if event.described:
            self._exchanges[exchange] = _Progress(event.method, sender, _State.OFFERED)
            return [*effects, Offered(exchange, sender)]
        self._exchanges[exchange] = _Progress(event.method, None, _State.EMPTY)
        return effects

    def _forget_older(self, exchange: Exchange, method: str) -> list[Effect]:
        """A side begins one offer after the other (RFC 3264 section 4), so its former ones are over."""
        effects: list[Effect] = []
        for old, progress in list(self._exchanges.items()):
            if old.requester is not exchange.requester or (
                progress.method == "INVITE" and method != "INVITE"
            ):
                continue  # an UPDATE or PRACK belongs into an INVITE that goes on
            del self._exchanges[old]
            if progress.state is not _State.SETTLED:
                effects.append(RolledBack(old))
        return effects

    def _prack(self, event: MessagePassed) -> list[Effect]:
        for exchange, progress in self._exchanges.items():
            if progress.method != "INVITE" or exchange.requester is not event.sender:
                continue
            if (
                event.described
                and progress.offerer is event.sender.other
                and progress.state is _State.OFFERED
            ):
                progress.state, progress.reliable = _State.SETTLED, True
                return [Answered(exchange, event.sender.other, event.to_tag, early=False)]
            if progress.state is _State.EARLY:
                progress.reliable = True
        return self._begin(event) if event.described else []

    def _ack(self, event: MessagePassed) -> list[Effect]:
        progress = self._exchanges.get(event.exchange)
        if progress is None or progress.method != "INVITE" or progress.offerer is not event.sender.other:
            return []  # nothing waits for an answer in this ACK
        if progress.state is not _State.OFFERED:
            return [Repeated(event.exchange)] if event.described else []
        if not event.described:
            del self._exchanges[event.exchange]
            return [RolledBack(event.exchange)]
        progress.state = _State.SETTLED
        return [Answered(event.exchange, event.sender.other, event.to_tag, early=False)]

    def _refused(self, exchange: Exchange, progress: _Progress) -> list[Effect]:
        if progress.state is _State.SETTLED:
            return []  # an early offer with its answer in PRACK stays in force (RFC 6141 section 3)
        del self._exchanges[exchange]
        if progress.state is _State.EMPTY or (progress.state is _State.EARLY and progress.reliable):
            return []
        return [RolledBack(exchange)]

    def _short_response(self, event: MessagePassed, progress: _Progress) -> list[Effect]:
        """UPDATE and PRACK: the answer is in the 2xx or nowhere (RFC 3311 section 5.2)."""
        assert event.status is not None and progress.offerer is not None, (
            "a response, to a request with an offer"
        )
        if event.status < 200:
            return []
        if progress.state is _State.SETTLED:
            return [Repeated(event.exchange)] if event.described else []
        if not event.described:
            del self._exchanges[event.exchange]
            return [RolledBack(event.exchange)]
        progress.state = _State.SETTLED
        return [Answered(event.exchange, progress.offerer, event.to_tag, early=False)]

    def _invite_response(self, event: MessagePassed, progress: _Progress) -> list[Effect]:
        assert event.status is not None, "a response"
        exchange, final = event.exchange, event.status >= 200
        if progress.offerer is not exchange.requester:
            return self._offer_in_response(event, progress)
        if not final:
            if not event.described:
                return []
            if progress.state is _State.SETTLED:
                return [Repeated(exchange)]
            progress.state = _State.EARLY
            return [Answered(exchange, progress.offerer, event.to_tag, early=True)]
        if progress.state is _State.SETTLED and progress.chosen != event.to_tag:
            return [Repeated(exchange)] if event.described else []  # a second fork's 2xx: the first one won
        if progress.state is _State.OFFERED and not event.described:
            return []  # no answer at all; the ACK cannot bring one, so the former session stays
        settled = progress.state is _State.SETTLED
        progress.state, progress.chosen = _State.SETTLED, event.to_tag
        if event.described:
            return [Answered(exchange, progress.offerer, event.to_tag, early=False)]
        return [] if settled else [Confirmed(exchange, progress.offerer, event.to_tag)]

    def _offer_in_response(self, event: MessagePassed, progress: _Progress) -> list[Effect]:
        """The INVITE came without an offer: it is in a reliable 1xx or in the 2xx (RFC 3261 section 13.2.1)."""
        if not event.described:
            return []
        if progress.state is _State.SETTLED:
            return [Repeated(event.exchange)]
        progress.offerer, progress.state = event.sender, _State.OFFERED
        return [Offered(event.exchange, event.sender)]
