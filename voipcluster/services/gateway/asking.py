"""
A request of this node's own, outside of dialogs: to the servers of a URI, until one of them has answered (RFC 3263 section 4.3).

The proxy's way for that, L{voipcluster.services.sip.attempts}, brings copies of what somebody else has asked. Here nobody waits
upstream: a server that is silent for a while has the next one asked beside it, and whoever answers first has answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.address import Flow
from voipcluster.errors import ParseError, TransportError
from voipcluster.services.sip.next_hop import NameToResolve, hop_of
from voipcluster.services.transaction.resolving import REFUSED, SILENT, UNAVAILABLE
from voipcluster.services.transaction.runners import ClientTransaction, IClientUser
from voipcluster.sip.message import Request, Response
from voipcluster.sip.resolution import Server
from voipcluster.sip.uri import SipUri

if TYPE_CHECKING:
    from voipcluster.net.timers import Timer
    from voipcluster.services.sip.core import SipCore

_GIVEN_UP = TransportError("given up")

Make = Callable[[Flow, str], Request]
"""Gives the request for the server at the end of a flow; the text is the value of its Via."""

Done = Callable[[Response | None, str], object]
"""Told once: the final response, or L{None} and why there is none."""


@implementer(IClientUser)
class Asking:
    """
    @param method: of the request that C{make} makes, not INVITE.
    @param patience: seconds of silence of one server after which the next one is asked, too.
    @ivar flow: over which the latest request went.
    """

    _log = Logger()

    def __init__(self, core: SipCore, method: str, make: Make, patience: float, done: Done) -> None:
        self._core, self._method, self._make, self._patience = core, method, make, patience
        self._done: Done | None = done
        self._servers: list[Server] = []
        self._tried: list[Server | None] = []
        self._clients: list[ClientTransaction | None] = []
        self._open = 0  # attempts that may be answered yet
        self._refusal: Response | None = None  # the 503 that counts when nobody says more
        self._timer: Timer | None = None
        self.flow: Flow | None = None

    def begin(self, uri: SipUri, call_id: str) -> None:
        """
        Find the servers and ask the first one.

        @param uri: whose host leads to them; C{call_id}: requests with the same one go to the same server.
        """
        try:
            hop = hop_of(uri)
        except NameToResolve:
            resolving = self._core.resolving
            if resolving is None:
                self._end(None, f"{uri.host} is a name, and no names are looked up")
                return
            located = resolving.servers_of(uri, call_id)
            located.addCallbacks(self._located, self._not_located).addErrback(self._broken)
        else:
            self._located([Server(hop, uri.host)])

    def begin_over(self, flow: Flow) -> None:
        """Ask whoever is at the end of a flow, and nobody else."""
        try:
            self._ask(flow, None)
        except (TransportError, ParseError) as error:
            self._end(None, str(error))

    def give_up(self) -> None:
        """Nobody wants to hear of it any more."""
        self._done = None
        self._close()

    def _located(self, servers: list[Server]) -> None:
        if self._done is not None:
            self._servers = list(servers)
            self._next("no server")

    def _not_located(self, failure: Failure) -> None:
        self._end(None, failure.getErrorMessage())

    def _broken(self, failure: Failure) -> None:
        self._log.failure("a request of our own failed", failure=failure)
        self._end(None, "internal error")

    def _next(self, why: str) -> None:
        """Ask the next server; when there is none and nobody is waited for, that was it."""
        self._stop_timer()
        core = self._core
        while self._servers and self._done is not None:
            server = self._servers.pop(0)
            try:
                number = self._ask(core.flow_to_server(server), server)
            except (TransportError, ParseError) as error:
                why = str(error)
                continue
            if self._servers:
                self._timer = core.wheel.start(self._patience, self._silent, number)
            return
        if not self._open:
            self._end(self._refusal, why)

    def _ask(self, flow: Flow, server: Server | None) -> int:
        """@raise TransportError: there is no way; L{ParseError}: nothing to send."""
        core = self._core
        branch = core.new_branch()
        via = f"SIP/2.0/{flow.transport} {core.sent_by(flow)};branch={branch};rport"
        wire = self._make(flow, via).to_bytes()
        self.flow = flow
        number = len(self._tried)
        self._tried.append(server)
        self._clients.append(None)
        self._open += 1
        self._clients[number] = core.transactions.send_request(wire, self._method, branch, flow, self, number)
        return number

    def _silent(self, number: int) -> None:
        self._timer = None
        self._failed(number, SILENT)
        self._next("no answer")

    def _failed(self, number: int, why: str) -> None:
        server = self._tried[number]
        if self._core.resolving is not None and server is not None:
            self._core.resolving.failed(server, why)

    def _end(self, response: Response | None, why: str) -> None:
        done, self._done = self._done, None
        self._close()
        if done is not None:
            done(response, why)

    def _close(self) -> None:
        self._stop_timer()
        self._servers = []
        for client in self._clients:
            if client is not None:
                client.give_up()
                client.feed_failure(
                    _GIVEN_UP
                )  # no more copies to who is silent, in 32 s they would be eleven

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # -- IClientUser

    def response_received(self, branch: int, response: Response) -> None:
        if response.status < 200 or self._done is None:
            return
        resolving = self._core.resolving
        if response.status != 503:
            server = self._tried[branch]
            if resolving is not None and server is not None:
                resolving.answered(server.hop)
            self._end(response, "")
            return
        self._failed(branch, UNAVAILABLE)
        self._refusal = response
        self._over("503")

    def timed_out(self, branch: int) -> None:
        self._failed(branch, SILENT)
        self._over("no answer")

    def send_failed(self, branch: int, error: TransportError) -> None:
        self._failed(branch, REFUSED)
        self._over(str(error))

    def _over(self, why: str) -> None:
        """Nothing more comes of one attempt."""
        self._open -= 1
        if self._done is not None:
            self._next(why)
