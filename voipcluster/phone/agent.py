"""The user agent of the phone: one account, its registration and its calls, without I/O (RFC 3261 section 8)."""

from __future__ import annotations

from collections.abc import Callable

from voipcluster.machine import TimerFired
from voipcluster.phone.call import Call, CallState
from voipcluster.phone.callee import Callee
from voipcluster.phone.caller import Caller
from voipcluster.phone.dialog import Line
from voipcluster.phone.ending import answer_timer, bye, cancel_timer
from voipcluster.phone.registration import REFRESH, Registration
from voipcluster.phone.requests import Effect, Event, Requests
from voipcluster.sip.transaction.events import STANDARD, Durations

__all__ = ["Effect", "Event", "UserAgent"]


class UserAgent:
    """
    @param line: the account; its C{contact} must be known when the first request is made.
    @param expires: seconds that a registration is asked for.
    @param follow_service_route: whether calls take the way that the registrar names (RFC 3608).
    @param draw: a random number from 0 to 1, for pauses.
    @ivar calls: by Call-ID, until they ended.
    """

    def __init__(
        self,
        line: Line,
        *,
        expires: int = 600,
        follow_service_route: bool = True,
        durations: Durations = STANDARD,
        draw: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self.line = line
        self.calls: dict[str, Call] = {}
        self.requests = Requests(line, durations)
        self._registration = Registration(self.requests, expires, follow_service_route, draw)
        self._caller = Caller(self.requests, self.calls)
        self._callee = Callee(self.requests, self.calls)
        self.requests.asked = self._callee.asked

    def feed(self, event: Event) -> list[Effect]:
        if isinstance(event, TimerFired):
            if event.name == REFRESH:
                return self._registration.register()
            for call in self.calls.values():
                if event.name == answer_timer(call):
                    return self._callee.repeat_answer(call)
                if event.name == cancel_timer(call):
                    return self._caller.give_up(call)
        return self.requests.feed(event)

    def register(self, expires: int | None = None) -> list[Effect]:
        """Register, or refresh; with C{expires=0} take the contact back."""
        return self._registration.register(expires)

    def call(self, to: str, media: tuple[str, int]) -> tuple[Call, list[Effect]]:
        """
        Call an address.

        @param to: a SIP URI; C{media}: where our audio is taken.
        """
        return self._caller.call(to, media)

    def accept(self, call: Call, media: tuple[str, int]) -> list[Effect]:
        """Answer a call; nothing when the caller has gone already."""
        return self._callee.accept(call, media)

    def reject(self, call: Call, status: int = 486) -> list[Effect]:
        """Refuse a call that came in; nothing when it is answered or over."""
        return self._callee.reject(call, status)

    def hang_up(self, call: Call) -> list[Effect]:
        """End a call in whatever state it is: CANCEL, a refusal or BYE; nothing when it is over."""
        match call.state:
            case CallState.CALLING:
                call.wanted_gone = True  # a CANCEL has to wait for a provisional answer (9.1)
                return []
            case CallState.PROCEEDING:
                return self._caller.cancel(call)
            case CallState.RINGING:
                return self.reject(call, 603)
            case CallState.ANSWERED | CallState.UP:
                return bye(self.requests, self.calls, call)
            case _:
                return []
