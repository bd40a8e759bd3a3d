"""The INVITE server transaction (RFC 3261 section 17.2.1 and figure 7, with RFC 6026 section 7.1)."""

from __future__ import annotations

from enum import Enum, auto

from attrs import define

from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.sip.transaction.events import (
    STANDARD,
    AckReceived,
    Durations,
    Finished,
    PassAck,
    RequestReceived,
    Respond,
    SendResponse,
)

Event = RequestReceived | AckReceived | Respond | TimerFired
Effect = SendResponse | PassAck | SetTimer | CancelTimer | Finished


class State(Enum):
    PROCEEDING = auto()
    ACCEPTED = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    TERMINATED = auto()


_PROCEEDING, _ACCEPTED = State.PROCEEDING, State.ACCEPTED


@define
class InviteServer:
    """
    Answer one INVITE and each copy of it.

    A failed sending of a response changes nothing here (RFC 6026 section 6): the caller repeats its INVITE.

    @ivar allowance: octets that may be sent unasked, L{None}: any number. Timer G repeats a final response for 32 s: to whoever
        forges the source of one INVITE that is a lever of up to 1:12, so for a stranger what fits into it is repeated, no more.
    """

    reliable: bool
    durations: Durations = STANDARD
    state: State = State.PROCEEDING
    _sent: bytes = b""
    _timer_g: float = 0.0
    allowance: int | None = None

    def feed(self, event: Event) -> list[Effect]:
        match self.state, event:
            case State.PROCEEDING, Respond(status, wire):
                return self._respond(status, wire)
            case State.PROCEEDING, RequestReceived():
                return [SendResponse(self._sent)] if self._sent else []
            case State.ACCEPTED, Respond(status, wire) if 200 <= status < 300:
                return [SendResponse(wire)]  # another fork, or the UAS repeats its answer
            case State.ACCEPTED, AckReceived():
                return [PassAck()]  # of a caller that uses the branch of the INVITE again
            case State.ACCEPTED, TimerFired("L"):
                return self._finish()
            case State.COMPLETED, RequestReceived():
                return [SendResponse(self._sent)]
            case State.COMPLETED, TimerFired("G"):
                if self.allowance is not None:
                    self.allowance -= len(self._sent)
                    if self.allowance < 0:
                        return []  # a copy of the INVITE is answered all the same
                self._timer_g = min(2 * self._timer_g, self.durations.t2)
                return [SendResponse(self._sent), SetTimer("G", self._timer_g)]
            case State.COMPLETED, AckReceived():
                self.state = State.CONFIRMED
                self._sent = b""
                timer_i = 0.0 if self.reliable else self.durations.t4
                return [CancelTimer("G"), CancelTimer("H"), SetTimer("I", timer_i)]
            case State.COMPLETED, TimerFired("H"):
                return self._finish()
            case State.CONFIRMED, TimerFired("I"):
                return self._finish()
            case _:
                return []

    def sends(self, status: int, wire: bytes) -> bool:
        """
        The arrows of nearly every call, as C{feed(Respond(status, wire))} takes them but without events and effects.

        @return: whether that was one; then C{wire} is to be sent, and with a 2xx Timer L to be started.
        """
        if self.state is not _PROCEEDING or status >= 300:
            return False
        if status < 200:
            self._sent = wire
        else:
            self.state = _ACCEPTED
            self._sent = b""
        return True

    def _respond(self, status: int, wire: bytes) -> list[Effect]:
        if status < 200:
            self._sent = wire
            return [SendResponse(wire)]
        if status < 300:
            # copies of the INVITE are absorbed from now on, the UAS repeats the 2xx itself (RFC 6026 section 7.1)
            self.state = State.ACCEPTED
            self._sent = b""
            return [SendResponse(wire), SetTimer("L", 64 * self.durations.t1)]
        self.state = State.COMPLETED
        if self.allowance is not None:
            self.allowance -= 2 * len(self._sent) + len(wire)  # a 100 and what came after it went before
        self._sent = wire
        effects: list[Effect] = [SendResponse(wire), SetTimer("H", 64 * self.durations.t1)]
        if not self.reliable:
            self._timer_g = self.durations.t1
            effects.append(SetTimer("G", self._timer_g))
        return effects

    def _finish(self) -> list[Effect]:
        self.state = State.TERMINATED
        self._sent = b""
        return [CancelTimer("G"), Finished()]
