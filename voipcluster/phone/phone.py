"""The phone: one account on real sockets, for tests and the demo. What it decides is in L{voipcluster.phone.agent}."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime, IReactorUDP
from twisted.logger import Logger
from zope.interface import implementer

from voipcluster.address import Flow, Hop
from voipcluster.errors import ParseError, TransportError
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.net.timers import Timer, TimerWheel
from voipcluster.phone.agent import Effect, UserAgent
from voipcluster.phone.dialog import Line
from voipcluster.phone.events import (
    Ended,
    Incoming,
    MediaAt,
    Received,
    Registered,
    RegistrationFailed,
    Ringing,
    Send,
    SendFailed,
    Up,
)
from voipcluster.phone.media import AudioClock, AudioStream
from voipcluster.phone.phone_call import CallFailed, PhoneCall, RegistrationRefused
from voipcluster.phone.reports import Reports
from voipcluster.services.transaction.transport import ISipSink, TransportService
from voipcluster.sip.message import parse


@implementer(ISipSink)
class Phone:
    """
    A phone with one account, one tone, and as many calls at once as it is told to make.

    @param proxy: where it registers and calls; C{local_host}: an IP literal of ours.
    @param transport: C{"UDP"} or C{"TCP"}: how it reaches the proxy, and how it wants to be reached.
    @param tone: its own, in Hz, a multiple of 50 from 200 to 3500.
    @param answer_after: seconds that it rings; L{None}: until C{accept} is called.
    @param capacity: calls at once; a further one gets 486.
    @param follow_service_route: whether calls take the way that the registrar named (RFC 3608).
    @param rtcp: whether it reports how it hears the far end, as real phones do.
    @param timers: C{audio}: to be shared by the phones of a process.
    @ivar incoming: called with each L{PhoneCall} that comes in; C{ended} with each that ended.
    @ivar registered: seconds that the registrar granted last, or 0.
    @ivar registration_lost: called when a refresh has failed, with why and with the seconds until the next one;
        C{registered_again}: when one after that has not, with the seconds that were granted.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        user: str,
        domain: str,
        password: str,
        proxy: Hop,
        local_host: str,
        transport: str = "UDP",
        tone: int = 1000,
        *,
        answer_after: float | None = 0.0,
        capacity: int = 1,
        expires: int = 600,
        follow_service_route: bool = True,
        rtcp: bool = False,
        timers: TimerWheel | None = None,
        audio: AudioClock | None = None,
    ) -> None:
        self._reactor = reactor
        self._host = local_host
        self.tone = tone
        self._answer_after = answer_after
        self._capacity = capacity
        self._rtcp = rtcp
        self._wheel = timers or TimerWheel(IReactorTime(reactor))
        self._own_wheel = timers is None
        self._audio = audio or AudioClock(IReactorTime(reactor))
        self._line = Line(user, domain, password, proxy, ("", 0), transport, lambda: secrets.token_hex(8))
        self._agent = UserAgent(
            self._line,
            expires=expires,
            follow_service_route=follow_service_route,
            draw=random.random,
        )
        self.transport = TransportService(reactor, self, [(local_host, 0)], timers=self._wheel)
        self._timers: dict[str, Timer] = {}
        self._registering: list[Deferred[int]] = []
        self._calling: dict[str, Deferred[PhoneCall]] = {}
        self.calls: dict[str, PhoneCall] = {}
        self.registered = 0
        self._lost = False
        self.registration_lost: Callable[[RegistrationRefused, float], object] = lambda why, again: None
        self.registered_again: Callable[[int], object] = lambda seconds: None
        self.incoming: Callable[[PhoneCall], object] = lambda call: None
        self.ended: Callable[[PhoneCall], object] = lambda call: None

    @property
    def aor(self) -> str:
        return self._line.aor

    @property
    def address(self) -> tuple[str, int]:
        """Where it takes SIP, over UDP and TCP; known once started."""
        return self._line.contact

    @property
    def service_route(self) -> tuple[str, ...]:
        return self._line.service_route

    def start(self) -> None:
        """
        Open the sockets; C{register} and C{call} do it by themselves.

        @raise UsageError: the address is not ours.
        """
        if not self.transport.running:
            self.transport.startService()
            self._line.contact = self.transport.local_addresses()[0]

    def stop(self) -> Deferred[None]:
        """Close everything and forget the calls, as a phone that loses its power; fires when all is closed."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for call in list(self.calls.values()):
            self._finished(call.call_id, 503, "the phone was stopped")
        waiting, self._registering = self._registering, []
        for deferred in waiting:
            deferred.errback(RegistrationRefused(503, "the phone was stopped", answered=False))
        return maybeDeferred(self.transport.stopService).addCallback(self._stopped)

    def _stopped(self, result: object) -> None:
        if self._own_wheel:
            self._wheel.stop()

    def register(self) -> Deferred[int]:
        """
        Register, and refresh from then on; fires with the seconds that were granted.

        Fails with L{RegistrationRefused}.
        """
        return self._register(None)

    def unregister(self) -> Deferred[int]:
        """Take the registration back; fires with 0."""
        return self._register(0)

    def _register(self, expires: int | None) -> Deferred[int]:
        self.start()
        waiting: Deferred[int] = Deferred()
        self._registering.append(waiting)
        self._obey(self._agent.register(expires))
        return waiting

    def call(self, to: str) -> Deferred[PhoneCall]:
        """
        Call a SIP URI, or C{user@domain}; fires with the call once it is established.

        Fails with L{CallFailed}; cancelling the Deferred hangs up.
        """
        self.start()
        stream = self._stream()
        call, effects = self._agent.call(to if ":" in to else f"sip:{to}", stream.address)
        phone_call = PhoneCall(call, stream, self.hang_up)
        self.calls[call.call_id] = phone_call

        def cancelled(_: object) -> None:
            del self._calling[call.call_id]
            self.hang_up(phone_call)

        waiting: Deferred[PhoneCall] = Deferred(cancelled)
        self._calling[call.call_id] = waiting
        self._obey(effects)
        return waiting

    def accept(self, call: PhoneCall) -> None:
        """Answer a call that came in; harmless when it is answered or over."""
        if call.call_id in self.calls:
            self._obey(self._agent.accept(call.call, call.stream.address))

    def reject(self, call: PhoneCall, status: int = 486) -> None:
        if call.call_id in self.calls:
            self._obey(self._agent.reject(call.call, status))

    def hang_up(self, call: PhoneCall) -> None:
        if call.call_id in self.calls:
            self._obey(self._agent.hang_up(call.call))

    # what the agent orders

    def _obey(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(wire, to):
                    self._send(wire, to)
                case SetTimer(name, delay):
                    self._stop_timer(name)
                    self._timers[name] = self._wheel.start(delay, self._fired, name)
                case CancelTimer(name):
                    self._stop_timer(name)
                case Registered(expires):
                    self._now_registered(expires)
                case RegistrationFailed(status, reason, answered, again):
                    self._not_registered(RegistrationRefused(status, reason, answered), again)
                case Incoming(call_id, caller):
                    self._called(call_id, caller)
                case Ringing(call_id):
                    if call_id in self.calls:
                        self.calls[call_id].ringing = True
                case MediaAt(call_id, audio):
                    if call_id in self.calls:
                        aim = audio is not None and audio.receiving
                        self.calls[call_id].stream.aim((audio.host, audio.port) if audio and aim else None)
                case Up(call_id):
                    if call_id in self.calls:
                        self.calls[call_id].up = True
                    established = self._calling.pop(call_id, None)
                    if established is not None:
                        established.callback(self.calls[call_id])
                case Ended(call_id, status, reason):
                    self._finished(call_id, status, reason)

    def _send(self, wire: bytes, to: Hop | Flow) -> None:
        hop = to.hop if isinstance(to, Flow) else to

        def failed(error: TransportError) -> None:
            self._obey(self._agent.feed(SendFailed(hop, str(error))))

        try:
            flow = to if isinstance(to, Flow) else self.transport.flow_to(to)
        except TransportError as error:
            self._reactor.callLater(0, failed, error)
            return
        self.transport.send(wire, flow, failed)

    def _stop_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _fired(self, name: str) -> None:
        self._timers.pop(name, None)
        self._obey(self._agent.feed(TimerFired(name)))

    def _now_registered(self, expires: int) -> None:
        self.registered = expires
        if self._line.transport != "UDP":
            # the registrar reaches us over this connection: it must not go for being idle
            self.transport.keep(self.transport.flow_to(self._line.proxy), expires)
        waiting, self._registering = self._registering, []
        for deferred in waiting:
            deferred.callback(expires)
        lost, self._lost = self._lost, False
        if lost and expires:
            self.registered_again(expires)

    def _not_registered(self, refused: RegistrationRefused, again: float | None) -> None:
        self.registered = 0
        waiting, self._registering = self._registering, []
        for deferred in waiting:
            deferred.errback(refused)
        if again is not None:
            self._lost = True
            self.registration_lost(refused, again)

    def _called(self, call_id: str, caller: str) -> None:
        call = self._agent.calls[call_id]
        if len(self.calls) >= self._capacity:
            self._obey(self._agent.reject(call, 486))
            return
        phone_call = PhoneCall(call, self._stream(), self.hang_up, caller)
        self.calls[call_id] = phone_call
        if self._answer_after is not None:
            self._timers[f"answer {call_id}"] = self._wheel.start(
                self._answer_after, self._answer, phone_call
            )
        self.incoming(phone_call)

    def _answer(self, call: PhoneCall) -> None:
        self._timers.pop(f"answer {call.call_id}", None)
        self.accept(call)

    def _stream(self) -> AudioStream:
        ssrc = secrets.randbits(32)
        reports = Reports(ssrc, f"{self._line.user}@{self._host}") if self._rtcp else None
        stream = AudioStream(self._audio, self.tone, ssrc, reports)
        stream.open(IReactorUDP(self._reactor), self._host)
        return stream

    def _finished(self, call_id: str, status: int, reason: str) -> None:
        self._stop_timer(f"answer {call_id}")
        call = self.calls.pop(call_id, None)
        if call is None:
            return
        call.finish(status, reason)
        waiting = self._calling.pop(call_id, None)
        if waiting is not None:
            waiting.errback(CallFailed(status, reason))
        self.ended(call)

    # ISipSink

    def bytes_received(self, data: bytes, flow: Flow) -> None:
        try:
            message = parse(data)
        except ParseError as error:
            self._log.warn("{user}: {peer} sent no SIP: {error}", user=self.aor, peer=flow, error=error)
            return
        self._obey(self._agent.feed(Received(message, flow)))

    def framing_failed(self, head: bytes, flow: Flow, status_hint: int, reason: str) -> None:
        self._log.warn(
            "{user}: stream of {peer} is broken: {reason}", user=self.aor, peer=flow, reason=reason
        )

    def connection_lost(self, flow: Flow) -> None:
        self._obey(self._agent.feed(SendFailed(flow.hop, "the connection is lost")))

    def unreachable(self, hop: Hop) -> None:
        self._obey(self._agent.feed(SendFailed(hop, f"nobody listens at {hop}")))
