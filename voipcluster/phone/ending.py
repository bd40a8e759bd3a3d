"""How any call ends: our BYE, and what is forgotten then (RFC 3261 section 15)."""

from __future__ import annotations

from voipcluster.machine import CancelTimer
from voipcluster.phone.call import Call, CallState
from voipcluster.phone.events import Answered, Ended, MediaAt
from voipcluster.phone.requests import Effect, Opened, Requests


def answer_timer(call: Call) -> str:
    """The name of the timer that repeats our 200."""
    return f"200 {call.call_id}"


def cancel_timer(call: Call) -> str:
    """The name of the timer that ends the wait for the answer to a cancelled INVITE."""
    return f"cancel {call.call_id}"


def bye(requests: Requests, calls: dict[str, Call], call: Call) -> list[Effect]:
    """Hang up a call that was answered."""

    def answered(answered: Answered) -> list[Effect]:
        if answered.status < 200:
            return []
        # 481 says that the other side has forgotten the call: over as well (15.1.1)
        return end(calls, call, 200 if answered.status == 481 else answered.status, answered.reason)

    call.state = CallState.ENDING
    # the session is over with the BYE as it leaves, whether or not it is answered (15.1.1)
    silent = MediaAt(call.call_id, None)
    return [CancelTimer(answer_timer(call)), silent, *requests.ask(Opened(call.dialog, "BYE", answered))]


def end(calls: dict[str, Call], call: Call, status: int, reason: str) -> list[Effect]:
    """Forget a call; nothing the second time."""
    if call.state is CallState.ENDED:
        return []
    call.state = CallState.ENDED
    calls.pop(call.call_id, None)
    return [
        CancelTimer(answer_timer(call)),
        CancelTimer(cancel_timer(call)),
        Ended(call.call_id, status, reason),
    ]
