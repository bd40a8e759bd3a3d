"""Calls to numbers: what a Request-URI of ours means that is no user, which gateways take it, and what each is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from voipcluster.address import split_host_port
from voipcluster.balance.handover import Handover
from voipcluster.errors import ParseError, PeerError
from voipcluster.gateway.access import Direction
from voipcluster.gateway.causes import NO_CIRCUIT, reason_of
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.numbers import Number, NumberPlan
from voipcluster.gateway.permission import Party
from voipcluster.gateway.routing import Candidate, Rand, Route, Routes
from voipcluster.media.narrowing import encodings
from voipcluster.net.resolver import Answer
from voipcluster.services.gateway.allowances import Allowances, Forbidden
from voipcluster.services.gateway.book import GatewayBook
from voipcluster.sip.dns import Question
from voipcluster.sip.enum import enum_question, enum_uris
from voipcluster.sip.identity import asserted_uris
from voipcluster.sip.message import Request
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.proxy.routing import Names
from voipcluster.sip.proxy.validation import Refused
from voipcluster.sip.route import route_uri
from voipcluster.sip.tel import parse_tel, phone_of, sip_of_number, sip_of_tel
from voipcluster.sip.uri import Params, SipUri, parse_uri, scheme_of, unescape

SCHEMES = frozenset({"tel", "urn"})  # of Request-URIs that are numbers
MOST_TARGETS = 16  # servers of gateways that one call is brought to
SPENT = "spent"  # how a refusal begins that is about what a gateway has carried
_SOS = "urn:service:sos"  # RFC 5031
_NO_ROUTE, _OUT_OF_ORDER, _REJECTED = 3, 38, 21  # causes of Q.850


class ILookup(Protocol):
    """What asks the DNS; L{voipcluster.net.resolver.DnsResolver} is the real one."""

    def lookup(self, question: Question) -> Deferred[Answer]: ...


@frozen
class Dialling:
    """
    What the configuration says of calls to numbers.

    @ivar enum: where the DNS has numbers, or empty; C{enum_wait}: s that a call waits for that at most.
    @ivar next_after: s of silence after which a call goes to the next gateway.
    @ivar also_next: statuses behind which it does, besides those of L{voipcluster.gateway.causes.fails_over}.
    """

    plan: NumberPlan = field(factory=NumberPlan)
    routes: Routes = field(factory=Routes)
    enum: str = ""
    enum_wait: float = 2.0
    next_after: float = 4.0
    also_next: frozenset[int] = frozenset()


class NumberRouting:
    """
    @param names: who we are now.
    @param rand: floats from 0.0 to below 1.0.
    @ivar dialling: exchanged as a whole when routes are read anew.
    @ivar suspect: told of a gateway that was silent when it was called.
    @ivar allowances: what users and gateways may have, or L{None}: any number.
    """

    def __init__(
        self,
        book: GatewayBook,
        dialling: Dialling,
        names: Callable[[], Names],
        resolver: ILookup,
        clock: IReactorTime,
        rand: Rand,
    ) -> None:
        self.book, self.dialling = book, dialling
        self.suspect: Callable[[str], object] = lambda gateway: None
        self.allowances: Allowances | None = None
        self._names, self._resolver, self._clock, self._rand = names, resolver, clock, rand

    # -- what a URI means

    def number_of(self, uri: SipUri) -> Number | None:
        """The number that a URI of ours is, if it is one; whether it is a user's is not asked."""
        phone = phone_of(uri)
        if phone is None:
            return None
        context = "" if phone.context in self._names().domains else phone.context
        return self.dialling.plan.read(phone.number, context)

    def sip_uri(self, text: str) -> str:
        """
        A Request-URI of one of L{SCHEMES} as a SIP URI of ours (RFC 3261 section 19.1.6).

        @raise PeerError: 416, nobody here knows what to do with it; L{ParseError}: it is none.
        """
        names = self._names()
        host = names.domains[0]
        if scheme_of(text) == "tel":
            return str(sip_of_tel(parse_tel(text), host))
        emergency = self.dialling.plan.emergency
        if emergency and is_sos(text):
            return str(sip_of_number(emergency[0], host))
        raise PeerError(f"no such service: {text[:80]!r}", 416)

    def parsed(self, uri: str) -> SipUri:
        return self._names().meaning(uri).uri

    def domain_of(self, uri: SipUri) -> str:
        """The domain of ours that a URI is in."""
        names = self._names()
        return names.domain_of(uri) or names.domains[0]

    def is_emergency(self, uri_text: str) -> bool:
        """Whether a URI calls for help at this place."""
        if is_sos(uri_text):
            return bool(self.dialling.plan.emergency)
        try:
            uri = parse_uri(uri_text)
        except ParseError:
            return False
        number = self.number_of(uri)
        return number is not None and number.emergency and self._names().is_local(uri)

    def number_text(self, uri_text: str) -> str:
        """The number that a URI of ours is, as text; empty when it is none."""
        try:
            meaning = self._names().meaning(uri_text)
        except ParseError:
            return ""
        number = self.number_of(meaning.uri) if meaning.local else None
        return "" if number is None else number.text

    # -- ENUM

    def asks(self, number: Number, client: Handover) -> bool:
        """Whether the DNS is asked first: for users of ours only, who may call foreign domains."""
        return bool(self.dialling.enum and number.is_global and client.user is not None)

    def enum(self, number: Number) -> Deferred[list[str]]:
        """The URIs that the DNS has for a number; none when it has not said so in time. Never fails."""
        question = enum_question(number.text, self.dialling.enum)
        answer = self._resolver.lookup(question).addCallback(
            lambda found: enum_uris(number.text, found.records)
        )
        if answer.called:
            return answer
        waiting: Deferred[list[str]] = Deferred()
        late = self._clock.callLater(self.dialling.enum_wait, waiting.callback, [])

        def arrived(uris: list[str]) -> None:
            if late.active():
                late.cancel()
                waiting.callback(uris)

        answer.addCallback(arrived)
        return waiting

    # -- where it goes

    def candidates(
        self, number: Number, caller: Party, codecs: Sequence[str] = (), came_from: str = ""
    ) -> list[Candidate]:
        """The gateways for a number in their order; those that are not asked now say why."""

        def refusal(route: Route) -> str:
            return self._refusal(route.gateway, number, caller, codecs, came_from)

        return self.dialling.routes.candidates(number.text, self._rand, refusal)

    def _refusal(
        self,
        name: str,
        number: Number,
        caller: Party,
        codecs: Sequence[str],
        came_from: str,
        callee: Party | None = None,
    ) -> str:
        """Why a gateway is not asked; for help each is asked that is there."""
        gateway, state = self.book.get(name), self.book.state(name)
        if gateway is None or state is None:
            return "unknown: there is no such gateway"
        if name == came_from:
            return "forbidden: the call came from there"
        if not state.up:
            return f"down: {state.reason}" if state.reason else "down"
        if number.emergency:
            return "" if self.book.usable(name, emergency=True) else "down: disabled, or without servers"
        callee = callee or Party(number.text)
        refused = self.book.refusal(gateway, Direction.OUTGOING, caller, callee, codecs)
        if refused is not None:
            word = _WORDS.get(refused.kind, "forbidden")
            why = refused.text.removeprefix(f"gateway {name} ").removeprefix("is ")  # it is named beside
            return f"{word}: {why.removeprefix(f'{word} ')}"
        if state.full:
            return f"full: {state.channels} of {state.most} channels in use"
        excess = None if self.allowances is None else self.allowances.gateway_excess(name)
        if excess is not None:
            return f"{SPENT}: {excess.text}"
        return "" if self.book.usable(name) else "down: without servers"

    def at(self, target: Target, routes: Sequence[str]) -> Gateway | None:
        """
        The gateway to whose server a target leads by itself: its first Route or its URI names it.

        @param routes: behind those of the target.
        """
        if target.flow is not None or target.party is not None or target.gateway:
            return None
        first = next(iter((*target.routes, *routes)), None)
        try:
            uri = parse_uri(target.uri) if first is None else route_uri(first)
        except ParseError:
            return None  # it leads nowhere
        return self.book.server_at(uri.param("maddr") or uri.host, uri.port or 0)

    def check_named(
        self, gateway: Gateway, uri: SipUri, caller: Party, codecs: Sequence[str], came_from: str
    ) -> Number | None:
        """
        Whether a caller may have a call to a gateway whose server he names himself.

        @return: the number that he calls, if it is one.
        @raise Refused: why not, as for a number that is routed.
        """
        number = self.number_of(uri)
        callee = Party("" if number is None else number.text, f"{unescape(uri.user or '')}@{uri.host}")
        refused = self._refusal(gateway.name, number or Number(""), caller, codecs, came_from, callee)
        if refused:
            raise _nobody([Candidate(Route("", gateway.name), None, refused)], "")
        return number

    def targets(self, number: Number, candidates: Sequence[Candidate]) -> list[Target]:
        """
        The servers of the gateways that are asked, with falling q: each is tried alone, and the next one where it cannot.

        @raise PeerError: 404, no route; 503, all are down or full; 403, all forbid it.
        """
        targets: list[Target] = []
        for candidate in candidates:
            gateway = self.book.get(candidate.route.gateway)
            if candidate.refused or gateway is None:
                continue
            written = candidate.route.rewriting.rewrite(number.text)
            targets += [
                Target(_uri_at(gateway, server, written), gateway=gateway.name) for server in gateway.servers
            ]
        if not targets:
            raise _nobody(candidates, number.text)
        del targets[MOST_TARGETS:]
        patience = self.dialling.next_after
        last = len(targets) - 1
        return [
            target._replace(q=500 - n, answer_within=patience if n < last else 0.0)
            for n, target in enumerate(targets)
        ]

    # -- who calls

    def trusts(self, client: Handover) -> bool:
        """Whether a client is a gateway of our trust domain: what it asserts of callers stands."""
        gateway = self.book.get(client.gateway) if client.gateway else None
        return gateway is not None and gateway.trusted

    def user_of(self, uri: str) -> Party | None:
        """The user of ours that a URI is, as permissions know him; L{None}: nobody's."""
        try:
            aor = self._names().meaning(uri).aor if uri else None
        except ParseError:
            return None
        return None if aor is None else self._user(aor)

    def _user(self, aor: str) -> Party:
        user, _, domain = aor.rpartition("@")
        number = self.number_of(SipUri("sip", domain, user))
        return Party("" if number is None else number.text, aor, True)

    def caller_of(self, request: Request, client: Handover) -> Party:
        """Who calls, as permissions know him: the user, or whom a gateway names."""
        if client.user is not None:
            return self._user(client.user)
        for text in (*asserted_uris(request), request.from_uri):
            number = self._number_in(text)
            if number is not None:
                return Party(number.text)
        return Party()

    def _number_in(self, text: str) -> Number | None:
        try:
            if scheme_of(text) == "tel":
                phone = parse_tel(text)
                return self.dialling.plan.read(phone.number, phone.context)
            return self.number_of(parse_uri(text))
        except ParseError:
            return None

    def identities(self, caller: Party, route: Route, domain: str) -> tuple[str, ...]:
        """The URIs that a caller is known to have, as a gateway is to be told: his number first (RFC 3325 section 9.1)."""
        number = route.caller.number(caller.number)
        own = [str(sip_of_number(number, domain))] if number else []
        if caller.aor and caller.ours and (not route.caller.allowed or not number):
            own.append(f"sip:{caller.aor}")
        return tuple(own)

    def codecs_of(self, request: Request) -> list[str]:
        """The encoding names of an offer; none when there is none."""
        kind = (request.get("content-type") or "").partition(";")[0].strip().lower()
        return encodings(request.body) if kind == "application/sdp" else []


