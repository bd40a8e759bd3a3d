"""
The transaction layer with its clock and transports: messages in, transactions matched, machines fed, effects carried out.

This module is on the path of every message; its figures are in C{bench/proxy.py}.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial

from twisted.logger import Logger
from zope.interface import Interface, implementer

from voipcluster.address import DEFAULT_PORT, Flow, Hop, is_ip
from voipcluster.errors import ParseError, PeerError, TransportError
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.net.sink import ISipSink
from voipcluster.net.timers import Timer, TimerWheel
from voipcluster.services.transport import TransportService
from voipcluster.sip.message import MalformedMessage, Request, Response, parse, reply, trying
from voipcluster.sip.transaction.events import (
    STANDARD,
    AckReceived,
    CancelSent,
    Durations,
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
)
from voipcluster.sip.transaction.hop_by_hop import build_cancel
from voipcluster.sip.transaction.invite_client import InviteClient
from voipcluster.sip.transaction.invite_client import State as InviteState
from voipcluster.sip.transaction.invite_server import InviteServer
from voipcluster.sip.transaction.matching import ClientKey, ServerKey, client_key, server_key
from voipcluster.sip.transaction.non_invite_client import NonInviteClient
from voipcluster.sip.transaction.non_invite_server import NonInviteServer
from voipcluster.sip.values import Via

_NO_REQUEST = Request("", "", b"", [], [], b"")
_COPY = RequestReceived()
_ACK = AckReceived()
_PASS_ACK = PassAck()
_UNREACHABLE_SWEEP = (
    0.01  # seconds in which ICMP errors are collected before transactions are searched for them
)


class ITransactionUser(Interface):
    """The core above the transactions (RFC 3261 section 5, "TU")."""

    def request_received(incoming: ServerTransaction) -> None:
        """A new request; it is no transaction yet: C{incoming.accept()} makes it one, C{refuse()} answers it statelessly."""

    def ack_received(request: Request, flow: Flow, via: Via | None) -> None:
        """An ACK that matches no transaction: one for a 2xx, to be routed (17.1.1.3), or a stray."""

    def cancel_received(invite: ServerTransaction) -> None:
        """The INVITE of this transaction is to be cancelled; the CANCEL itself was answered (16.10)."""


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
    if flow.reliable:
        return flow
    maddr = via.param("maddr")
    if maddr is not None and is_ip(maddr):
        return flow._replace(remote=(maddr, via.port or DEFAULT_PORT["UDP"]))
    if via.rport is not None:
        return flow
    port = via.port or DEFAULT_PORT["UDP"]
    return flow if port == flow.remote[1] else flow._replace(remote=(flow.remote[0], port))


class ServerTransaction:
    """
    One request and what was answered.

    @ivar request: until the final response is sent, then it is let go.
    @ivar flow: where it came from; C{via}: its top Via with the true source, or L{None} when that says the truth.
    @ivar user: whoever answers it, for its own use.
    """

    __slots__ = (
        "_machine",
        "_owner",
        "_reply_flow",
        "_sent_by",
        "_timers",
        "flow",
        "key",
        "received_at",
        "request",
        "user",
        "via",
    )

    def __init__(
        self, owner: TransactionService, request: Request, flow: Flow, via: Via | None, key: ServerKey
    ) -> None:
        self._owner = owner
        self.request = request
        self.flow = flow
        self.via = via
        self.key = key
        self.user: object | None = None
        self._reply_flow = response_flow(request.top_via, via, flow)
        # a connection may be gone when the response comes: then the Via says where to (18.2.2)
        self._sent_by = (via or request.top_via) if flow.connection else None
        self._machine: InviteServer | NonInviteServer | None = None
        self._timers: dict[str, Timer] | None = None

    @property
    def to_tag(self) -> str:
        """A tag of ours that is the same for each copy of the request, also without state (8.2.6.2, 8.2.7)."""
        return self._owner.tag_for(self.key)

    def accept(self) -> None:
        """Keep state from now on: copies are answered, responses repeated."""
        reliable = self.flow.reliable
        if self.request.method == "INVITE":
            self._machine = InviteServer(reliable, self._owner.durations)
        else:
            self._machine = NonInviteServer(reliable, self._owner.durations)
        self._owner.servers[self.key] = self

    def refuse(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        """Answer without state (8.2.7); only before L{accept}."""
        assert self._machine is None, "refuse() comes before accept()"
        if self.request.method == "ACK":
            return
        response = reply(self.request, status, reason, self.to_tag, headers, body, self.via)
        self._owner.count_answer(self.request.method, status)
        self._owner.send_response(response.to_bytes(), self._reply_flow, self._sent_by)

    def answer(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        """Send a response of our own."""
        if status == 100:
            self.respond(100, trying(self.request, self.via))
            return
        response = reply(self.request, status, reason, self.to_tag, headers, body, self.via)
        self.respond(status, response.to_bytes())

    def respond(self, status: int, wire: bytes) -> None:
        """Send a response, whoever made it."""
        machine = self._machine
        assert machine is not None, "respond() comes after accept()"
        if status >= 200:
            self._owner.count_answer(self.key[-1], status)
        self._carry_out(machine.feed(Respond(status, wire)))

    def release_request(self) -> None:
        """Hold on to no more than what copies and responses need."""
        self.request = _NO_REQUEST

    def feed_copy(self) -> None:
        assert self._machine is not None
        self._carry_out(self._machine.feed(_COPY))

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

    def _set_timer(self, name: str, delay: float) -> None:
        timers = self._timers
        if timers is None:
            timers = self._timers = {}
        elif name in timers:
            timers[name].cancel()
        timers[name] = self._owner.wheel.start(delay, self._fire, name)

    def _fire(self, name: str) -> None:
        assert self._machine is not None
        if self._timers:
            self._timers.pop(name, None)
        self._carry_out(self._machine.feed(TimerFired(name)))

    def _carry_out(self, effects: Sequence[object]) -> None:
        owner = self._owner
        for effect in effects:
            kind = type(effect)
            if kind is SendResponse:
                owner.send_response(effect.wire, self._reply_flow, self._sent_by)  # type: ignore[attr-defined]
            elif kind is SetTimer:
                self._set_timer(effect.name, effect.delay)  # type: ignore[attr-defined]
            elif kind is CancelTimer:
                timer = self._timers.pop(effect.name, None) if self._timers else None  # type: ignore[attr-defined]
                if timer is not None:
                    timer.cancel()
            elif kind is Finished:
                self._forget()

    def _forget(self) -> None:
        self._owner.servers.pop(self.key, None)
        for timer in (self._timers or {}).values():
            timer.cancel()
        self._timers = None
        self.user = None


class ClientTransaction:
    """One request that we sent to one next hop, and who wants to hear of it."""

    __slots__ = ("_cancel_sent", "_machine", "_owner", "_timers", "_user", "_user_branch", "flow", "key")

    def __init__(
        self,
        owner: TransactionService,
        key: ClientKey,
        machine: InviteClient | NonInviteClient,
        flow: Flow,
        user: object | None,
        user_branch: int,
    ) -> None:
        self._owner = owner
        self.key = key
        self._machine = machine
        self.flow = flow
        self._user = user
        self._user_branch = user_branch
        self._timers: dict[str, Timer] | None = None
        self._cancel_sent = False

    def start(self) -> None:
        self._carry_out(self._machine.start())

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

    def feed_response(self, response: Response) -> None:
        self._carry_out(self._machine.feed(ResponseReceived(response)))

    def feed_failure(self, error: TransportError) -> None:
        self._carry_out(self._machine.feed(SendFailed(error)))

    def _set_timer(self, name: str, delay: float) -> None:
        timers = self._timers
        if timers is None:
            timers = self._timers = {}
        elif name in timers:
            timers[name].cancel()
        timers[name] = self._owner.wheel.start(delay, self._fire, name)

    def _fire(self, name: str) -> None:
        if self._timers:
            self._timers.pop(name, None)
        self._carry_out(self._machine.feed(TimerFired(name)))

    def _carry_out(self, effects: Sequence[object]) -> None:
        owner = self._owner
        for effect in effects:
            kind = type(effect)
            if kind is SendRequest:
                owner.transport.send(effect.wire, self.flow, self.feed_failure)  # type: ignore[attr-defined]
            elif kind is PassResponse:
                if self._user is not None:
                    self._user.response_received(self._user_branch, effect.response)  # type: ignore[attr-defined]
            elif kind is SetTimer:
                self._set_timer(effect.name, effect.delay)  # type: ignore[attr-defined]
            elif kind is CancelTimer:
                timer = self._timers.pop(effect.name, None) if self._timers else None  # type: ignore[attr-defined]
                if timer is not None:
                    timer.cancel()
            elif kind is Finished:
                self._forget()
            elif kind is PassTimeout:
                if self._user is not None:
                    self._user.timed_out(self._user_branch)  # type: ignore[attr-defined]
            elif kind is PassFailure and self._user is not None:
                self._user.send_failed(self._user_branch, effect.error)  # type: ignore[attr-defined]

    def _forget(self) -> None:
        self._owner.clients.pop(self.key, None)
        for timer in (self._timers or {}).values():
            timer.cancel()
        self._timers = None
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


@implementer(ISipSink)
class TransactionService:
    """
    Matches messages to transactions (RFC 3261 sections 17.1.3 and 17.2.3).

    @ivar answered: how many final answers were given, by (method, status).
    """

    _log = Logger()

    def __init__(
        self, wheel: TimerWheel, secret: bytes, durations: Durations = STANDARD, limit: int = 100_000
    ) -> None:
        self.wheel = wheel
        self.durations = durations
        self.limit = limit
        self.servers: dict[ServerKey, ServerTransaction] = {}
        self.clients: dict[ClientKey, ClientTransaction] = {}
        self.answered: Counter[tuple[str, int]] = Counter()
        self.received: Counter[str] = Counter()
        self.malformed = 0
        self.stray_responses = 0
        self._secret = hashlib.blake2s(secret, person=b"to-tags", digest_size=32).digest()
        self._unreachable: set[Hop] = set()
        self.transport: TransportService
        self._user: ITransactionUser

    def connect(self, transport: TransportService, user: ITransactionUser) -> None:
        """Say whom we send over, and who answers requests."""
        self.transport, self._user = transport, user

    def tag_for(self, key: ServerKey) -> str:
        text = "\n".join(key).encode("utf-8", "surrogateescape")
        return hashlib.blake2s(text, key=self._secret, digest_size=8).hexdigest()

    def count_answer(self, method: str, status: int) -> None:
        self.answered[method, status] += 1

    def __len__(self) -> int:
        return len(self.servers) + len(self.clients)

    # -- ISipSink

    def bytes_received(self, data: bytes, flow: Flow) -> None:
        try:
            message = parse(data)
            if isinstance(message, Response):
                self._response(message)
            else:
                self._request(message, flow)
        except MalformedMessage as error:
            self._malformed(error, flow)
        except PeerError:
            self.malformed += 1  # no Via or CSeq that could be answered: dropped (RFC 3261 section 16.3)

    def framing_failed(self, head: bytes, flow: Flow, status_hint: int, reason: str) -> None:
        try:
            message = parse(head)
        except MalformedMessage as error:
            if error.request is not None:
                self._malformed(MalformedMessage(reason, status_hint, error.request), flow)
            return
        except PeerError:
            return
        if isinstance(message, Request):
            self._malformed(MalformedMessage(reason, status_hint, message), flow)

    def connection_lost(self, flow: Flow) -> None:
        error = TransportError(f"the connection to {flow} is gone")
        hop = flow.hop
        # what was sent before the connection was open has no number in its flow
        numbers = (0, flow.connection)
        for client in [
            c for c in self.clients.values() if c.flow.hop == hop and c.flow.connection in numbers
        ]:
            client.feed_failure(error)
        lost = getattr(self._user, "connection_lost", None)
        if lost is not None:
            lost(flow)

    def unreachable(self, hop: Hop) -> None:
        if not self._unreachable:
            self.wheel.start(_UNREACHABLE_SWEEP, self._sweep_unreachable)
        self._unreachable.add(hop)

    def _sweep_unreachable(self) -> None:
        hops, self._unreachable = self._unreachable, set()
        for client in [c for c in self.clients.values() if c.flow.hop in hops]:
            client.feed_failure(TransportError(f"nobody listens at {client.flow}"))

    # -- requests and responses

    def _malformed(self, error: MalformedMessage, flow: Flow) -> None:
        self.malformed += 1
        request = error.request
        if (
            request is None
            or request.method == "ACK"
            or not {"from", "to", "call-id", "cseq"} <= set(request.keys)
        ):
            return
        try:
            incoming = ServerTransaction(
                self, request, flow, self._true_source(request.top_via, flow), server_key(request)
            )
        except PeerError:
            return
        incoming.refuse(error.status_hint, None, (("Warning", _warning(error)),))

    def _true_source(self, via: Via, flow: Flow) -> Via | None:
        host, port = flow.remote
        if via.host == host and via.param("rport") is None and via.received is None:
            return None
        return via.with_source(host, port)

    def _request(self, request: Request, flow: Flow) -> None:
        via = request.top_via
        key = server_key(request)
        known = self.servers.get(key)
        method = request.method
        if known is not None:
            if method == "ACK":
                if not known.feed_ack():
                    self._user.ack_received(request, flow, self._true_source(via, flow))
            else:
                known.feed_copy()
            return
        received = self._true_source(via, flow)
        self.received[method if method in _COUNTED else "other"] += 1
        if method == "ACK":
            self._user.ack_received(request, flow, received)
            return
        incoming = ServerTransaction(self, request, flow, received, key)
        if method == "CANCEL":
            self._cancel(incoming)
            return
        if len(self.servers) >= self.limit:
            incoming.refuse(503)
            return
        try:
            self._user.request_received(incoming)
        except PeerError as error:
            self.reject(incoming, error)
        except Exception:
            # a fault of ours must not leave the caller, and the transaction, without an end
            self._log.failure("{method} of call {call} failed", method=method, call=request.call_id)
            self.reject(incoming, PeerError("internal error", 500))

    def reject(self, incoming: ServerTransaction, error: PeerError) -> None:
        """Answer what a peer did wrong, with or without state."""
        headers = list(getattr(error, "headers", ()))
        if error.status_hint in (400, 403):
            headers.append(("Warning", _warning(error)))
        if incoming.key in self.servers:
            incoming.answer(error.status_hint, None, headers)
        else:
            incoming.refuse(error.status_hint, None, headers)

    def _cancel(self, incoming: ServerTransaction) -> None:
        invite = self.servers.get(server_key(incoming.request, "INVITE"))
        if invite is None or invite.flow.remote[0] != incoming.flow.remote[0]:
            incoming.refuse(481)
            return
        incoming.accept()
        incoming.answer(200)
        self._user.cancel_received(invite)

    def _response(self, response: Response) -> None:
        try:
            client = self.clients.get(client_key(response))
        except ParseError:
            client = None
        if client is None:
            self.stray_responses += 1  # RFC 6026 section 8.9: dropped, 2xx to INVITE included
            return
        client.feed_response(response)

    def send_request(
        self, wire: bytes, method: str, branch: str, flow: Flow, user: object | None, user_branch: int
    ) -> ClientTransaction:
        """
        Send a request in a new client transaction.

        @param branch: that of its top Via; C{user}: an L{IClientUser} or L{None}, told with C{user_branch}.
        """
        machine: InviteClient | NonInviteClient
        if method == "INVITE":
            machine = InviteClient(wire, flow.reliable, self.durations)
        else:
            machine = NonInviteClient(wire, flow.reliable, self.durations)
        client = ClientTransaction(self, (branch, method), machine, flow, user, user_branch)
        self.clients[client.key] = client
        client.start()
        return client

    def send_response(self, wire: bytes, flow: Flow, via: Via | None) -> None:
        """
        Send a response; when its connection is gone, over a new one to the sent-by address (18.2.2).

        @param via: the top Via of the request with the true source; only looked at for a connection.
        """
        if flow.connection and not self.transport.is_alive(flow):
            host = "" if via is None else via.received or via.host
            if via is None or not is_ip(host):
                return
            hop = Hop(flow.transport, host, via.port or DEFAULT_PORT.get(flow.transport, 5060))
            try:
                flow = self.transport.flow_to(hop, flow.local)
            except TransportError as error:
                self._response_failed(flow, error)
                return
        self.transport.send(wire, flow, partial(self._response_failed, flow))

    def _response_failed(self, flow: Flow, error: TransportError) -> None:
        # RFC 6026 section 6: the transaction lives on, the peer repeats its request
        self._log.debug("a response to {flow} was not sent: {error}", flow=str(flow), error=str(error))


_COUNTED = frozenset(
    [
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "REGISTER",
        "OPTIONS",
        "MESSAGE",
        "SUBSCRIBE",
        "NOTIFY",
        "PUBLISH",
        "REFER",
        "UPDATE",
        "PRACK",
        "INFO",
    ]
)


def _warning(error: PeerError) -> str:
    """A Warning value that says what was wrong (20.43, code 399); only our own words and safe characters."""
    text = "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in str(error))[:120]
    return f'399 voipcluster "{text}"'
