"""The non-INVITE server transaction (RFC 3261 section 17.2.2 and figure 8)."""

from __future__ import annotations

from enum import Enum, auto

from attrs import define

from voipcluster.machine import SetTimer, TimerFired
from voipcluster.sip.transaction.events import (
    STANDARD,
    Durations,
    Finished,
    RequestReceived,
    Respond,
    SendResponse,
    SendTrying,
)

Event = RequestReceived | Respond | TimerFired
Effect = SendResponse | SendTrying | SetTimer | Finished

# Timer E of a client is at T2 with the third one, from 7*T1 on; no 100 may be sent before, and one has to be then (RFC 4320
# section 4.1). Over a connection there are no copies, and nothing that a 100 would spare.
_COPIES_UNTIL_T2 = 3


class State(Enum):
    TRYING = auto()
    PROCEEDING = auto()
    COMPLETED = auto()
    TERMINATED = auto()


_TRYING, _COMPLETED = State.TRYING, State.COMPLETED


@define
class NonInviteServer:
    """Answer one request that is no INVITE, and each copy of it."""

    reliable: bool
    durations: Durations = STANDARD
    state: State = State.TRYING
    _sent: bytes = b""
    _copies: int = 0

    def feed(self, event: Event) -> list[Effect]:
        match self.state, event:
            case ((State.TRYING | State.PROCEEDING), Respond(status, wire)):
                self._sent = wire
                if status < 200:
                    self.state = State.PROCEEDING
                    return [SendResponse(wire)]
                self.state = State.COMPLETED
                timer_j = 0.0 if self.reliable else 64 * self.durations.t1
                return [SendResponse(wire), SetTimer("J", timer_j)]
            case State.TRYING, RequestReceived():
                self._copies += 1
                return [SendTrying()] if self._copies >= _COPIES_UNTIL_T2 else []
            case ((State.PROCEEDING | State.COMPLETED), RequestReceived()):
                return [SendResponse(self._sent)]
            case State.COMPLETED, TimerFired("J"):
                self.state = State.TERMINATED
                self._sent = b""
                return [Finished()]
            case _:
                return []

    def sends(self, status: int, wire: bytes) -> bool:
        """
        The arrow of nearly every request, as C{feed(Respond(status, wire))} takes it but without events and effects.

        @return: whether it was that one: C{wire} is to be sent, and Timer J to be started.
        """
        if status < 200 or self.state is not _TRYING:
            return False
        self._sent = wire
        self.state = _COMPLETED
        return True
