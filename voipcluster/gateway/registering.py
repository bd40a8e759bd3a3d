"""
Our registration with a trunk that wants one (RFC 3261 section 10.2): asked for, refreshed before it ends, taken back.

Of the nodes one registers, the first by name of those that are alive (L{owner}): a trunk sends its calls to the Contact that it
was told, and most keep one. When that node is gone the next one registers itself, and takes back the Contacts of the others in
the same request, so that no call is sent to a dead node for the rest of its registration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

from attrs import frozen

from voipcluster.errors import ParseError
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.sip.challenges import Challenged, Identity
from voipcluster.sip.granted import granted_seconds, min_expires, seconds_of
from voipcluster.sip.message import Request, Response
from voipcluster.sip.outgoing import build_request
from voipcluster.sip.retry_after import retry_after
from voipcluster.sip.values import parse_name_addr

EXPIRES: Final = 600  # s that are asked for: what a trunk may think for of a node that died, at most
REFRESH: Final = 0.75  # of what was granted; the rest is time to try again in
FIRST_RETRY: Final = 5.0  # s, doubled each time
LAST_RETRY: Final = 300.0
MOST_RETRY_AFTER: Final = 3600.0
MAX_FORWARDS: Final = 70
_MOST_423: Final = 3

AGAIN, EXPIRED = "again", "expired"  # names of timers


@frozen
class Line:
    """
    What does not change from one request to the next.

    @ivar registrar: the Request-URI, a SIP URI without user; C{aor}: ours there; C{contact}: the Contact value of this node.
    @ivar others: Contact values that other nodes would have had.
    @ivar call_id: of all our requests, so that the registrar knows their order (10.2.4); C{tag}: of From.
    """

    registrar: str
    aor: str
    contact: str
    identity: Identity
    call_id: str
    tag: str
    others: tuple[str, ...] = ()


class State(Enum):
    OFF = auto()  # another node does it
    ASKING = auto()
    WAITING = auto()  # until it is refreshed, or tried again
    REMOVING = auto()


class Answered(NamedTuple):
    """Event: the final response to the last REGISTER."""

    response: Response


class Unanswered(NamedTuple):
    """Event: there was none."""

    why: str


class Send(NamedTuple):
    """Effect: send a REGISTER with these headers beside those of each request of ours (see L{register_request})."""

    number: int
    headers: tuple[tuple[str, str], ...]


class Told(NamedTuple):
    """Effect: how the registration stands now; C{why} for the operator."""

    registered: bool
    why: str


class Gone(NamedTuple):
    """Effect: it was taken back, or that was tried; nothing is under way any more."""


Event = Answered | Unanswered | TimerFired
Effect = Send | Told | Gone | SetTimer | CancelTimer


def owner(names: Iterable[str]) -> str:
    """Which of the nodes that are alive registers; an empty string when none is."""
    return min(names, default="")


def register_request(
    line: Line, number: int, headers: Sequence[tuple[str, str]], via: str, route: str = ""
) -> Request:
    """@param via: a Via value with its branch; C{number}: of CSeq."""
    common = [
        ("Via", via),
        ("Max-Forwards", str(MAX_FORWARDS)),
        *((("Route", route),) if route else ()),
        ("From", f"<{line.aor}>;tag={line.tag}"),
        ("To", f"<{line.aor}>"),
        ("Call-ID", line.call_id),
        ("CSeq", f"{number} REGISTER"),
    ]
    return build_request("REGISTER", line.registrar, [*common, *headers])


class Registering:
    """
    @param line: with the contacts of the other nodes as they are now; may be exchanged.
    @param rand: from 0.0 to below 1.0; C{fresh}: random text, new at each call.
    @ivar registered: whether the trunk knows us, as far as we know; C{failures}: attempts in vain since it last said so.
    """

    def __init__(
        self,
        line: Line,
        rand: Callable[[], float],
        fresh: Callable[[], str],
        expires: int = EXPIRES,
    ) -> None:
        self.line = line
        self._rand, self._fresh, self._expires = rand, fresh, expires
        self.state = State.OFF
        self.registered = False
        self._number = 0
        self.failures = 0
        self._too_brief = 0
        self._take_over = True  # the other nodes' contacts are to be taken back
        self._challenged: Challenged | None = None

    def begin(self) -> list[Effect]:
        """This node is the one that registers from now on."""
        if self.state in (State.ASKING, State.WAITING):
            return []
        self._take_over, self.failures = True, 0
        return self._ask()

    def leave(self) -> list[Effect]:
        """Another node does it now: it takes our contact back, or never had the trunk know it."""
        self.state, self.registered = State.OFF, False
        return [CancelTimer(AGAIN), CancelTimer(EXPIRED)]

    def remove(self) -> list[Effect]:
        """This node stops, and says so to the trunk."""
        if not self.registered:
            return [*self.leave(), Gone()]
        self.state, self.registered = State.REMOVING, False
        self._challenged = None
        return [CancelTimer(AGAIN), CancelTimer(EXPIRED), self._send(0)]

    def feed(self, event: Event) -> list[Effect]:
        match event:
            case TimerFired(name) if name == AGAIN and self.state is State.WAITING:
                return self._ask()
            case TimerFired(name) if name == EXPIRED and self.registered:
                self.registered = False
                return [Told(False, "the registration has expired")]
            case Answered(response) if self.state in (State.ASKING, State.REMOVING):
                return self._answered(response)
            case Unanswered(why) if self.state is State.REMOVING:
                return [*self.leave(), Gone()]
            case Unanswered(why) if self.state is State.ASKING:
                return self._failed(why)
            case _:
                return []

    def _ask(self) -> list[Effect]:
        self.state = State.ASKING
        self._challenged, self._too_brief = None, 0
        return [CancelTimer(AGAIN), self._send(self._expires)]

    def _send(self, expires: int) -> Send:
        self._number += 1
        contacts = [("Contact", self.line.contact), ("Expires", str(expires))]
        if expires and self._take_over:
            contacts += [("Contact", f"{other};expires=0") for other in self.line.others]
        credentials = () if self._challenged is None else self._challenged.headers
        return Send(self._number, (*contacts, *credentials))

    def _answered(self, response: Response) -> list[Effect]:
        status = response.status
        removing = self.state is State.REMOVING
        if status in (401, 407):
            if self._challenged is None:
                self._challenged = Challenged(self.line.identity)
            if self._challenged.meets(response, "REGISTER", self.line.registrar, self._fresh()):
                return [self._send(0 if removing else self._expires)]
            return [*self.leave(), Gone()] if removing else self._refused(self._challenged.why_not)
        if removing:
            return [*self.leave(), Gone()]
        if status == 423:
            least = min_expires(response)
            self._too_brief += 1
            if self._expires < least and self._too_brief <= _MOST_423:
                self._expires = least
                return [self._send(least)]
        said = f"REGISTER is answered with {status} {response.reason}".rstrip()
        if status < 300:
            return self._accepted(response)
        if status >= 500 or status == 408:
            return self._failed(said, retry_after(response))
        return self._refused(said)

    def _accepted(self, response: Response) -> list[Effect]:
        granted = self._granted(response)
        if granted <= 0:
            return self._refused("the registrar accepted REGISTER, but gives our Contact no time")
        self.state, self.registered = State.WAITING, True
        self.failures, self._take_over = 0, False
        refresh = granted * REFRESH * (1.0 - 0.1 * self._rand())
        return [
            SetTimer(AGAIN, refresh),
            SetTimer(EXPIRED, float(granted)),
            Told(True, f"registered for {granted} s"),
        ]

    def _granted(self, response: Response) -> int:
        """What our Contact has; the only one there is, or none, counts as ours: some trunks write it anew, or leave it out."""
        asked = seconds_of(response.get("expires"), self._expires)
        try:
            named = granted_seconds(response, self.line.contact, self._expires)
            values = response.values("contact")
            if named or len(values) > 1:
                return named
            return seconds_of(parse_name_addr(values[0]).param("expires"), asked) if values else asked
        except ParseError:
            return asked

    def _failed(self, why: str, retry_after: float = 0.0) -> list[Effect]:
        """The trunk is not there, or cannot: soon again, then less and less often."""
        delay = min(FIRST_RETRY * 2.0 ** min(self.failures, 16), LAST_RETRY) * (1.0 - 0.5 * self._rand())
        return self._wait(why, max(delay, min(retry_after, MOST_RETRY_AFTER)))

    def _refused(self, why: str) -> list[Effect]:
        """What we ask is wrong, and will be the next time: asking often would only get us locked out."""
        return self._wait(why, LAST_RETRY)

    def _wait(self, why: str, delay: float) -> list[Effect]:
        self.state = State.WAITING
        self.failures += 1
        # it may be known there still: what is left of the registration runs on
        left = "registered, but not refreshed: " if self.registered else ""
        return [Told(self.registered, left + why), SetTimer(AGAIN, delay)]
