"""Later requests of a dialog on their way through this node: whom they may reach, and how a call ends (RFC 3261 section 12.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from voipcluster.address import Flow, Hop
from voipcluster.errors import PeerError
from voipcluster.media.offer_answer import Side
from voipcluster.services.media.relay import CallKey, MediaService
from voipcluster.services.sip.access import ASSERTED
from voipcluster.services.sip.answers import Answers
from voipcluster.services.sip.calls import Call, CallTable
from voipcluster.services.sip.challenged_branch import Challenges, Credentials
from voipcluster.services.sip.claims import FREE, STARTS_NOTHING, Arrival, Claims
from voipcluster.services.sip.copies import Copy
from voipcluster.services.sip.core import SipCore
from voipcluster.services.sip.dialogs import Along
from voipcluster.services.sip.forwarding import Forwarding
from voipcluster.services.transaction.transactions import ServerTransaction
from voipcluster.sip.message import Request
from voipcluster.sip.proxy.context import ProxyContext
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.renumbering import renumbered
from voipcluster.sip.session_timer import REFRESHING, SessionTimer

WITH_MEDIA = frozenset({"INVITE", "ACK", "PRACK", "UPDATE", "INFO"})  # INFO: trickled candidates (RFC 8840)


class WithinDialogs:
    """
    What follows the request that made a dialog.

    @ivar timer_c: seconds, of every INVITE that is no new one here.
    @ivar identity: who we are towards a gateway, by its name; L{None}: it gets no password of ours.
    """

    def __init__(
        self,
        core: SipCore,
        media: MediaService,
        calls: CallTable,
        claims: Claims,
        answers: Answers,
        timer_c: float,
        session_timer: SessionTimer,
    ) -> None:
        self._core = core
        self._media = media
        self._relays = media.relays
        self._calls = calls
        self._claims = claims
        self.answers = answers
        self.timer_c = timer_c
        self.session_timer = session_timer

    @property
    def identity(self) -> Callable[[str], Credentials | None]:
        return self.answers.releasing.identity

    @identity.setter
    def identity(self, identity: Callable[[str], Credentials | None]) -> None:
        self.answers.releasing.identity = identity

    def serve(
        self,
        incoming: ServerTransaction,
        target: Target,
        from_caller: bool,
        routes: list[str] | None,
        max_forwards: int,
        token: str,
        told: str | None = None,
    ) -> None:
        """Bring a request within a dialog to the other party; C{token}: that of our Route; C{told}: see L{Arrival}."""
        request = incoming.request
        key = self._key(request, from_caller)
        sender = Side.CALLER if from_caller else Side.CALLEE
        on_response = None
        body = None
        method = request.method
        call = self._calls.get(key)
        passage = FREE
        if method not in STARTS_NOTHING:
            found = self._claims.passage(Arrival(incoming, from_caller, token, told), call, target, routes)
            if found is None:
                return
            passage = found
        session = None
        if method in WITH_MEDIA and call is not None:
            if method in REFRESHING:
                session = self.session_timer.onward(request)
                # a target refresh (section 12.2)
                arrival = Arrival(incoming, from_caller, token, told)
                self._claims.learn_contact(arrival, call, passage.user)
            if self._relays:
                # what came through another node says where it came in there
                flow = (
                    incoming.flow
                    if told is None
                    else self._claims.origin(Arrival(incoming, from_caller, token, told))
                )
                source = incoming.flow.hop if flow is None else flow.hop
                body = self._media_request(key, sender, request, source)
            receiver = Side.CALLEE if from_caller else Side.CALLER
            proved = self._claims.answers_prove(call, target, not from_caller, routes)
            on_response = partial(
                self.answers.answered, key, request.cseq[0], method, receiver, session, -1, proved,
                request.contact_uri, Along(() if routes is None else routes, token),
            )  # fmt: skip
        incoming.accept()
        if method == "INVITE":
            incoming.answer(100)
        context = ProxyContext(method == "INVITE", self.timer_c, 64 * self._core.transactions.durations.t1)
        asserted = request.layout.indexes(ASSERTED)
        if passage.drop:
            asserted = (*passage.drop, *asserted)
        copy = (
            Copy(request, incoming, max_forwards, routes, asserted, body)
            if session is None
            else Copy(
                request, incoming, max_forwards, routes, (*session.drop, *asserted), body, add=session.add
            )
        )
        copy.over_flow = passage.over_flow
        if call is not None and call.proves_to and from_caller:
            copy.challenges = self._challenges(call)
        Forwarding(
            self._core,
            incoming,
            context,
            copy,
            on_response=on_response,
            on_end=partial(self._later_ended, key, method, from_caller, _callee_tag(request, from_caller))
            if method in ("BYE", "INVITE")
            else None,
        ).start_at(target)

    def ack(
        self, request: Request, flow: Flow, copy: Copy, target: Target, from_caller: bool, token: str
    ) -> None:
        """
        Bring the ACK for a 2xx to the callee: a request of its own, without transaction (17.1.1.3, 16.11).

        @param token: that of our Route.
        """
        if request.body:
            key = self._key(request, from_caller)
            if self._calls.get(key) is not None:
                sender = Side.CALLER if from_caller else Side.CALLEE
                try:
                    copy.body = self._media_request(key, sender, request, flow.hop)
                except PeerError as error:
                    along = Along(copy.routes or (), token)
                    self.answers.not_acknowledged(error, request, flow, from_caller, along, target.uri)
                self._calls.settled(key)
        copy.drop_lines = request.layout.indexes(ASSERTED)
        if self._calls.any_noted:
            self._send_noted(request, copy, target, from_caller)
            return
        copy.send_ack(self._core, target)

    def _send_noted(self, request: Request, copy: Copy, target: Target, from_caller: bool) -> None:
        """Of some call, perhaps this one, the CSeq was moved, or it ends behind this ACK."""
        key = self._key(request, from_caller)
        call = self._calls.get(key)
        if call is not None and from_caller:
            drop, copy.add = renumbered(request, call.moved)
            copy.drop_lines = (*copy.drop_lines, *drop)
        copy.send_ack(self._core, target)
        if call is not None:
            self.answers.releasing.acknowledged(key, _callee_tag(request, from_caller))

    def _challenges(self, call: Call) -> Challenges:
        """For a later request of a caller over a gateway that asked us for a password, or may."""
        gateway = call.proves_to
        return Challenges(
            lambda target: self.identity(gateway),
            self._fresh,
            call.moved,
            lambda target, by: self._calls.move(call.key, gateway, by),
        )

    def _fresh(self) -> str:
        return self._core.octets(8).hex()

    def _media_request(self, key: CallKey, sender: Side, request: Request, source: Hop) -> bytes:
        tag = request.to_tag if sender is Side.CALLER else request.from_tag
        return self._media.message_passes(
            key,
            sender=sender,
            method=request.method,
            status=None,
            cseq=request.cseq[0],
            to_tag=tag,
            content_type=request.get("content-type"),
            body=request.body,
            source=source,
        )

    def _key(self, request: Request, from_caller: bool) -> CallKey:
        return CallKey(request.call_id, (request.from_tag if from_caller else request.to_tag) or "")

    def flow_lost(self, request: Request) -> None:
        """The other party of a dialog cannot be reached any more: a BYE ends the call all the same (15.1.1)."""
        if request.method == "BYE":
            for from_caller in (True, False):
                key = self._key(request, from_caller)
                self._dialog_over(key, _callee_tag(request, from_caller), "bye", from_caller)

    def _later_ended(
        self, key: CallKey, method: str, from_caller: bool, callee_tag: str, status: int
    ) -> None:
        # a BYE ends its dialog whatever is answered, but for a challenge (15.1.1); these two say that there is none (12.2.1.2)
        if (method == "BYE" and status not in (401, 407)) or status in (408, 481):
            reason = "bye" if method == "BYE" else f"lost {status}"
            self._dialog_over(key, callee_tag, reason, from_caller)

    def _dialog_over(self, key: CallKey, callee_tag: str, reason: str, from_caller: bool) -> None:
        """Two phones that answered at once are two dialogs; the caller ends one of them and stays in the call (13.2.2.4)."""
        call = self._calls.get(key)
        if call is None:
            return
        if call.leg_over(callee_tag):
            if reason == "bye":
                call.ended_by = "caller" if from_caller else "callee"
            self._calls.end(key, reason)
        else:
            self._calls.settled(key)


def _callee_tag(request: Request, from_caller: bool) -> str:
    return (request.to_tag if from_caller else request.from_tag) or ""
