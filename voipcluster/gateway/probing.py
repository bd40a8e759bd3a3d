"""
Is a gateway there? OPTIONS asked from time to time (RFC 3261 section 11), with more than one answer needed to change the verdict.

Each node asks for itself: what counts for a call that leaves here is the way from here, and a gateway that one node reaches may
be behind a broken route for another. It also means that no verdict depends on a node that just died.

What speaks is alive, whatever it says: 404, 405 or 401 come from a SIP server that works. Only C{503} (not now) and C{408} (a
proxy in front of it got no answer) say that calls are better not sent there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum
from typing import Final, NamedTuple

from voipcluster.machine import CancelTimer, SetTimer, TimerFired

NOT_ALIVE: Final = frozenset({408, 503})
TURNS: Final = 2  # failures in a row until it is down, answers in a row until it is up again
LONGEST_WAIT: Final = (
    2.0  # s for an answer: three copies over UDP, and a satellite's way there and back is 1.2
)
AGAIN: Final = 1.0  # s until a first sign that the verdict may be wrong is looked at again
MOST_RETRY_AFTER: Final = 60.0  # s; a gateway cannot put itself out of service for longer by a header
JITTER: Final = 0.1  # part of the interval by which probes come earlier, so that nodes do not ask in step

NEXT, ANSWER = "next", "answer"  # names of timers


class Verdict(Enum):
    """What is known; what nobody asked yet is used, for else nothing could be called at the start."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


class Answered(NamedTuple):
    """Event: the final response to the last OPTIONS; C{retry_after} in seconds, 0.0 when it says none."""

    status: int
    phrase: str = ""
    retry_after: float = 0.0


class Failed(NamedTuple):
    """Event: the last OPTIONS could not be sent, or nobody listens there."""

    why: str


class Ask(NamedTuple):
    """Effect: send OPTIONS; whatever is still under way of an earlier one is given up."""


class Judged(NamedTuple):
    """Effect: the verdict has changed, or why a gateway is down has; C{why} for its operator."""

    up: bool
    why: str


Event = Answered | Failed | TimerFired
Effect = Ask | Judged | SetTimer | CancelTimer


def time_to_notice(interval: float) -> float:
    """Seconds at most from the death of a gateway until it is down, however silently it died."""
    return interval + TURNS * wait_for_answer(interval)


def wait_for_answer(interval: float) -> float:
    return min(LONGEST_WAIT, interval / 2)


class Probing:
    """
    One server of a gateway being asked.

    @param interval: seconds between probes, above 0; C{not_alive}: final statuses that count like silence.
    @param rand: from 0.0 to below 1.0, for the jitter.
    @ivar verdict: so far; C{why}: what it was based on.
    """

    def __init__(
        self, interval: float, rand: Callable[[], float], not_alive: Collection[int] = NOT_ALIVE
    ) -> None:
        assert interval > 0.0, "a gateway that is not probed has no machine"
        self._interval, self._rand, self._not_alive = interval, rand, frozenset(not_alive)
        self.verdict = Verdict.UNKNOWN
        self.why = "not asked yet"
        self._against = 0  # signs in a row that contradict the verdict
        self._asking = False

    def start(self) -> list[Effect]:
        """Ask for the first time: soon, but not in step with the probes of other gateways."""
        return [SetTimer(NEXT, self._rand() * min(AGAIN, self._interval))]

    def feed(self, event: Event) -> list[Effect]:
        match event:
            case TimerFired(name) if name == NEXT and not self._asking:
                return self._ask()
            case TimerFired(name) if name == ANSWER and self._asking:
                return self._no(f"no answer to OPTIONS within {wait_for_answer(self._interval):g} s", 0.0)
            case Answered(status, phrase, retry_after) if self._asking:
                said = f"OPTIONS is answered with {status} {phrase}".rstrip()
                if status in self._not_alive:
                    return self._no(said, AGAIN, min(retry_after, MOST_RETRY_AFTER))
                return self._yes(said)
            case Failed(why) if self._asking:
                return self._no(why, AGAIN)
            case _:
                return []

    def suspect(self) -> list[Effect]:
        """A call found it silent: ask now, not when it is time."""
        if self._asking or self.verdict is Verdict.DOWN:
            return []
        return [CancelTimer(NEXT), *self._ask()]

    def _ask(self) -> list[Effect]:
        self._asking = True
        return [SetTimer(ANSWER, wait_for_answer(self._interval)), Ask()]

    def _yes(self, why: str) -> list[Effect]:
        return self._sign(True, why, AGAIN, 0.0)

    def _no(self, why: str, again: float, at_least: float = 0.0) -> list[Effect]:
        """@param again: seconds until it is asked again when that may change the verdict."""
        return self._sign(False, why, again, at_least)

    def _sign(self, up: bool, why: str, again: float, at_least: float) -> list[Effect]:
        self._asking = False
        effects: list[Effect] = [CancelTimer(ANSWER)]
        usual = self._interval * (1.0 - JITTER * self._rand())
        agrees = self.verdict is (Verdict.UP if up else Verdict.DOWN)
        self._against = 0 if agrees else self._against + 1
        if agrees:
            if not up and why != self.why:
                effects.append(Judged(up, why))
            self.why = why
        elif self._against >= TURNS or (up and self.verdict is Verdict.UNKNOWN):
            self.verdict = Verdict.UP if up else Verdict.DOWN
            self.why, self._against = why, 0
            effects.append(Judged(up, why))
        else:
            usual = min(again, usual)
        effects.append(SetTimer(NEXT, max(usual, at_least)))
        return effects
