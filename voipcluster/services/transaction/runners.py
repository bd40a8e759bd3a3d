"""
The machines of L{voipcluster.sip.transaction} with a clock and a transport: one server or client transaction each.

Each message of a call passes here, and what is here lingers for 32 s; the figures are in C{bench/proxy.py}. Hence the arrows that
nearly every call takes go past events and effects (C{sends} and C{passes} of the machines), and one timer needs no dict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from zope.interface import Interface, implementer

from voipcluster.address import DEFAULT_PORT, UDP, Flow, is_ip
from voipcluster.errors import TransportError
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.net.timers import NamedTimers
from voipcluster.sip.layout import layout_of
from voipcluster.sip.message import Request, Response
from voipcluster.sip.outgoing import reply, trying
from voipcluster.sip.transaction.events import (
    AckReceived,
    CancelSent,
    Finished,
    PassAck,
    PassFailure,
    PassResponse,
    PassTimeout,
    RequestReceived,
    Respond,
    ResponseReceived,
    SendFailed,
    SendRequest,
    SendResponse,
    SendTrying,
)
from voipcluster.sip.transaction.hop_by_hop import build_cancel
from voipcluster.sip.transaction.invite_client import InviteClient
from voipcluster.sip.transaction.invite_client import State as InviteState
from voipcluster.sip.transaction.invite_server import InviteServer
from voipcluster.sip.transaction.matching import ClientKey, ServerKey
from voipcluster.sip.transaction.non_invite_client import NonInviteClient
from voipcluster.sip.transaction.non_invite_server import NonInviteServer
from voipcluster.sip.values import Via

if TYPE_CHECKING:
    from voipcluster.services.transaction.transactions import TransactionService

_NO_REQUEST = Request("", "", b"", layout_of(()), [], b"")
_COPY = RequestReceived()
_ACK = AckReceived()
_PASS_ACK = PassAck()


class IClientUser(Interface):
    """Whoever sent a request."""

    def response_received(branch: int, response: Response) -> None:
        """A response, provisional or final."""

    def timed_out(branch: int) -> None:
        """No final response in time (Timer B or F)."""

    def send_failed(branch: int, error: TransportError) -> None:
        """The request could not be sent (18.4)."""


def response_flow(via: Via, received: Via | None, flow: Flow) -> Flow:
    """
    Where the responses to a request go (RFC 3261 section 18.2.2, RFC 3581 section 4).

    @param via: its top Via as received; C{received}: the same with the true source, or L{None} when they agree.
    """
    if flow.transport != UDP:
        return flow
    params = via.params
    if len(params) != 1 or params[0][0] != "branch":  # via.is_plain, without its call
        maddr = via.param("maddr")
        if maddr is not None and is_ip(maddr) and ip_address(maddr).is_multicast:
            return flow._replace(remote=(maddr, via.port or DEFAULT_PORT["UDP"]))
        if via.rport is not None:
            return flow
    port = via.port or DEFAULT_PORT["UDP"]
    return flow if port == flow.remote[1] else flow._replace(remote=(flow.remote[0], port))


class ServerTransaction(NamedTimers):
    """
    One request and what was answered.

    @ivar request: until the final response is sent, then it is let go.
    @ivar flow: where it came from; C{via}: its top Via with the true source, or L{None} when that says the truth.
    @ivar user: whoever answers it, for its own use.
    """

    __slots__ = ("_machine", "_owner", "_reply_flow", "_sent_by", "flow", "key", "request", "user", "via")

    def __init__(
        self, owner: TransactionService, request: Request, flow: Flow, via: Via | None, key: ServerKey
    ) -> None:
        self._owner = owner
        self.request = request
        self.flow = flow
        self.via = via
        self.key = key
        self.user: object | None = None
        top = request.top_via
        if via is None and top.port == flow.remote[1]:
            self._reply_flow = flow  # it says the truth, so the answer goes back the way it came
        else:
            self._reply_flow = response_flow(top, via, flow)
        # a connection may be gone when the response comes: then the Via says where to (18.2.2)
        self._sent_by = (via or top) if flow.connection else None
        self._machine: InviteServer | NonInviteServer | None = None
        self._wheel = owner.wheel
        self._timer = self._more_timers = None

    @property
    def to_tag(self) -> str:
        """A tag of ours that is the same for each copy of the request, also without state (8.2.6.2, 8.2.7)."""
        return self._owner.tag_for(self.key)

    def accept(self) -> None:
        """Keep state from now on: copies are answered, responses repeated."""
        reliable = self.flow.transport != UDP
        if self.request.method == "INVITE":
            self._machine = InviteServer(reliable, self._owner.durations)
        else:
            self._machine = NonInviteServer(reliable, self._owner.durations)
        self._owner.servers[self.key] = self

    def limit_repeats(self, octets: int) -> None:
        """Repeat no final response unasked beyond C{octets} in all (see L{InviteServer}); only behind L{accept}."""
        if isinstance(self._machine, InviteServer):
            self._machine.allowance = octets

    def refuse(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        why: str = "",
        about: Mapping[str, str] = {},
    ) -> None:
        """
        Answer without state (8.2.7); only before L{accept}.

        @param why: in words, for the record of a call; C{about}: see L{voipcluster.sip.proxy.validation.Refused}.
        """
        assert self._machine is None, "refuse() comes before accept()"
        if self.request.method == "ACK":
            return
        response = reply(self.request, status, reason, self.to_tag, headers, body, self.via)
        if status == 503 and not self.flow.reliable:
            self._owner.refusals.note(self.key)
        self._owner.count_answer(self.request.method, status)
        if self._owner.refused is not None and self.request.method == "INVITE":
            self._owner.refused(self, status, headers, why, about)
        self._carry_out((SendResponse(response.to_bytes()),))

    def answer(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        """Send a response of our own."""
        if status == 100 and not headers:
            self.respond(100, trying(self.request, self.via))
            return
        response = reply(self.request, status, reason, self.to_tag, headers, body, self.via)
        self.respond(status, response.to_bytes())

    def respond(self, status: int, wire: bytes) -> None:
        """Send a response, whoever made it."""
        machine = self._machine
        assert machine is not None, "respond() comes after accept()"
        owner = self._owner
        if status >= 200:
            owner.count_answer(self.key[-1], status)
        if not machine.sends(status, wire):
            self._carry_out(machine.feed(Respond(status, wire)))
            return
        flow = self._reply_flow
        if flow.connection:
            owner.send_response(wire, flow, self._sent_by)
        else:
            owner.transport.send(wire, flow, owner.response_failed)
        if status >= 200:
            if type(machine) is InviteServer:
                self._set_timer("L", 64 * owner.durations.t1)
            else:
                self._set_timer("J", 0.0 if machine.reliable else 64 * owner.durations.t1)

    def release_request(self) -> None:
        """Hold on to no more than what copies and responses need."""
        self.request = _NO_REQUEST

    def feed_copy(self) -> None:
        assert self._machine is not None
        effects = self._machine.feed(_COPY)
        if effects and type(effects[0]) is SendTrying:
            if self.request is not _NO_REQUEST:
                self.answer(100)
            return
        self._carry_out(effects)

    def feed_ack(self) -> bool:
        """@return: whether the ACK ends here; that for a 2xx is for our user (RFC 6026 section 7.1)."""
        if not isinstance(self._machine, InviteServer):
            return True
        effects = self._machine.feed(_ACK)
        self._carry_out(effects)
        return _PASS_ACK not in effects

    def drop(self) -> None:
        """Forget it unanswered (RFC 4320 section 4.2: silence is better than a late 408)."""
        self._forget()

    def timer_fired(self, name: str) -> None:
        assert self._machine is not None
        self._cancel_timer(name)
        self._carry_out(self._machine.feed(TimerFired(name)))

    def _carry_out(self, effects: Sequence[object]) -> None:
        owner = self._owner
        for effect in effects:
            kind = type(effect)  # mypy narrows nothing by it, hence what it ignores below
            if kind is SendResponse:
                owner.send_response(effect.wire, self._reply_flow, self._sent_by)  # type: ignore[attr-defined]
            elif kind is SetTimer:
                self._set_timer(effect.name, effect.delay)  # type: ignore[attr-defined]
            elif kind is CancelTimer:
                self._cancel_timer(effect.name)  # type: ignore[attr-defined]
            elif kind is Finished:
                self._forget()

    def _forget(self) -> None:
        self._owner.servers.pop(self.key, None)
        self._cancel_timers()
        self.user = None


class ClientTransaction(NamedTimers):
    """One request that we sent to one next hop, and who wants to hear of it."""

    __slots__ = ("_cancel_sent", "_machine", "_owner", "_user", "_user_branch", "flow", "key")

    def __init__(
        self,
        owner: TransactionService,
        key: ClientKey,
        machine: InviteClient | NonInviteClient,
        flow: Flow,
        user: IClientUser | None,
        user_branch: int,
    ) -> None:
        self._owner = owner
        self.key = key
        self._machine = machine
        self.flow = flow
        self._user = user
        self._user_branch = user_branch
        self._wheel = owner.wheel
        self._timer = self._more_timers = None
        self._cancel_sent = False

    def start(self) -> None:
        machine = self._machine
        if machine.reliable:
            self._carry_out(machine.start())
            return
        # the effects of start() over UDP
        name = "A" if type(machine) is InviteClient else "E"
        self._set_timer(name, self._owner.durations.t1)
        self._owner.transport.send(machine.wire, self.flow, self.feed_failure)

    def cancel(self) -> None:
        """Send the CANCEL of this INVITE over the same flow (9.1); once, and only while it is pending."""
        if self._cancel_sent or not isinstance(self._machine, InviteClient) or not self._machine.wire:
            return
        self._cancel_sent = True
        self._carry_out(self._machine.feed(CancelSent()))
        wire = build_cancel(self._machine.wire)
        self._owner.send_request(wire, "CANCEL", self.key[0], self.flow, None, 0)

    def give_up(self) -> None:
        """Nobody wants to hear of it any more; it still ends properly, an INVITE by CANCEL as soon as that may be sent (9.1)."""
        self._user = _Canceller(self) if isinstance(self._machine, InviteClient) else None
        if isinstance(self._machine, InviteClient) and self._machine.state is InviteState.PROCEEDING:
            self.cancel()

    def move_to(self, user: IClientUser, branch: int) -> None:
        """Somebody else hears of it from now on, as of that branch of his."""
        self._user, self._user_branch = user, branch

    def lose(self, error: TransportError) -> None:
        """Its next hop is gone: our user learns that now; should it be there all the same, a pending INVITE is cancelled."""
        if isinstance(self._machine, InviteClient) and self._machine.state is InviteState.PROCEEDING:
            user = self._user
            self.give_up()
            if user is not None:
                user.send_failed(self._user_branch, error)
        else:
            self.feed_failure(error)

    def feed_response(self, response: Response) -> None:
        machine, status = self._machine, response.status
        if not machine.passes(status):
            self._carry_out(machine.feed(ResponseReceived(response)))
            return
        timer = self._timer
        if timer is not None:  # A and B, or E and F
            if self._more_timers is None:
                self._timer = None
                timer.cancel()
            else:
                self._cancel_timers()
        user, owner = self._user, self._owner
        if type(machine) is NonInviteClient:
            self._user = None
            self._set_timer("K", 0.0 if machine.reliable else owner.durations.t4)
        elif status >= 200:
            self._set_timer("M", 64 * owner.durations.t1)
        if user is not None:
            user.response_received(self._user_branch, response)

    def feed_failure(self, error: TransportError) -> None:
        self._carry_out(self._machine.feed(SendFailed(error)))

    def timer_fired(self, name: str) -> None:
        self._cancel_timer(name)
        self._carry_out(self._machine.feed(TimerFired(name)))

    def _carry_out(self, effects: Sequence[object]) -> None:
        owner = self._owner
        for effect in effects:
            kind = type(effect)  # mypy narrows nothing by it, hence what it ignores below
            if kind is SendRequest:
                owner.transport.send(effect.wire, self.flow, self.feed_failure)  # type: ignore[attr-defined]
            elif kind is PassResponse:
                if self._user is not None:
                    self._user.response_received(self._user_branch, effect.response)  # type: ignore[attr-defined]
            elif kind is SetTimer:
                self._set_timer(effect.name, effect.delay)  # type: ignore[attr-defined]
            elif kind is CancelTimer:
                self._cancel_timer(effect.name)  # type: ignore[attr-defined]
            elif kind is Finished:
                self._forget()
            elif kind is PassTimeout:
                if self._user is not None:
                    self._user.timed_out(self._user_branch)
            elif kind is PassFailure and self._user is not None:
                self._user.send_failed(self._user_branch, effect.error)  # type: ignore[attr-defined]

    def _forget(self) -> None:
        self._owner.clients.pop(self.key, None)
        self._cancel_timers()
        self._user = None


@implementer(IClientUser)
class _Canceller:
    """Stands in for the user of an INVITE that was given up."""

    def __init__(self, client: ClientTransaction) -> None:
        self._client = client

    def response_received(self, branch: int, response: Response) -> None:
        if response.status < 200:
            self._client.cancel()

    def timed_out(self, branch: int) -> None: ...
    def send_failed(self, branch: int, error: TransportError) -> None: ...
