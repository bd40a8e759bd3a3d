"""
Session timers as a proxy that keeps the state of calls takes part in them (RFC 4028 section 8).

The two parties agree on an interval and refresh the session within it, by INVITE or UPDATE. Where they do not, one of them sends
a BYE; a proxy sends none, but may forget the call when the interval is over.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from attrs import frozen

from voipcluster.errors import ParseError
from voipcluster.sip.message import Message, Request, Response
from voipcluster.sip.proxy.validation import Refused

SMALLEST: Final = 90  # seconds, section 4: no interval is shorter
REFRESHING: Final = frozenset({"INVITE", "UPDATE"})  # section 3
_DELTA_SECONDS = re.compile(r"([0-9]{1,10})\s*((?:;.*)?)", re.ASCII | re.DOTALL)


class Session(NamedTuple):
    """
    What the copies of one INVITE or UPDATE ask for.

    @ivar interval: seconds; C{of_caller}: whether the one who sent it supports session timers.
    @ivar drop: header lines to leave out; C{add}: (key, value) of headers to append.
    """

    interval: int
    of_caller: bool
    drop: tuple[int, ...] = ()
    add: tuple[tuple[str, str], ...] = ()


@frozen
class SessionTimer:
    """
    @ivar wanted: the interval in seconds that is asked for where nobody else asks for less; 0: only what the parties want.
    @ivar least: the smallest one that is let pass, at least L{SMALLEST}.
    """

    wanted: int = 0
    least: int = SMALLEST

    def onward(self, request: Request) -> Session | None:
        """
        What becomes of the interval that an INVITE or UPDATE asks for (section 8.1).

        It may get shorter, never shorter than Min-SE; longer only when it is shorter than Min-SE. Its refresher is not ours
        to choose. A Session-Expires that nobody can read goes on as it is.

        @return: L{None} when nobody asks for any.
        @raise Refused: 422 with Min-SE, it is too small, and its sender knows what to do then.
        """
        if "session-expires" not in request.layout.at:
            return self._asked_by_us(request) if self.wanted else None
        found = _session_expires(request)
        if found is None:
            return None
        interval, parameters = found
        of_caller, given = _supports_timer(request), _min_se(request)
        minimum = given or SMALLEST
        drop, add = request.layout.indexes("session-expires"), []
        if interval < self.least:
            if of_caller:
                # it tries again with more; Min-SE in its request stays its own
                raise Refused("the session interval is too small", 422, (("Min-SE", str(self.least)),))
            if minimum < self.least or not given:
                minimum = max(minimum, self.least)
                drop += request.layout.indexes("min-se")
                add.append(("min-se", str(minimum)))
        onward = interval
        if interval < minimum:
            onward = minimum
        elif 0 < self.wanted < interval:
            onward = max(self.wanted, minimum)
        if onward == interval and not add:
            return Session(interval, of_caller)
        return Session(onward, of_caller, drop, (*add, ("session-expires", f"{onward}{parameters}")))

    def _asked_by_us(self, request: Request) -> Session:
        interval = max(self.wanted, _min_se(request))
        return Session(interval, _supports_timer(request), (), (("session-expires", str(interval)),))


def agreed(session: Session | None, response: Response) -> int:
    """
    The session interval that begins with a 2xx to an INVITE or UPDATE (section 8.2).

    Where the callee does not know about it and the caller does, he is to refresh, and the response is made to say so.

    @param session: what its request asked for.
    @return: seconds; 0 is for ever.
    """
    if "session-expires" in response.layout.at:
        found = _session_expires(response)
        return max(found[0], SMALLEST) if found is not None else 0
    if session is None or not session.of_caller:
        return 0
    response.append("session-expires", f"{session.interval};refresher=uac")
    response.append("require", "timer")
    return session.interval


def _session_expires(message: Message) -> tuple[int, str] | None:
    """The seconds, and the parameters as they stand; L{None} when it is not one value of that form."""
    values = message.get_all("session-expires")
    match = _DELTA_SECONDS.fullmatch(values[0]) if len(values) == 1 else None
    return None if match is None else (int(match[1]), match[2])


def _min_se(request: Request) -> int:
    """0 when there is none that can be read."""
    match = _DELTA_SECONDS.fullmatch(request.get("min-se") or "")
    return int(match[1]) if match is not None else 0


def _supports_timer(request: Request) -> bool:
    try:
        return any(tag.lower() == "timer" for tag in request.values("supported"))
    except ParseError:
        return False
