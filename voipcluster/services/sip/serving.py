"""Serving a new request on this node: hook, targets, relay, Record-Route, and the call that comes of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from voipcluster.address import UDP, Flow, Hop, source_of
from voipcluster.balance.handover import Handover
from voipcluster.errors import ParseError, PeerError, TransportError
from voipcluster.media.offer_answer import Side
from voipcluster.media.shares import Holder, ShareTaken
from voipcluster.services.gateway.allowances import Spent, is_forbidden
from voipcluster.services.gateway.channels import Channels
from voipcluster.services.gateway.outgoing import NumberAsked
from voipcluster.services.media.relay import CallKey, MediaService
from voipcluster.services.sip.accepted import Accepted
from voipcluster.services.sip.answers import Answers
from voipcluster.services.sip.calls import ELSEWHERE, Call, CallTable
from voipcluster.services.sip.claims import Claims
from voipcluster.services.sip.copies import Copy
from voipcluster.services.sip.core import SipCore
from voipcluster.services.sip.dialogs import Dialogs
from voipcluster.services.sip.diverting import Wishes
from voipcluster.services.sip.forwarding import Forwarding
from voipcluster.services.sip.hooks import CallOffer, ICallHook, Refuse, Retarget, Verdict
from voipcluster.services.sip.locating import Located, Locating
from voipcluster.services.sip.recorded import RecordedForwarding
from voipcluster.services.sip.riding import HEADER
from voipcluster.services.sip.targets import Targets
from voipcluster.services.sip.within_dialogs import WithinDialogs
from voipcluster.services.transaction.limiting import AMPLIFICATION
from voipcluster.services.transaction.transactions import ServerTransaction
from voipcluster.sip.message import Request, Response
from voipcluster.sip.proxy.context import ProxyContext
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.proxy.validation import Refused
from voipcluster.sip.session_timer import Session, SessionTimer
from voipcluster.sip.uri import is_sips

DIALOG_FORMING = frozenset({"INVITE", "SUBSCRIBE", "REFER"})

LONGEST_WHY = 110  # characters of why a call was refused, in words
_NO_TIMER = SessionTimer()


class Serving:
    """
    @param hook: provides L{ICallHook}, or L{None}.
    @param wishes: the preferences of the users.
    @ivar locating: where new requests go; C{within}: what comes later within the dialogs.
    @ivar channels: told of calls that come from gateways.
    @ivar completed: called when a new request got its final response.
    """

    _log = Logger()

    def __init__(
        self,
        core: SipCore,
        dialogs: Dialogs,
        targets: Targets,
        media: MediaService,
        calls: CallTable,
        claims: Claims,
        hook: ICallHook | None,
        timer_c: float,
        session_timer: SessionTimer = _NO_TIMER,
        wishes: Wishes | None = None,
    ) -> None:
        self._core = core
        self._dialogs = dialogs
        self._media = media
        self._relays = media.relays
        self._calls = calls
        self._claims = claims
        self._hook = hook
        self._timer_c = timer_c
        self.session_timer = session_timer
        self.locating = Locating(core, targets, wishes or Wishes(lambda: core.names, {}))
        self._answers = Answers(core, dialogs, media, calls)
        self.within = WithinDialogs(core, media, calls, claims, self._answers, timer_c, session_timer)
        self.channels: Channels | None = None
        self.completed: Callable[[], object] = lambda: None

    def serve(self, accepted: Accepted) -> None:
        """Bring a new request to its targets; for an INVITE this is a call from now on."""
        incoming, client = accepted.incoming, accepted.client
        request = incoming.request
        located: Located | None = None
        stranger = client.user is None and not client.hops and client.flow.transport == UDP
        invite = request.method == "INVITE"
        if (
            invite
            and not client.gateway  # whose channels are counted
            and not self._calls.has_room(client.user, client.flow.remote[0])
            and self._is_limited(client)
            and not self.locating.is_for_help(accepted.uri)
        ):
            self._turn_down(incoming, PeerError("too many unanswered calls", 503))
            return
        if (
            invite
            and client.user is None
            and not client.gateway
            and self._core.transactions.limiting.reserves
        ):
            try:
                self._core.transactions.limiting.admit_call(client.flow)
            except PeerError as error:
                self._turn_down(incoming, error)
                return
        try:
            self.locating.check_caller(accepted)
        except PeerError as error:
            self._turn_down(incoming, error)
            return
        if incoming.key not in self._core.transactions.servers:
            if stranger and not (invite and self._hook):
                # what leads nowhere is answered once and without state: the source of a datagram may be forged (8.2.7)
                try:
                    located = self.locating.locate(accepted, accepted.uri)
                except PeerError as error:
                    self._turn_down(incoming, error)
                    return
            incoming.accept()
            if stranger:
                incoming.limit_repeats(AMPLIFICATION * request.wire_size)
        if not invite:
            if client.hops and not client.redirected:
                # a sign of life for the node that handed it over, which else asks another one
                self._trying(incoming, client)
            self._forward(accepted, accepted.uri, None, located)
            return
        self._trying(incoming, client)
        call = self._calls.start(self._new_call(request, accepted))
        if client.gateway and self.channels is not None:
            self.channels.came(call)
        if self._hook is None:
            try:
                self._forward(accepted, accepted.uri, call, located)
            except Exception:
                self._calls.failed(call.key, "failed 500")  # whatever went wrong: nothing else would end it
                raise
            return
        offer = CallOffer(
            request.call_id,
            call.caller,
            accepted.uri,
            accepted.client.user,
            str(accepted.client.flow),
            tuple((k, request.get_all(k)[0]) for k in dict.fromkeys(request.keys)),
            client.gateway,
            self.locating.number_of(accepted.uri),
        )
        waiting = _Waiting(lambda: self._refuse(accepted, call, 487, None))
        incoming.user = waiting
        decided = maybeDeferred(self._hook.call_offered, offer)
        decided.addCallbacks(
            self._decided,
            self._hook_failed,
            (accepted, call, waiting),
            errbackArgs=(accepted, call, waiting),
        )
        decided.addErrback(self._hook_failed, accepted, call, waiting)

    def _decided(self, verdict: Verdict, accepted: Accepted, call: Call, waiting: _Waiting) -> None:
        if waiting.cancelled:
            return
        match verdict:
            case None:
                self._forward(accepted, accepted.uri, call)
            case Refuse(status, reason):
                self._refuse(accepted, call, status, reason or None)
            case Retarget(uri):
                self._forward(accepted, uri, call)
            case _:
                raise TypeError(f"a call hook answers None, Refuse or Retarget, not {verdict!r}")

    def _hook_failed(self, failure: Failure, accepted: Accepted, call: Call, waiting: _Waiting) -> None:
        self._log.failure(
            "the hook of call {call} failed; the caller gets 500", failure, call=call.key.call_id
        )
        if not waiting.cancelled:
            self._refuse(accepted, call, 500, None)

    def _refuse(self, accepted: Accepted, call: Call, status: int, reason: str | None) -> None:
        self._calls.failed(call.key, f"refused {status}")
        accepted.incoming.answer(status, reason)
        accepted.incoming.release_request()
        self.completed()

    def _new_call(self, request: Request, accepted: Accepted) -> Call:
        client = accepted.client
        host, port = client.flow.remote
        return Call(
            CallKey(request.call_id, request.from_tag or ""),
            _from_uri(request),
            accepted.uri,
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            client.flow.transport,
            client.user or "",
            client.ingress,
            client.visited,
            self._core.wall(),
            request.lines[request.layout.at["to"]],
            gateway_in=client.gateway,
        )

    def _is_limited(self, client: Handover) -> bool:
        """Whether somebody who has as many unanswered calls as anybody may is refused one more; noted then."""
        limiting, who = self._core.transactions.limiting, client.user or client.flow.remote[0]
        if limiting.is_trusted(client.flow.remote[0]):
            return False
        limiting.refused["unanswered calls"] += 1
        limiting.notices.warn("unanswered calls", "{who!r} has too many unanswered calls: 503", who=who)
        return True

    def _trying(self, incoming: ServerTransaction, client: Handover) -> None:
        """100, which to a node that handed the request over says what this one is like, too."""
        riding = self._core.riding
        if riding is None or not client.hops or client.redirected:
            incoming.answer(100)
        else:
            incoming.answer(100, None, [(HEADER, riding.text())])

    def _turn_down(self, incoming: ServerTransaction, error: PeerError) -> None:
        self._core.transactions.reject(incoming, error)
        incoming.release_request()
        self.completed()

    def _when_answered(self, asked: NumberAsked, accepted: Accepted, uri: str, call: Call | None) -> None:
        """Go on when the DNS has said where a number is."""

        def given_up() -> None:
            if call is not None:
                self._refuse(accepted, call, 487, None)

        waiting = _Waiting(given_up)
        accepted.incoming.user = waiting

        def answered(uris: list[str]) -> None:
            if waiting.cancelled:
                return
            try:
                located = self.locating.answered(accepted, uri, uris)
            except PeerError as error:
                self._not_located(accepted, call, error)
                return
            self._forward(accepted, uri, call, located)

        asked.uris.addCallback(answered).addErrback(self._not_answered, accepted, call)

    def _not_answered(self, failure: Failure, accepted: Accepted, call: Call | None) -> None:
        self._log.failure(
            "call {call} to a number failed; the caller gets 500",
            failure,
            call=accepted.incoming.request.call_id,
        )
        self._not_located(accepted, call, PeerError("internal error", 500))

    def _not_located(self, accepted: Accepted, call: Call | None, error: PeerError) -> None:
        if call is not None:
            if isinstance(error, Refused):
                call.number = call.number or error.about.get("number", "")
            if isinstance(error, Spent):
                self._calls.failed(call.key, f"refused {error.status_hint} ({error.kind})")
            else:
                self._calls.failed(call.key, f"refused {error.status_hint}", str(error)[:LONGEST_WHY])
        client = accepted.client
        if is_forbidden(error) and not client.gateway and (client.redirected or not client.hops):
            self._core.transactions.limiting.number_refused(client.flow)
        self._turn_down(accepted.incoming, error)

    def _forward(
        self,
        accepted: Accepted,
        uri: str,
        call: Call | None,
        located: Located | None = None,
    ) -> None:
        incoming, client = accepted.incoming, accepted.client
        request = incoming.request
        try:
            session = None if call is None else self.session_timer.onward(request)
            mark, targets, diverting, outgoing = located or self.locating.locate(accepted, uri)
            relaying = call is not None and self._relays
            body = request.body
            if call is not None and relaying:
                first = targets[0]
                flow = first.party.flow if first.party is not None else first.flow
                body = self._offer(request, client, call, None if flow is None else flow.hop)
                call.relayed = body is not request.body
        except NumberAsked as asked:
            self._when_answered(asked, accepted, uri, call)
            return
        except PeerError as error:
            if isinstance(error, ShareTaken):
                self._core.transactions.limiting.media_ports_refused(error)
            self._not_located(accepted, call, error)
            return
        record_route = None
        if request.method in DIALOG_FORMING:
            names = (request.call_id, request.from_tag or "") if call is None else call.key
            caller = self._dialogs.caller_party(request, client)
            secure = is_sips(accepted.uri)
            place = self._dialogs.caller_place(request, client, caller)
            record_route = partial(self._dialogs.record_route, names, caller, client, secure, place)
        invite = call is not None
        copy = Copy(
            request,
            incoming,
            accepted.max_forwards,
            accepted.routes,
            accepted.drop_lines if session is None else (*accepted.drop_lines, *session.drop),
            body,
            record_route,
            mark,
            () if session is None else session.add,
        )
        if call is not None and call.relayed and self._media.versions > 1:
            copy.body_towards = partial(self._offer_towards, request, client, call)
        context = ProxyContext(
            invite,
            self._timer_c,
            64 * self._core.transactions.durations.t1,
            diverts=diverting is not None and invite,
            asked_before=accepted.asked_before is not None,
        )
        on_response = None if call is None else self._learning(accepted, call, targets[0], session)
        # one that may be tried at several places notes each of them; so does one to no phone that registered, but to a name or an
        # address: it may lead nowhere
        several = (
            len(targets) > 1
            or diverting is not None
            or outgoing is not None
            or targets[0].alternatives
            or (targets[0].flow is None and targets[0].party is None)
        )
        made = partial(RecordedForwarding, call) if several and call is not None else Forwarding
        forwarding = made(
            self._core, incoming, context, copy, on_response=on_response, on_end=partial(self._ended, call)
        )
        if diverting is not None:
            forwarding.locate = diverting.locate
            diverting.begun()
        elif accepted.asked_before is not None and outgoing is None:
            forwarding.take_over(accepted.asked_before, partial(self._ended_elsewhere, call))
        if self.locating.outgoing is not None:
            self.locating.outgoing.applies(outgoing, call, forwarding, context, copy)
        forwarding.start_at(*targets)

    def _learning(
        self, accepted: Accepted, call: Call, first: Target, session: Session | None
    ) -> Callable[[Target, Response], bytes | None]:
        """What is known of both sides of a call from its INVITE, and who learns the rest from the responses."""
        request, client = accepted.incoming.request, accepted.client
        proved = bool(call.user) and client.user == call.user
        call.learn_contact(True, contact := request.contact_uri, proved)
        call.reached = first.uri
        proxies, recorded = self._dialogs.proxies_before_us(request)
        if proxies:
            call.learn_proxies(True, proxies, proved)
        # whom we have looked up says himself where he is; whom the caller named may be anybody
        looked_up = not accepted.routes and self._core.names.meaning(accepted.uri).local
        return partial(
            self._answers.answered,
            call.key,
            request.cseq[0],
            "INVITE",
            Side.CALLEE,
            session,
            recorded,
            looked_up,
            contact,
            None,
        )

    def _offer(
        self, request: Request, client: Handover, call: Call, target: Hop | None, record: bool = True
    ) -> bytes:
        return self._media.message_passes(
            call.key,
            sender=Side.CALLER,
            method="INVITE",
            status=None,
            cseq=request.cseq[0],
            to_tag=None,
            content_type=request.get("content-type"),
            body=request.body,
            source=client.flow.hop,
            target=target,
            record=record,
            holders=self._holders(client),
        )

    def _offer_towards(self, request: Request, client: Handover, call: Call, flow: Flow) -> bytes:
        """
        The offer for one branch, in the IP version of whoever is at its end; forks may have different ones.

        @raise TransportError: no media port of that version can be opened, so that this branch fails and no other.
        """
        try:
            return self._offer(request, client, call, flow.hop, record=False)
        except PeerError as error:
            raise TransportError(str(error)) from error

    def _holders(self, client: Handover) -> tuple[Holder, ...]:
        """Whom the media ports of a call count for: the user and the address; nobody who is trusted."""
        host = client.flow.remote[0]
        if self._core.transactions.limiting.is_trusted(host):
            return ()
        address = Holder("address", source_of(host))
        return (Holder("user", client.user), address) if client.user else (address,)

    def _ended(self, call: Call | None, status: int) -> None:
        if call is not None:
            if 200 <= status < 300:
                if call.gateway_in and self.channels is not None:
                    self.channels.answered(call)
                self._calls.answered(call.key, self._core.wall())
            else:
                self._calls.failed(call.key, f"failed {status}" if status else "no answer")
        self.completed()

    def _ended_elsewhere(self, call: Call | None, status: int) -> None:
        if call is not None:
            self._calls.failed(call.key, ELSEWHERE)
        self.completed()


class _Waiting:
    """Stands in for the forwarding while a hook makes up its mind; a caller who gives up does not wait for it."""

    def __init__(self, on_cancel: Callable[[], object]) -> None:
        self._on_cancel = on_cancel
        self.cancelled = False

    def cancel(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            self._on_cancel()


def _from_uri(request: Request) -> str:
    try:
        return request.from_uri
    except ParseError:
        return ""
