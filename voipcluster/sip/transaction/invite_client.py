"""The INVITE client transaction (RFC 3261 section 17.1.1 and figure 5, with RFC 6026 section 7.2)."""

from __future__ import annotations

from enum import Enum, auto

from attrs import define

from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.sip.message import Response
from voipcluster.sip.transaction.events import (
    STANDARD,
    CancelSent,
    Durations,
    Finished,
    PassFailure,
    PassResponse,
    PassTimeout,
    ResponseReceived,
    SendFailed,
    SendRequest,
)
from voipcluster.sip.transaction.hop_by_hop import build_ack

Event = ResponseReceived | SendFailed | CancelSent | TimerFired
Effect = SendRequest | PassResponse | PassTimeout | PassFailure | SetTimer | CancelTimer | Finished


class State(Enum):
    CALLING = auto()
    PROCEEDING = auto()
    COMPLETED = auto()
    ACCEPTED = auto()
    TERMINATED = auto()


_CALLING, _PROCEEDING, _ACCEPTED = State.CALLING, State.PROCEEDING, State.ACCEPTED


@define
class InviteClient:
    """
    Bring one INVITE to one next hop.

    @ivar wire: the INVITE as sent; given up with the final response, for what lingers 32 s must not hold it.
    """

    wire: bytes
    reliable: bool
    durations: Durations = STANDARD
    state: State = State.CALLING
    _timer_a: float = 0.0
    _ack: bytes = b""
    _cancelled: bool = False

    def start(self) -> list[Effect]:
        if self.reliable:
            return [SendRequest(self.wire), SetTimer("B", 64 * self.durations.t1)]
        # Timer B starts when A fires first, for the rest of its time: most answers come sooner, and need one timer less
        return [SendRequest(self.wire), SetTimer("A", self.durations.t1)]

    def feed(self, event: Event) -> list[Effect]:
        match self.state, event:
            case ((State.CALLING | State.PROCEEDING), ResponseReceived(response)):
                return self._answered(response)
            case State.CALLING, TimerFired("A"):
                first = not self._timer_a
                self._timer_a = 2 * (self._timer_a or self.durations.t1)
                effects: list[Effect] = [SendRequest(self.wire), SetTimer("A", self._timer_a)]
                return [*effects, SetTimer("B", 63 * self.durations.t1)] if first else effects
            case State.CALLING, TimerFired("B"):
                return [PassTimeout(), *self._finish()]
            case State.PROCEEDING, CancelSent():
                # nothing else ends a transaction whose server forgot it between a 1xx and the CANCEL
                self._cancelled = True
                return [SetTimer("X", 64 * self.durations.t1)]
            case State.PROCEEDING, TimerFired("X"):
                return [PassTimeout(), *self._finish()]
            case ((State.CALLING | State.COMPLETED), SendFailed(error)):
                return [PassFailure(error), *self._finish()]
            case State.COMPLETED, ResponseReceived(response) if response.status >= 300:
                return [SendRequest(self._ack)]
            case State.ACCEPTED, ResponseReceived(response) if 200 <= response.status < 300:
                return [
                    PassResponse(response)
                ]  # a fork further down, or a copy that the caller must ACK again
            case ((State.COMPLETED | State.ACCEPTED), TimerFired("D" | "M")):
                return self._finish()
            case _:
                return []

    def passes(self, status: int) -> bool:
        """
        The arrows of nearly every call, as C{feed(ResponseReceived(...))} takes them but without events and effects.

        @return: whether that was one; then Timers A and B are to be cancelled, the response goes to our user, and with a 2xx
            Timer M is to be started.
        """
        state = self.state
        if (state is not _PROCEEDING and state is not _CALLING) or status >= 300 or self._cancelled:
            return False
        if status < 200:
            self.state = _PROCEEDING
        else:
            self.state = _ACCEPTED
            self.wire = b""
        return True

    def _answered(self, response: Response) -> list[Effect]:
        effects: list[Effect] = []
        if self.state is State.CALLING:
            effects += [CancelTimer("A"), CancelTimer("B")]
        effects.append(PassResponse(response))
        if response.status < 200:
            self.state = State.PROCEEDING
            return effects
        if self._cancelled:
            effects.append(CancelTimer("X"))
        if response.status < 300:
            self.state = State.ACCEPTED
            self.wire = b""
            return [*effects, SetTimer("M", 64 * self.durations.t1)]
        self.state = State.COMPLETED
        self._ack, self.wire = build_ack(self.wire, response), b""
        # the ACK first: our user's next step may take its time
        return [SendRequest(self._ack), *effects, SetTimer("D", 0.0 if self.reliable else self.durations.d)]

    def _finish(self) -> list[Effect]:
        self.state = State.TERMINATED
        self.wire = self._ack = b""
        return [CancelTimer("A"), CancelTimer("B"), CancelTimer("D"), Finished()]
