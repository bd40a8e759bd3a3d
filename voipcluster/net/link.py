"""
One connection of the cluster link: Perspective Broker with nothing in it but one object, one method and plain bytes.

Each message is C{root.message(kind, payload)}, where C{root} is bound to the node that the peer's certificate names. C{payload}
is an envelope in JSON: one string, so that it costs banana a handful of tokens whatever it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from twisted.internet.defer import Deferred, TimeoutError, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.spread import jelly, pb

from voipcluster.errors import PeerError, VoipclusterError
from voipcluster.net.certificates import Certified
from voipcluster.net.envelope import Body, Ordering, open_envelope, pack
from voipcluster.net.guard import BananaGuard

Receive = Callable[[Certified, str, Body], "Body | Deferred[Body | None] | None"]
"""Takes a checked peer, the kind of message and its body; gives the body of the answer. L{PeerError} is told to the peer."""

MAX_IN_PROGRESS = 64  # requests of one peer that wait for our answer, and ours that wait for theirs
MAX_UNREAD = 64  # answers written for a peer that does not read
CALL_TIMEOUT = 5.0  # seconds


class LinkSecurity(jelly.SecurityOptions):
    """
    Basic types only; in particular no decimal (its exponent is free), no instance, class, module or function.

    Jelly asks one object about what is received, under jelly's names, and what is sent, under Python's. A received C{builtins.x}
    has no reader in jelly and falls to L{isModuleAllowed}.
    """

    def __init__(self) -> None:
        super().__init__()
        received = ("None", "boolean", "unicode", "dictionary", "list", "tuple")
        sent = [
            f"builtins.{kind.__name__}"
            for kind in (type(None), bool, int, float, str, bytes, dict, list, tuple)
        ]
        self.allowedTypes = {name.encode(): 1 for name in (*received, *sent)}

    def isTypeAllowed(self, typeName: bytes | str) -> bool:
        """Unlike the base class, a name with a dot is not allowed either."""
        return (typeName.encode() if isinstance(typeName, str) else typeName) in self.allowedTypes

    def isModuleAllowed(self, moduleName: object) -> bool:
        return False

    def isClassAllowed(self, klass: object) -> bool:
        return False


SECURITY = LinkSecurity()
_log = Logger()


class LinkBroker(pb.Broker):
    """
    A broker behind a L{BananaGuard}. It serves C{message} of its one object, or nothing; anything else closes the connection.

    @param serve: takes kind and payload of a call and gives the answer's payload; L{None} on the side that only calls.
    @param on_ready: called when both sides speak PB.
    @param on_lost: called once, with the reason.
    @param idle: seconds without a whole message after which the connection is closed; 0 for never.
    """

    _breach: str | None = None
    _timer: IDelayedCall | None = None
    waitingForAnswers: Any

    def __init__(
        self,
        clock: IReactorTime,
        serve: Callable[[str, bytes], Deferred[bytes]] | None,
        on_ready: Callable[[LinkBroker], None],
        on_lost: Callable[[LinkBroker, str], None],
        idle: float = 0.0,
    ) -> None:
        super().__init__(isClient=0 if serve else 1, security=SECURITY)
        self._clock, self._serve, self._on_ready, self._on_lost, self._idle = (
            clock,
            serve,
            on_ready,
            on_lost,
            idle,
        )
        self._guard = BananaGuard()
        self._in_progress = self._unread = 0
        self._reads = True
        self._heard = clock.seconds()
        self._commands = {b"version", b"message"} if serve else {b"version", b"answer"}

    def connectionMade(self) -> None:
        super().connectionMade()
        self._heard = self._clock.seconds()
        assert self.transport is not None
        self.transport.registerProducer(self, True)  # type: ignore[attr-defined]  # of a TCP or TLS transport
        if self._idle:
            self._timer = self._clock.callLater(self._idle, self._check_idle)

    def _check_idle(self) -> None:
        left = self._heard + self._idle - self._clock.seconds()
        if left > 0:
            self._timer = self._clock.callLater(left, self._check_idle)
            return
        self._timer = None
        self.abort(f"nothing heard for {self._idle:g} s")

    def pauseProducing(self) -> None:
        self._reads = False

    def resumeProducing(self) -> None:
        self._reads, self._unread = True, 0

    def abort(self, reason: str) -> None:
        """Close at once, without waiting for what is not sent yet."""
        if self._breach is None:
            self._breach = reason
            assert self.transport is not None
            self.transport.abortConnection()  # type: ignore[attr-defined]  # of a TCP or TLS transport

    def dataReceived(self, chunk: bytes) -> None:
        if self._breach is not None:
            return
        now = self._clock.seconds()
        try:
            for expression in self._guard.feed(chunk, now):
                self._heard = now
                super().dataReceived(expression)
                if self._breach is not None or self.disconnected:
                    return
        except VoipclusterError as error:
            self.abort(str(error))
        except (
            Exception
        ) as error:  # what banana and jelly raise on purpose and by accident; never one of our receivers
            self.abort(f"breaks the protocol: {type(error).__name__}")

    def connectionReady(self) -> None:
        self.sendCall(b"version", self.version)
        self._on_ready(self)

    def expressionReceived(self, sexp: object) -> None:
        if not isinstance(sexp, list) or not sexp or sexp[0] not in self._commands:
            raise PeerError("calls what is not there")
        super().expressionReceived(sexp)

    def proto_message(
        self,
        requestID: object,
        objectID: object,
        message: object,
        answerRequired: object,
        netArgs: object,
        netKw: object,
    ) -> None:
        arguments = self.unserialize(netArgs)
        if objectID != b"root" or message != b"message" or self.unserialize(netKw) != {}:
            raise PeerError("calls what is not there", 403)
        match requestID, arguments:
            case int(), (str(kind), bytes(payload)):
                pass
            case _:
                raise PeerError("calls with wrong arguments")
        if self._in_progress >= MAX_IN_PROGRESS:
            raise PeerError(f"has more than {MAX_IN_PROGRESS} requests in progress", 503)
        assert self._serve is not None, "the commands of a calling side hold no message"
        self._in_progress += 1
        answer = self._serve(kind, payload)
        answer.addCallbacks(self._send_answer, self._fail_answer, callbackArgs=(requestID,))

    def proto_answer(self, requestID: object, netResult: object) -> None:
        if not isinstance(netResult, bytes):  # here, because PB would forget the call first and fail then
            raise PeerError("its answer is not bytes")
        super().proto_answer(requestID, netResult)

    def _send_answer(self, payload: bytes, request: int) -> None:
        self._in_progress -= 1
        if not self._reads:
            self._unread += 1
            if self._unread > MAX_UNREAD:
                self.abort("does not read its answers")
        if not self.disconnected and self._breach is None:
            self.sendCall(b"answer", request, payload)

    def _fail_answer(self, failure: Failure) -> None:
        self._in_progress -= 1
        if not isinstance(failure.value, PeerError):
            _log.failure("a message of the cluster link could not be answered", failure=failure)
        self.abort(failure.getErrorMessage())

    def call(self, kind: str, payload: bytes, timeout: float = CALL_TIMEOUT) -> Deferred[bytes]:
        """
        Call the peer's object.

        @return: the payload of the answer; fails with L{PeerError} when the link is lost, full, or there is no answer in time,
            and in the last case the link is closed.
        """
        if self.disconnected or self._breach is not None or len(self.waitingForAnswers) >= MAX_IN_PROGRESS:
            return fail(PeerError("the link is down or busy", 503))
        root = self.remoteForName("root")
        called: Deferred[bytes] = root.callRemote("message", kind, payload)
        called.addTimeout(timeout, self._clock)

        def failed(failure: Failure) -> NoReturn:
            if isinstance(failure.value, TimeoutError):
                self.abort(f"no answer to {kind!r} within {timeout:g} s")
            raise PeerError(self._breach or "the link was lost", 503) from None

        return called.addErrback(failed)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Protocol has a default for it, Broker has none
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connectionLost(reason)
        self._on_lost(self, self._breach or reason.getErrorMessage())


def serve_with(
    peer: Certified, ordering: Ordering, receive: Receive, dropped: Callable[[str, str], None]
) -> Callable[[str, bytes], Deferred[bytes]]:
    """
    Bind what one connection serves to the node that its certificate names.

    @param dropped: told node and reason for each message that is dropped as old.
    """

    def refused(failure: Failure) -> bytes:
        if isinstance(failure.value, VoipclusterError):
            return pack({"error": str(failure.value)})
        _log.failure("a message of node {node!r} could not be served", failure=failure, node=peer.name)
        return pack({"error": "internal error"})

    def serve(kind: str, payload: bytes) -> Deferred[bytes]:
        try:
            epoch, sequence, body = open_envelope(peer, payload)
        except PeerError as error:
            return fail(error)  # closes the connection: no honest node sends this
        fault = ordering.fault(peer.name, epoch, sequence)
        if fault is not None:
            dropped(peer.name, fault)
            return succeed(pack({"error": f"dropped: {fault}"}))
        answer = maybeDeferred(receive, peer, kind, body)
        return answer.addCallback(lambda ok: pack({"ok": ok or {}})).addErrback(refused)

    return serve
