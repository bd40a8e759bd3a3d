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


@define
class NonInviteClient:
    """Bring one request that is no INVITE to one next hop."""

    wire: bytes
    reliable: bool
    durations: Durations = STANDARD
    state: State = State.TRYING
    _timer_e: float = 0.0

    def start(self) -> list[Effect]:
        effects: list[Effect] = [SendRequest(self.wire), SetTimer("F", 64 * self.durations.t1)]
        if not self.reliable:
            self._timer_e = self.durations.t1
            effects.append(SetTimer("E", self._timer_e))
        return effects

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
            case State.TRYING, TimerFired("E"):
                self._timer_e = min(2 * self._timer_e, self.durations.t2)
                return [SendRequest(self.wire), SetTimer("E", self._timer_e)]
            case State.PROCEEDING, TimerFired("E"):
                return [SendRequest(self.wire), SetTimer("E", self.durations.t2)]
            case ((State.TRYING | State.PROCEEDING), TimerFired("F")):
                return [PassTimeout(), *self._finish()]
            case ((State.TRYING | State.PROCEEDING), SendFailed(error)):
                return [PassFailure(error), *self._finish()]
            case State.COMPLETED, TimerFired("K"):
                return self._finish()
            case _:
                return []

    def _finish(self) -> list[Effect]:
        self.state = State.TERMINATED
        self.wire = b""
        return [CancelTimer("E"), CancelTimer("F"), Finished()]
