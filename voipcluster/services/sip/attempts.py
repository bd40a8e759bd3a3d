"""
One branch to a target whose host is a name: looked up, then its servers tried one after the other (RFC 3263 section 4.3).

The response context above knows one branch; each server gets a client transaction, and so a branch of the Via, of its own.
CANCEL and the ACK for a failure are made by that transaction, and go to the same server (RFC 3261 sections 9.1, 17.1.1.3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.address import Flow
from voipcluster.errors import PeerError, TransportError
from voipcluster.services.sip.next_hop import tcp_first
from voipcluster.services.transaction.resolving import REFUSED, SILENT, UNAVAILABLE, Resolving
from voipcluster.services.transaction.runners import ClientTransaction, IClientUser
from voipcluster.sip.message import Response
from voipcluster.sip.resolution import Server
from voipcluster.sip.retry_after import retry_after
from voipcluster.sip.uri import SipUri

if TYPE_CHECKING:
    from voipcluster.net.timers import Timer, TimerWheel

Send = Callable[[IClientUser, int, Server], ClientTransaction | None]


def _nothing(user: IClientUser, attempt: int, server: Server) -> None:
    return None


@implementer(IClientUser)
class Attempts:
    """
    Stands where a client transaction stands for a branch to an address.

    @param user: told of the branch C{number} as if it were one client transaction.
    @param send: sends a copy to one server, for a user and a number of ours.
    @param wanted: whether the branch may still go to one more server.
    @param large: whether TCP is tried before UDP, where the URI leaves the choice (RFC 3261 section 18.1.1).
    @param patience: seconds of silence after which an INVITE goes to the next server, 0.0: Timer B says it.
    """

    _log = Logger()
    __slots__ = (
        "_cancelled", "_clients", "_heard", "_invite", "_large", "_number", "_over", "_patience", "_resolving", "_send",
        "_servers", "_timer", "_tried", "_user", "_wanted", "_wheel",
    )  # fmt: skip

    def __init__(
        self,
        user: IClientUser,
        number: int,
        invite: bool,
        send: Send,
        wanted: Callable[[], bool],
        resolving: Resolving,
        wheel: TimerWheel,
        large: bool = False,
        patience: float = 0.0,
    ) -> None:
        self._user, self._number, self._invite = user, number, invite
        self._send, self._wanted, self._resolving, self._wheel = send, wanted, resolving, wheel
        self._large, self._patience = large, patience
        self._servers: list[Server] = []
        self._tried: list[Server] = []
        self._clients: list[ClientTransaction | None] = []
        self._timer: Timer | None = None
        self._heard = False  # anything from the server of the last attempt
        self._cancelled = False
        self._over = False  # the branch has ended, and starts nothing more

    def begin(self, uri: SipUri, call_id: str) -> None:
        """Look the name up; the first copy is sent at once when the answers are known."""
        self._large = self._large and uri.param("transport") is None
        located = self._resolving.servers_of(uri, call_id)
        located.addCallbacks(self._located, self._not_located).addErrback(self._broken)

    def begin_at(self, server: Server) -> None:
        """The same with a server that is known."""
        self._located([server])

    # -- as a client transaction

    @property
    def flow(self) -> Flow | None:
        """Where the last copy went, if one did."""
        return next((client.flow for client in reversed(self._clients) if client is not None), None)

    def cancel(self) -> None:
        """Send CANCEL to the server that is being tried, when it has answered anything (9.1)."""
        self._cancelled = True
        if self._heard and self._clients and self._clients[-1] is not None:
            self._clients[-1].cancel()

    def move_to(self, user: IClientUser, number: int) -> None:
        """Somebody else hears of it from now on, as of that branch of his; it goes to no more servers then."""
        self._user, self._number = user, number
        self._servers = []
        self._stop_timer()

    def caller_gave_up(self) -> None:
        """The request is cancelled: nothing was sent yet, so nothing is waited for."""
        self._cancelled = True
        if not self._clients:
            self._end(TransportError("cancelled while its host was looked up"))

    def give_up(self) -> None:
        """Nobody wants to hear of it any more."""
        self._finish()
        for client in self._clients:
            if client is not None:
                client.give_up()

    # -- look-up

    def _located(self, servers: list[Server]) -> None:
        if not self._over:
            # where TCP was silent lately UDP is first: nobody waits for the same firewall each time
            self._servers = self._resolving.order(tcp_first(servers)) if self._large else servers
            self._try_next(TransportError("no server"))

    def _not_located(self, failure: Failure) -> None:
        if not self._over:
            error = failure.value
            self._end(error if isinstance(error, TransportError) else TransportError(repr(error)))

    def _broken(self, failure: Failure) -> None:
        """A fault of ours must not leave the branch without an end."""
        self._log.failure("a request to a name failed", failure=failure)
        if not self._over:
            self._end(TransportError("internal error"))

    # -- attempts

    def _try_next(self, error: TransportError) -> None:
        """Go to the next server; when there is none, the branch ends as the last attempt did."""
        while self._servers and not self._cancelled and self._wanted():
            server = self._servers.pop(0)
            self._heard = False
            self._tried.append(server)
            self._clients.append(None)
            try:
                client = self._send(self, len(self._clients) - 1, server)
            except PeerError as refused:
                error = refused if isinstance(refused, TransportError) else TransportError(str(refused))
                continue
            self._clients[-1] = client
            if self._invite and self._servers and self._patience:
                self._timer = self._wheel.start(self._patience, self._silent, len(self._clients) - 1)
            return
        self._end(error)

    def _silent(self, attempt: int) -> None:
        """An INVITE is answered with 100 within 200 ms (17.2.1): who says nothing for seconds is down, or might as well be."""
        self._timer = None
        if self._is_last(attempt) and not self._heard and not self._cancelled and self._wanted():
            self._resolving.failed(self._tried[attempt], SILENT)
            self._try_next(TransportError("no answer"))

    def _is_last(self, attempt: int) -> bool:
        return not self._over and attempt == len(self._clients) - 1

    def _more(self) -> bool:
        return bool(self._servers) and not self._cancelled and self._wanted()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _finish(self) -> None:
        """Start nothing more, and hold on to nothing that only that would need (the request, for 32 s)."""
        self._over = True
        self._servers, self._send = [], _nothing
        self._stop_timer()

    def _end(self, error: TransportError) -> None:
        self._finish()
        self._user.send_failed(self._number, error)

    # -- IClientUser

    def response_received(self, attempt: int, response: Response) -> None:
        status, client, server = response.status, self._clients[attempt], self._tried[attempt]
        if self._over or attempt != len(self._clients) - 1:
            self._late(client, response)
            return
        self._stop_timer()
        self._heard = True
        if status == 503:
            self._resolving.failed(server, UNAVAILABLE, retry_after(response))
            if self._more():
                self._try_next(TransportError("503"))
                return
        else:
            self._resolving.answered(server.hop)
        if status >= 200:
            self._finish()
        self._user.response_received(self._number, response)
        if status < 200 and self._cancelled and client is not None:
            client.cancel()  # the caller's CANCEL had to wait for this (9.1); no more than one is sent

    def _late(self, client: ClientTransaction | None, response: Response) -> None:
        """
        A server speaks that was given up as silent, or where another one has brought the end: it is to stop. If it has a call
        already, the caller decides; and whatever it is that ends the branch, who was asked last is to stop (16.7 steps 5 and 10).
        """
        if response.status < 200:
            if client is not None:
                client.cancel()
        elif (response.status < 300 and self._invite) or response.status >= 600:
            last, ringing = self._clients[-1], self._heard and not self._over
            self._finish()
            if last is not None and last is not client and ringing:
                last.cancel()  # else when it speaks (9.1)
            self._user.response_received(self._number, response)

    def timed_out(self, attempt: int) -> None:
        if not self._is_last(attempt):
            return
        self._stop_timer()
        if not self._heard:
            self._resolving.failed(self._tried[attempt], SILENT)
            if self._more():
                self._try_next(TransportError("no answer"))
                return
        self._finish()
        self._user.timed_out(self._number)

    def send_failed(self, attempt: int, error: TransportError) -> None:
        if not self._is_last(attempt):
            return
        self._stop_timer()
        self._resolving.failed(self._tried[attempt], REFUSED)
        self._try_next(error)
