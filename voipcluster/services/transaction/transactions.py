"""
The transaction layer with its clock and transports: messages in, transactions matched, machines fed, effects carried out.

This module is on the path of every message; its figures are in C{bench/proxy.py}.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection
from functools import partial

from twisted.logger import Logger
from zope.interface import Interface, implementer

from voipcluster.address import DEFAULT_PORT, UDP, Flow, Hop, is_ip
from voipcluster.balance.feedback import Upstream
from voipcluster.errors import PeerError, TransportError
from voipcluster.net.sink import ISipSink
from voipcluster.net.timers import TimerWheel
from voipcluster.services.transaction.downstream import Downstreams, DownstreamTransaction
from voipcluster.services.transaction.feedback import FeedbackTransaction
from voipcluster.services.transaction.limiting import Limiting
from voipcluster.services.transaction.own_vias import OUR_VIA, OwnVias
from voipcluster.services.transaction.refusal_lines import RefusalLines
from voipcluster.services.transaction.refusals import Refusals
from voipcluster.services.transaction.resolving import Resolving
from voipcluster.services.transaction.return_path import ReturnPath
from voipcluster.services.transaction.runners import (
    ClientTransaction,
    IClientUser,
    ServerTransaction,
    response_flow,
)
from voipcluster.services.transaction.transport import TransportService
from voipcluster.services.transaction.unreadable import Unreadable, warning
from voipcluster.sip.limits import BUSY
from voipcluster.sip.message import (
    MAX_HEADERS,
    QUOTE,
    MalformedMessage,
    Request,
    Response,
    parse,
    plain_cseq,
)
from voipcluster.sip.outgoing import reply
from voipcluster.sip.proxy.validation import Refused
from voipcluster.sip.transaction.events import STANDARD, Durations
from voipcluster.sip.transaction.invite_client import InviteClient
from voipcluster.sip.transaction.matching import ClientKey, ServerKey, server_key
from voipcluster.sip.transaction.non_invite_client import NonInviteClient
from voipcluster.sip.values import Via

__all__ = [
    "ClientTransaction", "IClientUser", "ISipSink", "ITransactionUser", "ServerTransaction", "TransactionService",
    "response_flow",
]  # fmt: skip

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


@implementer(ISipSink)
class TransactionService:
    """
    Matches messages to transactions (RFC 3261 sections 17.1.3 and 17.2.3).

    @param limit: of server transactions; what comes then is refused with 503.
    @param most_headers: of one message; C{largest}: its octets.
    @ivar answered: how many final answers were given, by (method, status).
    @ivar taking_part: gives the upstream whose request it is when that says C{oc}; L{None}: it is not asked.
    @ivar resolving: looks up the names in Via, or L{None}: then a response is not sent to a name.
    """

    _log = Logger()

    def __init__(
        self,
        wheel: TimerWheel,
        secret: bytes,
        durations: Durations = STANDARD,
        limit: int = 100_000,
        limiting: Limiting | None = None,
        most_headers: int = MAX_HEADERS,
        largest: int = 65_535,
    ) -> None:
        self.wheel = wheel
        self.durations = durations
        self.limit = limit
        self.limiting = Limiting(wheel.seconds) if limiting is None else limiting
        self._shunned = self.limiting.shunned
        self._most_headers, self._largest = most_headers, largest
        self.servers: dict[ServerKey, ServerTransaction] = {}
        self.clients: dict[ClientKey, ClientTransaction] = {}
        self.answered: Counter[tuple[str, int]] = Counter()
        self.received: Counter[str] = Counter()
        self.malformed = 0
        self.too_many = 0
        self.stray_responses = 0
        self._secret = hashlib.blake2s(secret, person=b"to-tags", digest_size=32).digest()
        self.refusals = Refusals(wheel.seconds)
        self.refused: Callable[..., object] | None = None
        self.refusal_lines = RefusalLines(wheel.seconds)
        self._unreachable: set[Hop] = set()
        self.resolving: Resolving | None = None
        self.taking_part: Callable[[Request, Via, Flow], Upstream | None] | None = None
        self._guard: Callable[[bytes, Flow], None] | None = None
        self._overhearing: Callable[[bytes, Flow], None] | None = None
        self.transport: TransportService
        self._user: ITransactionUser
        self._vias, self._unreadable = OwnVias(self), Unreadable(self)
        self._own_vias = self._vias.begins

    def connect(self, transport: TransportService, user: ITransactionUser) -> None:
        """Say whom we send over, and who answers requests."""
        self.transport, self._user = transport, user

    def tag_for(self, key: ServerKey) -> str:
        text = "\n".join(key).encode("utf-8", "surrogateescape")
        return hashlib.blake2s(text, key=self._secret, digest_size=8).hexdigest()

    def count_answer(self, method: str, status: int) -> None:
        self.answered[method if method in _COUNTED else "other", status] += 1

    def __len__(self) -> int:
        return len(self.servers) + len(self.clients)

    def is_pending(self, key: ServerKey) -> bool:
        """Whether a request has no final response yet."""
        known = self.servers.get(key)
        return known is not None and bool(known.request.method)

    def guard(self, before: Callable[[bytes, Flow], None] | None) -> None:
        """Let somebody look at each message before L{bytes_received} does, or nobody any more; without cost then."""
        self._guard = before
        self._arrange()

    def overhear(self, told: Callable[[bytes, Flow], None] | None) -> None:
        """Tell somebody of each message before anybody reads it, or nobody any more; without cost then, too."""
        self._overhearing = told
        self._arrange()

    def _arrange(self) -> None:
        """Who takes what comes: with nobody in front of it, L{bytes_received} itself."""
        self.__dict__.pop("bytes_received", None)
        read = self._guard or self.bytes_received
        told = self._overhearing
        if told is not None:

            def take(data: bytes, flow: Flow) -> None:
                told(data, flow)
                read(data, flow)

            self.__dict__["bytes_received"] = take
        elif self._guard is not None:
            self.__dict__["bytes_received"] = read

    # -- ISipSink

    def bytes_received(self, data: bytes, flow: Flow) -> None:
        if self._shunned and self.limiting.shuns(data, flow):
            if flow.connection:
                self.transport.close(flow)
            return
        try:
            message = parse(data, self._most_headers)
            if len(data) > self._largest:
                raise MalformedMessage(
                    f"more than {self._largest} octets",
                    513,
                    message if isinstance(message, Request) else None,
                )
            if isinstance(message, Response):
                self._response(message)
            else:
                self._request(message, flow)
        except MalformedMessage as error:
            self._unreadable.came(error, flow)
        except PeerError as error:
            # no Via or CSeq that says which transaction it is
            request = message if isinstance(message, Request) else None
            self._unreadable.came(MalformedMessage(str(error), error.status_hint, request), flow)

    def framing_failed(self, head: bytes, flow: Flow, status_hint: int, reason: str) -> None:
        self._unreadable.head_came(head, flow, status_hint, reason)

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

    def towards(self, addresses: Collection[tuple[str, int]]) -> list[ClientTransaction]:
        """The client transactions whose next hop has one of these addresses."""
        return [client for client in self.clients.values() if client.flow.remote in addresses]

    # -- requests and responses

    def true_source(self, via: Via, flow: Flow) -> Via | None:
        host, port = flow.remote
        if via.host == host and (via.is_plain or (via.param("rport") is None and via.received is None)):
            return None
        return via.with_source(host, port)

    def _request(self, request: Request, flow: Flow) -> None:
        via = request.top_via
        key = server_key(request)
        known = self.servers.get(key)
        method = request.method
        limiting = self.limiting
        verdict = limiting.check(flow.remote, limiting.seconds())
        if verdict and not limiting.lets_in(
            verdict, request, flow, known is not None or self._is_cancel(request)
        ):
            self._turn_away(verdict, request, flow, key)
            return
        if known is not None:
            if method == "ACK":
                if not known.feed_ack():
                    self._user.ack_received(request, flow, self.true_source(via, flow))
            else:
                known.feed_copy()
            return
        params, remote = via.params, flow.remote
        if via.host == remote[0] and len(params) == 1 and params[0][0] == "branch":
            received = None  # as true_source() says it, without its call
        else:
            received = self.true_source(via, flow)
        self.received[method if method in _COUNTED else "other"] += 1
        if method == "ACK":
            self._user.ack_received(request, flow, received)
            return
        if len(params) > 1 and self.taking_part is not None:
            incoming = self.new_server(request, via, flow, received, key, self.taking_part)
        else:
            incoming = ServerTransaction(self, request, flow, received, key)
        if method == "CANCEL":
            self._cancel(incoming)
            return
        if self.refusals.some and key in self.refusals:
            incoming.refuse(503)
            return
        if len(self.servers) >= self.limit:
            self.too_many += 1
            limiting.notices.warn("transactions", "{limit} transactions in progress: 503", limit=self.limit)
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

    def new_server(
        self,
        request: Request,
        via: Via,
        flow: Flow,
        received: Via | None,
        key: ServerKey,
        taking_part: Callable[[Request, Via, Flow], Upstream | None] | None,
    ) -> ServerTransaction:
        upstream = None if taking_part is None else taking_part(request, via, flow)
        if upstream is not None:
            return FeedbackTransaction(self, request, flow, received, key, upstream)
        return ServerTransaction(self, request, flow, received, key)

    def _is_cancel(self, request: Request) -> bool:
        """Whether it is the CANCEL of an INVITE in progress."""
        return request.method == "CANCEL" and server_key(request, "INVITE") in self.servers

    def _turn_away(self, verdict: int, request: Request, flow: Flow, key: ServerKey) -> None:
        """A request beyond the limits: a user whom we know hears of it, a stranger does not, and is disconnected."""
        if verdict == BUSY:
            via = request.top_via
            received = self.true_source(via, flow)
            incoming = self.new_server(request, via, flow, received, key, self.taking_part)
            incoming.refuse(503, None, [("retry-after", str(self.limiting.retry_after(flow)))])
        elif flow.connection:
            self.transport.close(flow)

    def reject(self, incoming: ServerTransaction, error: PeerError) -> None:
        """Answer what a peer did wrong, with or without state."""
        headers = list(getattr(error, "headers", ()))
        self.refusal_lines.note(incoming.request, incoming.flow, error.status_hint, str(error))
        if error.status_hint in (400, 403):
            headers.append(("Warning", warning(error)))
        if incoming.key in self.servers:
            incoming.answer(error.status_hint, None, headers)
        else:
            about = error.about if isinstance(error, Refused) else {}
            incoming.refuse(error.status_hint, None, headers, why=str(error), about=about)

    def _cancel(self, incoming: ServerTransaction) -> None:
        invite = self.servers.get(server_key(incoming.request, "INVITE"))
        if invite is None or invite.flow.remote[0] != incoming.flow.remote[0]:
            incoming.refuse(481)
            return
        incoming.accept()
        # with the tag that our own response to the INVITE has, or would have (section 9.2)
        ok = reply(incoming.request, 200, None, invite.to_tag, received_via=incoming.via)
        incoming.respond(200, ok.to_bytes())
        self._user.cancel_received(invite)

    def _response(self, response: Response) -> None:
        layout, lines = response.layout, response.lines
        line = lines[layout.via] if layout.via >= 0 else b""
        ours = OUR_VIA.match(line)
        cseq = plain_cseq(lines[layout.cseq]) if layout.cseq >= 0 else None
        client: ClientTransaction | None
        if ours is not None and cseq is not None and ours[1] in self._own_vias and QUOTE not in line:
            # as we write it and nearly everybody CSeq: client_key() without its call, and nothing more to check
            client = self.clients.get((ours[2].decode(), cseq[1]))
        else:
            client = self._vias.client_of(response)
        if client is None:
            self.stray_responses += 1  # RFC 6026 section 8.9: dropped, 2xx to INVITE included
            return
        client.feed_response(response)

    def send_request(
        self,
        wire: bytes,
        method: str,
        branch: str,
        flow: Flow,
        user: IClientUser | None,
        user_branch: int,
        downstreams: Downstreams | None = None,
    ) -> ClientTransaction:
        """
        Send a request in a new client transaction.

        @param branch: that of its top Via; C{user}: an L{IClientUser} or L{None}, told with C{user_branch}.
        @param downstreams: who is told what becomes of it, when it offers C{oc}.
        """
        machine: InviteClient | NonInviteClient
        if method == "INVITE":
            machine = InviteClient(wire, flow.transport != UDP, self.durations)
        else:
            machine = NonInviteClient(wire, flow.transport != UDP, self.durations)
        if downstreams is None:
            client = ClientTransaction(self, (branch, method), machine, flow, user, user_branch)
        else:
            client = DownstreamTransaction(self, (branch, method), machine, flow, user, user_branch)
            client.downstreams = downstreams
        self.clients[client.key] = client
        client.start()
        return client

    def send_response(self, wire: bytes, flow: Flow, via: Via | None) -> None:
        """
        Send a response; when its connection is gone, over a new one to its source at the sent-by port, and when there is none,
        to wherever the sent-by leads (18.2.2).

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
                self.response_failed(error)
                return
            back = ReturnPath(self.transport, wire, via, flow, self.response_failed)
            self.transport.send(wire, flow, partial(self._not_reopened, back))
            return
        self.transport.send(wire, flow, self.response_failed)

    def _not_reopened(self, back: ReturnPath, error: TransportError) -> None:
        if self.resolving is None:
            self.response_failed(error)
        else:
            back.look_up(self.resolving)

    def response_failed(self, error: TransportError) -> None:
        """Note that a response did not leave."""
        # RFC 6026 section 6: the transaction lives on, the peer repeats its request
        self._log.debug("a response was not sent: {error}", error=str(error))


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
