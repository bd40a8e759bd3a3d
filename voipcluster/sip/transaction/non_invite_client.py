"""The non-INVITE client transaction (RFC 3261 section 17.1.2 and figure 6)."""

from __future__ import annotations

from enum import Enum, auto

from attrs import define

from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.sip.transaction.events import (
    STANDARD,
    Durations,
    Finished,
    PassFailure,
    PassResponse,
    PassTimeout,
    ResponseReceived,
    SendFailed,
    SendRequest,
)

Event = ResponseReceived | SendFailed | TimerFired
Effect = SendRequest | PassResponse | PassTimeout | PassFailure | SetTimer | CancelTimer | Finished


class State(Enum):
    TRYING = auto()
    PROCEEDING = auto()
    COMPLETED = auto()
    TERMINATED = auto()


_TRYING, _COMPLETED = State.TRYING, State.COMPLETED


@define
class NonInviteClient:
    """Bring one request that is no INVITE to one next hop."""

    wire: bytes
    reliable: bool
    durations: Durations = STANDARD
    state: State = State.TRYING
    _timer_e: float = 0.0

    def start(self) -> list[Effect]:
        if self.reliable:
            return [SendRequest(self.wire), SetTimer("F", 64 * self.durations.t1)]
        # Timer F starts when E fires first, for the rest of its time: most answers come sooner, and need one timer less
        return [SendRequest(self.wire), SetTimer("E", self.durations.t1)]

    def passes(self, status: int) -> bool:
        """
        The arrow of nearly every request, as C{feed(ResponseReceived(...))} takes it but without events and effects.

        @return: whether it was that one: Timers E and F are to be cancelled, the response goes to our user, for the last time,
            and Timer K is to be started.
        """
        if status < 200 or self.state is not _TRYING:
            return False
        self.state = _COMPLETED
        self.wire = b""
        return True

    def feed(self, event: Event) -> list[Effect]:
        match self.state, event:
            case ((State.TRYING | State.PROCEEDING), ResponseReceived(response)):
                if response.status < 200:
                    self.state = State.PROCEEDING
                    return [PassResponse(response)]
                self.state = State.COMPLETED
                self.wire = b""
                timer_k = 0.0 if self.reliable else self.durations.t4
                return [CancelTimer("E"), CancelTimer("F"), PassResponse(response), SetTimer("K", timer_k)]
            case ((State.TRYING | State.PROCEEDING), TimerFired("E")):
                return self._send_again()
            case ((State.TRYING | State.PROCEEDING), TimerFired("F")):
                return [PassTimeout(), *self._finish()]
            case ((State.TRYING | State.PROCEEDING), SendFailed(error)):
                return [PassFailure(error), *self._finish()]
            case State.COMPLETED, TimerFired("K"):
                return self._finish()
            case _:
                return []

    def _send_again(self) -> list[Effect]:
        t1, t2 = self.durations.t1, self.durations.t2
        first = not self._timer_e
        self._timer_e = t2 if self.state is State.PROCEEDING else min(2 * (self._timer_e or t1), t2)
        effects: list[Effect] = [SendRequest(self.wire), SetTimer("E", self._timer_e)]
        return [*effects, SetTimer("F", 63 * t1)] if first else effects

    def _finish(self) -> list[Effect]:
        self.state = State.TERMINATED
        self.wire = b""
        return [CancelTimer("E"), CancelTimer("F"), Finished()]
