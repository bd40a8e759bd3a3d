"""What happens to a proxied request, and what its response context wants done about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from voipcluster.address import Flow
from voipcluster.errors import TransportError
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.sip.diversion import Diversion
from voipcluster.sip.message import Response
from voipcluster.sip.route import Party


class Target(NamedTuple):
    """
    One place to bring a request to (section 16.5).

    @ivar uri: the Request-URI of the copy; C{routes}: values put in front of its Route (Path, RFC 3327 section 5.4).
    @ivar flow: the flow to send over, or L{None}: the next hop of Route or Request-URI says it.
    @ivar q: 0 to 1000; targets of equal q are tried together, higher q first.
    @ivar party: how later requests of the dialog reach this target, for the call token.
    @ivar answer_within: seconds in which a node of ours must give any sign, else the next target is tried; 0: Timer B.
    @ivar node: the name of the node that the request is handed over to, or an empty string.
    @ivar alternatives: other ways to the same phone, to be tried one after the other when this one is dead (RFC 5626 section 7).
    @ivar ring: seconds in which an INVITE must be answered, else it is cancelled and the next target is tried; 0: Timer C.
    @ivar diversions: who had the call go there instead.
    @ivar gateway: the name of the gateway that it is a server of, or an empty string.
    """

    uri: str
    routes: tuple[str, ...] = ()
    flow: Flow | None = None
    q: int = 1000
    party: Party | None = None
    answer_within: float = 0.0
    node: str = ""
    alternatives: tuple[Target, ...] = ()
    ring: float = 0.0
    diversions: tuple[Diversion, ...] = ()
    gateway: str = ""


class Located(NamedTuple):
    """Event: these are the targets, or more of them; an empty list means that there are no more."""

    targets: Sequence[Target]


class BranchAnswered(NamedTuple):
    """Event: a response came on a branch."""

    branch: int
    response: Response


class BranchTimedOut(NamedTuple):
    """Event: Timer B or F of a branch."""

    branch: int


class BranchFailed(NamedTuple):
    """Event: a branch could not be sent."""

    branch: int
    error: TransportError


class BranchUnusable(NamedTuple):
    """
    Event: nothing good can come of a branch that has answered with a 1xx: it is cancelled, and counts as C{status}, a response of
    our own, behind whatever others bring.
    """

    branch: int
    status: int


class Cancelled(NamedTuple):
    """Event: the caller gave up."""


class LocateTargets(NamedTuple):
    """
    Effect: answer with L{Located}.

    @ivar failed: targets that took nothing (503, time-out, no transport).
    @ivar status: what came of those that were located last: their best response, 408 when they rang for too long, 0 when none
        was reached.
    """

    failed: tuple[Target, ...]
    status: int = 0


class StartBranch(NamedTuple):
    """Effect: send a copy of the request to a target."""

    branch: int
    target: Target


class CancelBranch(NamedTuple):
    """Effect: send CANCEL on a branch (section 9.1)."""

    branch: int


class ForwardResponse(NamedTuple):
    """Effect: this response of a branch goes upstream."""

    response: Response
    branch: int


class Answer(NamedTuple):
    """Effect: a response of our own goes upstream."""

    status: int


class Ended(NamedTuple):
    """Effect: a final response went upstream, or none ever will; C{status} is 0 then."""

    status: int


Event = Located | BranchAnswered | BranchTimedOut | BranchFailed | BranchUnusable | Cancelled | TimerFired
Effect = (
    LocateTargets | StartBranch | CancelBranch | ForwardResponse | Answer | Ended | SetTimer | CancelTimer
)