def is_sos(uri_text: str) -> bool:
    """Whether it is the emergency service, or one of its sub-services (RFC 5031 section 4.2)."""
    lower = uri_text[: len(_SOS) + 1].lower()
    return lower in (_SOS, _SOS + ".")


_WORDS = {"disabled": "down", "hours": "closed", "codecs": "codecs"}


def _uri_at(gateway: Gateway, server: str, number: str) -> str:
    """The Request-URI for a server: its host, so that it or its DNS says where the call goes (RFC 3263)."""
    host, port = split_host_port(server, 0)
    params: Params = () if gateway.transport == "udp" else (("transport", gateway.transport),)
    return str(sip_of_number(number, host.lower(), port or None, params))


def _nobody(candidates: Sequence[Candidate], number: str) -> Refused:
    """Nobody is asked: why, for the caller."""
    refused = _refused(candidates, number)
    refused.about = {"number": number}
    if candidates:
        refused.about["gateway_out"] = candidates[0].route.gateway
    return refused


def _refused(candidates: Sequence[Candidate], number: str) -> Refused:
    if not candidates:
        return Refused(f"no route to {number}", 404, (("Reason", reason_of(_NO_ROUTE)),))
    kinds = {candidate.refused.partition(":")[0] for candidate in candidates}
    text = "; ".join(f"gateway {candidate.route.gateway} is {candidate.refused}" for candidate in candidates)[
        :200
    ]
    if kinds & {"full", SPENT}:
        return Refused(text, 503, (("Reason", reason_of(NO_CIRCUIT)),))
    if kinds & {"down", "closed", "unknown"}:
        return Refused(text, 503, (("Reason", reason_of(_OUT_OF_ORDER)),))
    if kinds == {"codecs"}:
        return Refused(text, 488, (("Reason", reason_of(65)),))
    return Forbidden(text, 403, (("Reason", reason_of(_REJECTED)),))
