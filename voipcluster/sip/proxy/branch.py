"""One branch of a response context: what was heard of it, and whether that still counts (RFC 3261 section 16.6)."""

from __future__ import annotations

from enum import Enum, auto

from voipcluster.sip.message import Response
from voipcluster.sip.proxy.events import Target


class State(Enum):
    CALLING = auto()  # nothing heard
    PROCEEDING = auto()  # a provisional response came
    CANCELLING = auto()  # CANCEL is sent or waits for a provisional response
    ENDED = auto()


class Branch:
    __slots__ = (
        "final", "given_up", "heard", "rang_out", "stands_by", "state", "target", "throttled", "unreachable", "unusable",
    )  # fmt: skip

    def __init__(self, target: Target) -> None:
        self.target = target
        self.state = State.CALLING
        self.heard = False
        self.given_up = False  # the next node is asked instead; only a 2xx counts any more
        self.stands_by = (
            False  # a node that was given up, and may bring the request to the phone before the next one does
        )
        self.unreachable = self.throttled = self.rang_out = False
        self.unusable = 0  # a status of our own: what it had to say is of no use
        self.final: Response | None = None
