"""One call to a number on its way to gateways: what each of them is told, and the channel that it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.defer import Deferred

from voipcluster.address import Flow
from voipcluster.balance.handover import Handover
from voipcluster.errors import ParseError, PeerError, TransportError
from voipcluster.gateway.causes import fails_over, name_of_cause, q850_cause
from voipcluster.gateway.numbers import Number
from voipcluster.gateway.permission import Party
from voipcluster.gateway.routing import Route
from voipcluster.media.narrowing import only_encodings
from voipcluster.services.gateway.book import GatewayBook
from voipcluster.services.gateway.channels import Channels
from voipcluster.services.gateway.routing import SCHEMES, SPENT, NumberRouting
from voipcluster.services.media.relay import CallKey
from voipcluster.services.sip.calls import Call
from voipcluster.services.sip.challenged_branch import Challenges
from voipcluster.services.sip.copies import Changes, Copy
from voipcluster.services.sip.core import SipCore
from voipcluster.services.sip.forwarding import Forwarding
from voipcluster.services.sip.targets import NoSuchUser
from voipcluster.sip.identity import ASSERTED, PREFERRED, identity_towards
from voipcluster.sip.message import Request, Response
from voipcluster.sip.proxy.context import ProxyContext
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.uri import parse_uri, scheme_of


class OutgoingCall:
    """
    One request, as far as it goes to numbers.

    @param trusted: whether who sent it is in the trust domain (RFC 3325).
    @ivar number: the last one that it was brought to, or L{None}.
    @ivar on_answered: told of the gateway that has answered, whose channel is in use from then on.
    """

    def __init__(
        self,
        routing: NumberRouting,
        request: Request,
        client: Handover,
        trusted: bool,
    ) -> None:
        self.number: Number | None = None
        self._routing, self._request, self._client, self._trusted = routing, request, client, trusted
        self._caller = Party()
        self._domain = ""
        self.on_answered: Callable[[str], object] = lambda gateway: None
        self._routes: dict[str, Route] = {}
        self._found: set[str] = set()  # URIs that ENUM has given
        self._also = routing.dialling.also_next
        self._payer = ""
        self._counted: set[str] = set()  # who pays, for whom it counts already
        self._seized = ""  # the gateway that is being asked
        self._asked: Target | None = None
        self._answered: set[str] = set()
        self._invite = request.method == "INVITE"

    @property
    def _book(self) -> GatewayBook:
        return self._routing.book

    def sip_uri(self, uri: str) -> str:
        """A URI that may be a tel URI as a SIP URI of ours. @raise PeerError: it is none."""
        return self._routing.sip_uri(uri) if scheme_of(uri) in SCHEMES else uri

    def reach(self, uri: str, found: Sequence[Target] | None = None, by: str = "") -> list[Target]:
        """
        The targets of a URI of ours that is no user, one after the other.

        @param found: where ENUM leads; L{None}: it was not asked.
        @param by: the URI of the user of ours who has the call go there, and whose permissions count then; or empty.
        @raise PeerError: 404, it is no number, or there is no route; 403, 488, 503: no gateway takes it.
        @raise NumberAsked: the DNS has to be asked, and this again behind it.
        """
        routing, request, client = self._routing, self._request, self._client
        parsed = routing.parsed(uri)
        number = routing.number_of(parsed)
        if number is None:
            raise NoSuchUser
        if found is None and routing.asks(number, client):
            raise NumberAsked(routing.enum(number))
        user = routing.user_of(by)
        caller = user or routing.caller_of(request, client)
        payer = caller.aor if caller.ours else ""
        allowances = routing.allowances if self._invite and not number.emergency else None
        if allowances is not None:
            allowances.check_user(payer, number.text)
        codecs = routing.codecs_of(request) if request.method == "INVITE" else []
        # whom a user forwards may go back to where he came from: the PSTN has no other way to the user's mobile phone
        candidates = routing.candidates(number, caller, codecs, "" if user else client.gateway)
        for candidate in candidates:
            if candidate.refused.startswith(SPENT) and allowances is not None:
                allowances.passed_over(candidate.route.gateway)
        targets = [target._replace(q=1000 - n) for n, target in enumerate(found or ())]
        self._found.update(target.uri for target in targets)
        try:
            targets += routing.targets(number, candidates)
        except PeerError:
            if not targets:
                raise
        self.number, self._caller, self._domain = number, caller, routing.domain_of(parsed)
        self._payer = payer
        self._routes.update((candidate.route.gateway, candidate.route) for candidate in candidates)
        return targets

    def named(self, targets: Sequence[Target], routes: Sequence[str] = (), by: str = "") -> list[Target]:
        """
        The same targets, where one names a server of a gateway as the gateway's own: what that may do counts for it.

        @param routes: Route values behind those of the targets; C{by}: see L{reach}.
        @raise Refused: 403, 488, 503: the gateway does not take it.
        """
        return [self._named(target, routes, by) for target in targets]

    def _named(self, target: Target, routes: Sequence[str], by: str) -> Target:
        routing, request, client = self._routing, self._request, self._client
        gateway = routing.at(target, routes)
        if gateway is None:
            return target
        user = routing.user_of(by)
        caller = user or routing.caller_of(request, client)
        codecs = routing.codecs_of(request) if self._invite else []
        came_from = "" if user else client.gateway
        uri = parse_uri(target.uri)
        number = routing.check_named(gateway, uri, caller, codecs, came_from)
        payer = caller.aor if caller.ours else ""
        if routing.allowances is not None and self._invite and not (number is not None and number.emergency):
            routing.allowances.check_user(payer, "" if number is None else number.text)
        self.number, self._caller, self._payer = number, caller, payer
        self._domain, self._routes[gateway.name] = routing.domain_of(uri), Route("", gateway.name)
        return target._replace(gateway=gateway.name)

    def towards(self, target: Target, body: bytes | None) -> Changes:
        """
        What is different in the copy for a target.

        @raise TransportError: it may have none of the codecs that are offered, so the next one is asked.
        """
        if target is not self._asked:
            if self._seized:
                self._routing.suspect(self._seized)
            self._release("no answer")
            self._asked = target
            if target.gateway and self._invite:
                if not self._book.usable(target.gateway, self.number is not None and self.number.emergency):
                    # another call has taken the last channel since this one was routed, or the probes have found it dead
                    raise TransportError(f"gateway {target.gateway} is not to be used any more")
                self._book.seized(target.gateway)
                self._seized = target.gateway
                allowances = self._routing.allowances
                if allowances is not None:
                    if self._payer not in self._counted:
                        self._counted.add(self._payer)
                        key = CallKey(self._request.call_id, self._request.from_tag or "")
                        allowances.begun(key, self._payer)
                    allowances.seized(target.gateway)
        gateway, route = self._book.get(target.gateway), self._routes.get(target.gateway)
        if gateway is None or route is None:
            drop, add = identity_towards(
                self._request, heard_from_trusted=self._trusted, goes_to_trusted=False
            )
            return Changes(drop, add, body)
        # what somebody whom we do not trust says in From is not for us to assert
        caller = self._caller if self._caller.ours or self._trusted else Party()
        own = self._routing.identities(caller, route, self._domain)
        drop, add = identity_towards(
            self._request,
            heard_from_trusted=self._trusted,
            goes_to_trusted=gateway.trusted,
            own=own,
        )
        if gateway.codecs and self._routing.codecs_of(self._request):
            try:
                body = only_encodings(self._request.body if body is None else body, gateway.codecs)
            except ParseError as error:
                raise TransportError(str(error)) from None
        return Changes(drop, add, body)

    def settles(self, target: Target, response: Response) -> bool:
        """Whether a final response of a gateway is that of the number, and no other one is asked."""
        if not target.gateway and target.uri not in self._found:
            return False  # a phone of a user of ours, who may have others
        return not fails_over(response.status, q850_cause(response), self._also)

    def heard(self, target: Target, status: int, response: Response | None) -> None:
        """A response of a gateway, before anything is done with it."""
        if status < 200 or not target.gateway or not self._invite:
            return
        if status < 300:
            if target.gateway in self._answered:
                return  # a copy, or another phone behind it
            self._answered.add(target.gateway)
            if target.gateway == self._seized:
                self._seized = ""
            else:
                self._book.adopted(
                    target.gateway
                )  # it had been given up, and has put the call through all the same
            self._book.answered(target.gateway)
            self.on_answered(target.gateway)
        elif target.gateway == self._seized:
            cause = 0 if response is None else q850_cause(response)
            self._release(f"{status} ({name_of_cause(cause)})" if cause else str(status))

    def ended(self, status: int) -> None:
        """The caller has a final response, or nobody waits for one."""
        self._release("given up" if status == 487 else str(status) if status else "no answer")

    def _release(self, cause: str) -> None:
        name, self._seized = self._seized, ""
        if name:
            self._book.released(name, cause)


class NumberAsked(Exception):
    """The DNS is asked for a number: C{uris} fires with what it says, and never fails."""

    def __init__(self, uris: Deferred[list[str]]) -> None:
        super().__init__("the DNS is asked")
        self.uris = uris


class Outgoing:
    """Makes of requests what they are by the numbers that they go to, and keeps to us what gateways have asserted."""

    def __init__(self, routing: NumberRouting, channels: Channels, core: SipCore) -> None:
        self.routing, self._channels, self._core = routing, channels, core

    def of(self, request: Request, client: Handover) -> OutgoingCall:
        """A request that may go to numbers."""
        # what a node of ours has handed over it has let through; who was redirected speaks for himself
        told = bool(client.hops) and not client.redirected
        return OutgoingCall(self.routing, request, client, told or self.routing.trusts(client))

    def leads_to_gateway(self, targets: Sequence[Target], routes: Sequence[str]) -> bool:
        """Whether one of the targets names a server of a gateway by itself, past the routes of numbers."""
        at = self.routing.at
        return any(at(target, routes) is not None for target in targets)

    def applies(
        self,
        outgoing: OutgoingCall | None,
        call: Call | None,
        forwarding: Forwarding,
        context: ProxyContext,
        copy: Copy,
    ) -> None:
        """Let a request be what it is by its number before it starts; to users of ours no asserted identity goes."""
        if len(self.routing.book):
            copy.guard = partial(self._guard, copy.request.call_id)
        if outgoing is None:
            at = copy.request.layout.at
            if ASSERTED in at or PREFERRED in at:
                drop, _ = identity_towards(copy.request, heard_from_trusted=True, goes_to_trusted=False)
                copy.drop_lines = tuple({*copy.drop_lines, *drop})
            return
        copy.towards, context.settles = outgoing.towards, outgoing.settles
        book = self.routing.book
        if any(gateway.auth_user for gateway in book):
            moved = partial(self._moved, call)
            copy.challenges = Challenges(
                lambda target: book.credentials(target.gateway),
                self._fresh,
                0,
                moved,
                partial(self._in_vain, copy.request.call_id),
            )
        if call is not None:
            if outgoing.number is not None:
                call.number = outgoing.number.text
            outgoing.on_answered = partial(self._answered, call)
            forwarding.tell(outgoing.heard, outgoing.ended)

    def _guard(self, call: str, target: Target, flow: Flow) -> None:
        """Who names a host whose DNS leads to a gateway does not get past what that may do either."""
        if target.gateway or target.flow is not None or target.party is not None:
            return
        gateway = self.routing.book.server_at(*flow.remote)
        if gateway is None:
            return
        self._core.transactions.limiting.notices.warn(
            "ways around gateways",
            "{uri} leads to {flow}, which is gateway {name} by another name: not sent; call a number, or a server as declared",
            uri=repr(target.uri),
            flow=str(flow),
            name=gateway.name,
            call=call,
        )
        raise TransportError(f"{flow} is gateway {gateway.name} by another name")

    def _fresh(self) -> str:
        return self._core.octets(8).hex()

    def _moved(self, call: Call | None, target: Target, by: int) -> None:
        if call is not None:
            self._channels.moved(call.key, target.gateway, by)

    def _in_vain(self, call: str, target: Target, why: str) -> None:
        self._core.transactions.limiting.notices.warn(
            "challenges of gateways",
            "gateway {name} does not take our credentials: {why}",
            name=target.gateway,
            why=why,
            call=call,
        )

    def _answered(self, call: Call, gateway: str) -> None:
        self._channels.hold(call.key, gateway)
        if self.routing.allowances is not None:
            self.routing.allowances.answered(call.key, gateway, call.gateway_in)
