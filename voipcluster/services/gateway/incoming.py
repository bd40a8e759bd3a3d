"""Requests that come from gateways, around them, or from nobody who is known: what each of them may do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection

from attrs import evolve

from voipcluster.address import Flow
from voipcluster.balance.handover import Handover
from voipcluster.errors import ParseError
from voipcluster.gateway.access import Direction, Refusal
from voipcluster.gateway.causes import NO_CIRCUIT, reason_of
from voipcluster.gateway.permission import Party
from voipcluster.services.gateway.allowances import Forbidden
from voipcluster.services.gateway.routing import NumberRouting
from voipcluster.services.notices import Notices
from voipcluster.sip.message import Request
from voipcluster.sip.proxy.routing import Names
from voipcluster.sip.proxy.validation import Refused
from voipcluster.sip.uri import SipUri, parse_uri, unescape
from voipcluster.sip.values import quote

NOBODY = ""  # the gateway of who is none


class Incoming:
    """
    Asked about each new request of a client by the node that it comes to; later nodes take its word (L{Handover}).

    @param names: who we are now.
    @param is_ours: whether an address of record has an account or is registered.
    @param identities: what the certificate at the other end of a flow proves.
    @ivar refused: how many requests were refused, by gateway and kind.
    """

    def __init__(
        self,
        routing: NumberRouting,
        names: Callable[[], Names],
        is_ours: Callable[[str], bool],
        identities: Callable[[Flow], Collection[str]],
        notices: Notices,
    ) -> None:
        self._book, self._routing, self._names = routing.book, routing, names
        self._is_ours, self._identities, self._notices = is_ours, identities, notices
        self.refused: Counter[tuple[str, str]] = Counter()

    @property
    def applies(self) -> bool:
        """Whether there is anything to look at: a gateway, or numbers that lead out."""
        dialling = self._routing.dialling
        return bool(len(self._book) or dialling.routes.routes or dialling.enum)

    # -- who it is

    def known(self, client: Handover) -> Handover:
        """
        The client, and which gateway it is.

        @raise Refused: 403, it is to come through a gateway, and does not.
        """
        if client.gateway or (client.hops and not client.redirected):
            return client
        gateway = self._book.identify(client.flow, self._identities(client.flow), client.user)
        if gateway is not None:
            return evolve(client, gateway=gateway.name)
        around = self._book.behind(client.flow.remote[0])
        if around is not None:
            text = f"clients behind gateway {around.name} come through it"
            raise self._refused(around.name, Refusal(403, text, "bypass"), str(client.flow))
        return client

    def may_register(self, client: Handover) -> None:
        """@raise Refused: 403, it comes through a gateway that is disabled; when one is closed, phones stay registered."""
        gateway = self._book.get(client.gateway)
        if gateway is not None and not gateway.enabled:
            refusal = Refusal(403, f"gateway {gateway.name} is disabled", "disabled")
            raise self._refused(gateway.name, refusal, str(client.flow))

    # -- what it may do

    def speaks_for_users(self, aor: str | None) -> bool:
        """Whether who says that he is C{aor} has to prove it, although he comes through a gateway."""
        return aor is not None and self._is_ours(aor)

    def check(self, request: Request, client: Handover, target: SipUri, routed: bool) -> None:
        """
        Whether a gateway may send a request.

        A call for help is let through whatever the hour, channels and permissions are.

        @param routed: whether its Route leads on to somebody else.
        @raise Refused: 403 it may not, 488 none of the codecs is allowed, 503 its channels are in use.
        """
        gateway = self._book.get(client.gateway)
        if gateway is None:
            gone = Refusal(403, f"gateway {client.gateway} is none any more", "disabled")
            raise self._refused(NOBODY, gone, str(client.flow), request.call_id)
        callee, emergency = self._callee(target, routed)
        if emergency and gateway.enabled:
            return
        invite, caller = request.method == "INVITE", self._caller(request, client)
        codecs = self._routing.codecs_of(request) if invite and gateway.codecs else ()
        refusal = self._book.refusal(gateway, Direction.INCOMING, caller, callee, codecs)
        if refusal is None and invite and self._book.is_full(gateway.name):
            text = f"all {gateway.channels} channels of gateway {gateway.name} are in use"
            refusal = Refusal(503, text, "full")
        allowances = self._routing.allowances
        if refusal is None and invite and allowances is not None:
            excess = allowances.gateway_excess(gateway.name)
            if excess is not None:
                allowances.passed_over(gateway.name)
                refusal = Refusal(503, f"gateway {gateway.name}: {excess.text}", "full")
        if refusal is not None:
            raise self._refused(gateway.name, refusal, f"{caller} to {callee}", request.call_id)

    def check_stranger(self, request: Request, client: Handover, target: SipUri) -> None:
        """
        Who is neither a user of ours nor a gateway reaches users of ours, and no numbers.

        @raise Refused: 403.
        """
        aor = self._names().aor(target)
        if aor is not None and self._is_ours(aor):
            return
        number = self._routing.number_of(target)
        if number is not None:
            refusal = Refusal(403, "numbers are for users of ours, and for gateways that may", "stranger")
            raise self._refused(NOBODY, refusal, f"{client.flow} to {number.text}", request.call_id)

    def check_room(self, request: Request, client: Handover, target: SipUri) -> None:
        """
        Whether a number can be called at all; asked before the call is placed, for no other node could do better.

        @raise Refused: why not: all gateways for it are down, full, closed or may not, or there is no route.
        """
        aor = self._names().aor(target)
        if aor is None or self._is_ours(aor):
            return
        number = self._routing.number_of(target)
        if number is None or self._routing.asks(number, client):
            return
        caller = self._routing.caller_of(request, client)
        candidates = self._routing.candidates(number, caller, (), client.gateway)
        if all(candidate.refused for candidate in candidates):
            try:
                self._routing.targets(number, candidates)
            except Refused as error:
                error.about |= {"user": client.user or "", "gateway_in": client.gateway}
                raise

    def _callee(self, target: SipUri, routed: bool) -> tuple[Party, bool]:
        """Who is called, and whether it is a call for help."""
        if routed:
            return Party(), False  # whoever the Route leads to: only who may call everybody may
        user = unescape(target.user or "")
        aor = self._names().aor(target)
        if aor is None:
            return Party("", f"{user}@{target.host}"), False
        number = self._routing.number_of(target)
        text = "" if number is None else number.text
        if self._is_ours(aor):
            return Party(text, aor, True), False
        if number is None:
            return Party("", aor, True), False  # nobody, which who looks for him finds out
        return Party(text), number.emergency

    def _caller(self, request: Request, client: Handover) -> Party:
        caller = self._routing.caller_of(request, client)
        if caller.number or caller.aor:
            return caller
        try:
            uri = parse_uri(request.from_uri)
        except ParseError:
            return caller
        return Party("", f"{unescape(uri.user or 'anonymous')}@{uri.host}")

    def _refused(self, gateway: str, refusal: Refusal, who: str, call: str = "") -> Refused:
        self.refused[gateway, refusal.kind] += 1
        self._notices.warn(
            f"{gateway} {refusal.kind}",
            "{status}: {why} ({who})",
            status=refusal.status,
            why=refusal.text,
            who=repr(who),
            **({"call": call} if call else {}),
        )
        headers = [("Warning", f"399 voipcluster {quote(refusal.text)}")]
        if refusal.kind == "full":
            headers.append(("Reason", reason_of(NO_CIRCUIT)))
        made = Forbidden if refusal.kind == "stranger" else Refused
        return made(refusal.text, refusal.status, tuple(headers))
