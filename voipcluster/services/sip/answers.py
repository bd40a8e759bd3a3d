"""Responses on their way back: what is learned of the other party, and what the relay makes of their bodies."""

from __future__ import annotations

from twisted.logger import Logger

from voipcluster.address import Flow, Hop, join_host_port
from voipcluster.errors import ParseError, PeerError, Unusable
from voipcluster.media.offer_answer import Side
from voipcluster.services.media.relay import CallKey, MediaService
from voipcluster.services.sip.calls import Call, CallTable
from voipcluster.services.sip.core import SipCore
from voipcluster.services.sip.dialogs import Along, Dialogs
from voipcluster.services.sip.releasing import Ending, Releasing, Way
from voipcluster.sip.message import Request, Response
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.session_timer import REFRESHING, Session, agreed
from voipcluster.sip.uri import parse_uri

_NOWHERE = Hop("UDP", "0.0.0.0", 0)  # noqa: S104 - an address that no packet comes from


class Answers:
    """
    Told of each response to a request of a call, before it goes up.

    @ivar releasing: ends calls whose answers the relay can do nothing with.
    """

    _log = Logger()

    def __init__(self, core: SipCore, dialogs: Dialogs, media: MediaService, calls: CallTable) -> None:
        self._core = core
        self._dialogs = dialogs
        self._media = media
        self._relays = media.relays
        self._calls = calls
        self.releasing = Releasing(core, dialogs, calls)

    def answered(
        self,
        key: CallKey,
        cseq: int,
        method: str,
        sender: Side,
        session: Session | None,
        recorded: int,
        proved: bool,
        contact: str,
        along: Along | None,
        target: Target,
        response: Response,
    ) -> bytes | None:
        """
        The body of a response to forward: an answer, or an offer in it, is translated by the relay.

        @param sender: of the response; C{contact}: the URI of the Contact of the request.
        @param recorded: how many Record-Route values the request came with; -1: nothing is learned from those of the response.
        @param proved: whether none but a user of ours, or whom we chose in his place, can have answered.
        @param along: L{None} when the request makes the dialog, and so the response says where its requests go.
        @raise Unusable: a 1xx that must not go on.
        """
        if response.status == 100:
            return None
        call = self._calls.get(key)
        if call is not None:
            if "contact" in response.layout.at:
                call.learn_contact(sender is Side.CALLER, response.contact_uri, proved)
            if recorded >= 0:
                proxies = self._dialogs.proxies_behind_us(response, recorded)
                if proxies:
                    call.learn_proxies(False, proxies, proved)
            if method == "INVITE" and sender is Side.CALLEE:
                if 200 <= response.status < 300:
                    call.leg_up(response.to_tag or "")
                elif not call.rang and response.status < 200:
                    call.rang = self._core.wall()
        if 200 <= response.status < 300 and method in REFRESHING:
            interval = agreed(session, response)
            if call is not None and (interval or call.expires):
                call.lasts_until(self._core.wall() + interval if interval else 0.0)
            if call is not None and call.answered:
                self._calls.settled(key)
        if not self._relays:
            return None
        flow = target.party.flow if target.party is not None else target.flow
        source = flow.hop if flow is not None else _NOWHERE
        try:
            return self._media.message_passes(
                key,
                sender=sender,
                method=method,
                status=response.status,
                cseq=cseq,
                # the callee's, who may have sent the request
                to_tag=response.to_tag if sender is Side.CALLEE else response.from_tag,
                content_type=response.get("content-type"),
                body=response.body,
                source=source,
            )
        except PeerError as error:
            if response.status < 200:
                return self._early(error, key, call, response)
            if call is not None:
                self._ends(error, call, method, sender, contact, along, target, response)
            return None

    def _early(self, error: PeerError, key: CallKey, call: Call | None, response: Response) -> bytes:
        """
        A description in a 1xx that the relay can do nothing with.

        In an unreliable one it announces what the 2xx will say. Without it the caller waits for that; with it he would keep to
        what he has heard first (RFC 3261 section 13.2.1). A reliable one is the answer, or the offer (RFC 3262 section 5): who
        hides that from the caller lets the callee believe that it was heard, so the branch ends there.

        @raise Unusable: it was sent reliably.
        """
        reliable = any(tag.strip().lower() == "100rel" for tag in response.values("require"))
        self._log.warn(
            "call {call}: {what}: {error}",
            call=key.call_id,
            what="a branch is cancelled, since its reliable answer cannot be relayed"
            if reliable
            else "early media is left out, since it cannot be relayed",
            error=str(error),
        )
        if not reliable:
            return b""
        if call is not None and not call.answered:
            call.fault = str(error)
        raise Unusable(str(error), 502 if error.status_hint == 488 else error.status_hint) from error

    def _ends(
        self,
        error: PeerError,
        call: Call,
        method: str,
        sender: Side,
        contact: str,
        along: Along | None,
        target: Target,
        response: Response,
    ) -> None:
        """
        The same in a 2xx: that goes on as it came, since the proxy may not keep it back (RFC 3261 section 16.7 step 5), nor make
        another answer of it; and the call ends.
        """
        why = str(error)
        early = method != "INVITE" and not call.answered
        self._log.warn(
            "call {call} ends{when}, since what its {who} has answered cannot be relayed: {error}",
            call=call.key.call_id,
            when=" when it is answered" if early else "",
            who=sender.value,
            error=why,
        )
        if early:
            return  # the relay lets nothing come of the 2xx to the INVITE
        from_callee = sender is Side.CALLEE
        try:
            asked, answering = response.get("from") or "", response.get("to") or ""
            names = (asked, answering) if from_callee else (answering, asked)
            tag = (response.to_tag if from_callee else response.from_tag) or ""
            if along is None:
                ways = self._dialogs.ways(response, call.key)
                if ways is None:
                    self.releasing.forget(call, why)
                    return
                to_callee, to_caller = ways
            else:
                to_callee, to_caller = along, Along((), along.token)
            if not from_callee:
                to_callee, to_caller = to_caller, to_callee
            uris = response.contact_uri or target.uri, contact
            callee_uri, caller_uri = uris if from_callee else uris[::-1]
        except ParseError:
            self.releasing.forget(call, why)
            return
        ending = Ending(
            call.key,
            tag,
            *names,
            Way(caller_uri, *to_caller),
            Way(callee_uri, *to_callee),
            error.status_hint,
            why,
        )
        if method == "INVITE":
            self.releasing.when_acknowledged(ending)
        else:
            self._core.wheel.start(0.0, self.releasing.end, ending)  # behind the 2xx

    def not_acknowledged(
        self, error: PeerError, request: Request, flow: Flow, from_caller: bool, along: Along, uri: str
    ) -> None:
        """
        The same in an ACK, which the callee waits for (RFC 3261 section 13.3.1.4): it goes on as it came.

        @param flow: where it came from; C{uri}: where it goes.
        """
        key = CallKey(request.call_id, (request.from_tag if from_caller else request.to_tag) or "")
        why = str(error)
        self._log.warn(
            "call {call} ends, since what its {who} has answered cannot be relayed: {error}",
            call=key.call_id,
            who="caller" if from_caller else "callee",
            error=why,
        )
        token = self._core.call_tokens.open(along.token)
        party = token.caller if from_caller else token.callee
        # an ACK has no Contact, most of the time; the far end of the flow knows its dialogs by their tags
        host, port = flow.remote if party is None else party.flow.remote
        try:
            user = parse_uri(request.from_uri).user or ""
        except ParseError:
            user = ""
        place = request.contact_uri or f"sip:{user + '@' if user else ''}{join_host_port(host, port)}"
        names = request.get("from") or "", request.get("to") or ""
        here, there = Way(place, (), along.token), Way(uri, *along)
        tag = (request.to_tag if from_caller else request.from_tag) or ""
        if not from_caller:
            names, here, there = names[::-1], there, here
        self.releasing.when_acknowledged(Ending(key, tag, *names, here, there, error.status_hint, why))
