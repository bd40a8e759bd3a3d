"""What goes into a placement and what comes out."""

from __future__ import annotations

from typing import NamedTuple

from attrs import frozen

from voipcluster.balance.explain import Explanation
from voipcluster.balance.state import NodeState
from voipcluster.balance.workload import Workload


@frozen
class Gates:
    """
    The numbers of a placement; workloads, unless they say otherwise.

    @ivar threshold: the gate for a request that comes from a client.
    @ivar hard_limit: from here on a node refuses what nobody else takes.
    @ivar rise: what the own gate rises by for each hop that the request has made, so that it comes to rest.
    @ivar step: how much better another one must be before a node above the threshold hands a call to it.
    @ivar hop_budget: how often a request may be handed over.
    @ivar headroom: how many times the own headroom another one must have, when time (C{cpu}, C{lag}) is what is short.
    @ivar hand_over_cost: what handing a call over costs as a share of serving it: the INVITE and its responses cross us, the
        rest of the call does not. More than can be handed over is refused.
    @ivar plan_delay: seconds; with less own delay the plan's share is not given away, because the node is idle.
    @ivar slow: seconds; from this own delay on a node gives to a quicker one, where all are above the threshold for want of time;
        but not while it is less than twice the mean delay of all.
    @ivar improve: how much of the own delay the quicker one may have.
    @ivar late: seconds; a node where a request would wait longer takes no planned share, unless it is less than three times the
        mean delay of all.
    @ivar answer: seconds; a node that has not answered what we handed to it for so much longer than it takes there and back gets
        nothing more until it does; three times what its answers take usually, and 0.03, are too long before.
    @ivar fresh: share of the nodes that must be heard on time for reports to be compared.
    @ivar replan: seconds between plans while only numbers change.
    """

    threshold: float = 0.75
    hard_limit: float = 0.95
    rise: float = 0.1
    step: float = 0.02
    hop_budget: int = 2
    headroom: float = 2.0
    hand_over_cost: float = 0.5
    plan_delay: float = 0.001
    slow: float = 0.06
    improve: float = 0.3
    late: float = 0.05
    answer: float = 0.1
    fresh: float = 0.9
    replan: float = 0.05


class PlacementRequest(NamedTuple):
    """
    What placing needs to know of a request.

    @ivar call: it starts a call (INVITE); a REGISTER or MESSAGE fills no place, and is not refused for want of one.
    @ivar relay: it needs our RTP relay; only such is kept out when packets are what is too much.
    @ivar visited: the nodes that handed it on; C{hops}: how often that was.
    @ivar refused: the nodes that this node handed it to before, in vain.
    @ivar committed: the client was redirected here: serve or refuse.
    """

    call_id: str
    call: bool = True
    visited: tuple[str, ...] = ()
    hops: int = 0
    refused: tuple[str, ...] = ()
    committed: bool = False
    relay: bool = True


@frozen(slots=True)
class Own:
    """
    The own node at this moment.

    @ivar drowning: see L{voipcluster.balance.state.NodeStateMachine}.
    @ivar delay: C{arrival_rate}, C{capacity}, C{weight}, C{refusal_rate}, C{quota}: see
        L{voipcluster.balance.report.Report}.
    @ivar granted: see L{voipcluster.balance.granted.Granted}; C{capacity} is what is left by it, and by the quota.
    @ivar controlled: overload control stands in front of placement: what comes here was let in, and is not refused once more
        because the node has no time.
    """

    workload: Workload
    state: NodeState = NodeState.OPEN
    drowning: bool = False
    delay: float = 0.0
    arrival_rate: float = 0.0
    capacity: float = 0.0
    weight: float = 1.0
    refusal_rate: float = 0.0
    quota: float = 1.0
    granted: float = 1.0
    controlled: bool = False


class Ticket(NamedTuple):
    """One assignment, to be closed by C{Placement.answered} or C{Placement.failed}."""

    node: str
    number: int


class Serve(NamedTuple):
    """Serve it here; a call counts from now on."""

    explanation: Explanation


@frozen(slots=True)
class HandOver:
    """Hand it to C{node}, or redirect the client there."""

    node: str
    ticket: Ticket
    explanation: Explanation


@frozen(slots=True)
class Refuse:
    """Answer C{status}, without Retry-After (RFC 7339 section 5.10.2)."""

    explanation: Explanation
    status: int = 503


Decision = Serve | HandOver | Refuse
