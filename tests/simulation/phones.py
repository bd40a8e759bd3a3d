"""Phones in a simulation: the project's own user agent, with its transactions and timers, on the simulated network."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING

from attrs import define
from twisted.internet.interfaces import IDelayedCall

from voipcluster.address import UDP, Flow, Hop
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.phone.agent import Effect, UserAgent
from voipcluster.phone.call import Call
from voipcluster.phone.dialog import Line
from voipcluster.phone.events import (
    Ended,
    Incoming,
    Received,
    Registered,
    RegistrationFailed,
    Send,
    SendFailed,
    Up,
)
from voipcluster.sip.message import parse

if TYPE_CHECKING:
    from tests.simulation.network import Address
    from tests.simulation.world import World

PORT = 5060
PATIENCE = 60.0  # seconds in which a caller hears it ring, or hears nothing, before he hangs up


@define(eq=False)
class Attempt:
    """
    One call as its caller saw it. Times are simulated seconds; L{None}: not yet.

    @ivar status: of the end: 200 after a BYE, what it was refused with, 408 when nobody answered (Timer B or F).
    """

    call_id: str
    callee: str
    at: float
    up_at: float | None = None
    hung_up_at: float | None = None
    ended_at: float | None = None
    status: int = 0

    @property
    def answered(self) -> bool:
        return self.up_at is not None

    @property
    def over(self) -> bool:
        return self.ended_at is not None


class SimPhone:
    """
    One account on a host of its own. It has no processor: phones are many, and each has little to do.

    @param proxy: (IP address, port) of the node that it registers with and calls through.
    @param answer_after: seconds that it rings.
    @ivar attempts: the calls that it made, by Call-ID; C{taken} those that it answered.
    @ivar registered: seconds that the registrar granted last; C{refused}: the status when it did not.
    @ivar on: a phone that is off hears nothing and does nothing.
    """

    def __init__(
        self,
        world: World,
        user: str,
        host: str,
        proxy: Address,
        *,
        answer_after: float = 0.2,
        expires: int = 600,
    ) -> None:
        self.world, self.host, self.on = world, host, True
        chance = Random(f"{world.seed}:{user}")
        line = Line(
            user, world.domain, world.password(user), Hop(UDP, *proxy), (host, PORT), UDP, lambda: chance.randbytes(8).hex()
        )  # fmt: skip
        self.line, self._agent, self._answer_after = line, UserAgent(line, expires=expires), answer_after
        self._timers: dict[str, IDelayedCall] = {}
        self._holds: dict[str, float] = {}
        self.attempts: dict[str, Attempt] = {}
        self.taken: set[str] = set()
        self.registered = self.refused = 0
        world.network.hosts[host] = self

    @property
    def aor(self) -> str:
        return self.line.aor

    def register(self) -> None:
        self._obey(self._agent.register())

    def call(self, to: str, hold: float | None = None) -> Attempt:
        """
        Call a SIP URI.

        @param hold: hang up so many seconds after the answer.
        """
        call, effects = self._agent.call(to, (self.host, 4000))
        attempt = self.attempts[call.call_id] = Attempt(call.call_id, to, self.world.now)
        if hold is not None:
            self._holds[call.call_id] = hold
        self._later(PATIENCE, lambda: None if attempt.answered else self.hang_up(attempt))
        self._obey(effects)
        return attempt

    def hang_up(self, attempt: Attempt) -> None:
        call = self._agent.calls.get(attempt.call_id)
        if call is not None and self.on:
            attempt.hung_up_at = self.world.now
            self._obey(self._agent.hang_up(call))

    def has(self, call_id: str) -> bool:
        """Whether it takes part in that call now."""
        return self.on and call_id in self._agent.calls

    def switch_off(self) -> None:
        """As without power: nothing more comes from it, and nobody answers for it."""
        self.on = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        del self.world.network.hosts[self.host]

    # what the agent orders

    def _obey(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(wire, to):
                    hop = to.hop if isinstance(to, Flow) else to
                    self.world.network.send((self.host, PORT), (hop.host, hop.port), wire)
                case SetTimer(name, delay):
                    self._stop(name)
                    self._timers[name] = self.world.clock.callLater(delay, self._fired, name)
                case CancelTimer(name):
                    self._stop(name)
                case Registered(expires):
                    self.registered, self.refused = expires, 0
                case RegistrationFailed(status):
                    self.registered, self.refused = 0, status
                case Incoming(call_id):
                    self._later(self._answer_after, self._answer, self._agent.calls[call_id])
                case Up(call_id):
                    self._up(call_id)
                case Ended(call_id, status):
                    self._ended(call_id, status)

    def _later(self, delay: float, call: object, *arguments: object) -> None:
        self.world.clock.callLater(delay, lambda: call(*arguments) if self.on else None)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _fired(self, name: str) -> None:
        del self._timers[name]
        self._obey(self._agent.feed(TimerFired(name)))

    def _answer(self, call: Call) -> None:
        self._obey(self._agent.accept(call, (self.host, 4000)))

    def _up(self, call_id: str) -> None:
        attempt = self.attempts.get(call_id)
        if attempt is None:
            self.taken.add(call_id)
            return
        attempt.up_at = self.world.now
        self.world.trace.note("up", call_id)
        if call_id in self._holds:
            self._later(self._holds.pop(call_id), self.hang_up, attempt)

    def _ended(self, call_id: str, status: int) -> None:
        attempt = self.attempts.get(call_id)
        if attempt is not None:
            attempt.ended_at, attempt.status = self.world.now, status
            self.world.trace.note("ended", call_id, status)

    # the network

    def datagram_arrived(self, data: bytes, source: Address, port: int) -> bool:
        if port != PORT:
            return False
        self._obey(self._agent.feed(Received(parse(data), Flow(UDP, (self.host, PORT), source))))
        return True

    def unreachable(self, destination: Address, port: int) -> None:
        self._obey(self._agent.feed(SendFailed(Hop(UDP, *destination), "nobody listens there")))
