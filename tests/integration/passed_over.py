"""
Where a call went that was to go to a certain node, on a machine that is busy.

A node that has to wait for the processor is above its threshold for a moment, or answers late, and placement rightly passes it
over. C{voipctl explain} says so of each call. A test of the order of nodes that met such a moment has shown nothing, and runs
again from its beginning; one whose call went elsewhere without such a reason has failed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import wraps
from typing import Any

from twisted.trial.unittest import FailTest

from demo.cluster import Cluster
from voipcluster.balance.decision import Gates
from voipcluster.balance.placement import AS_LATE, NO_CAPACITY, OVERDUE, STARTING
from voipcluster.balance.reasons import STANDING
from voipcluster.balance.state import NodeState

__all__ = ["PassedOver", "Placing", "again_if_passed_over", "moments"]

TRIES = 4
LIMIT = 300  # seconds for all of them
MOST = 100  # calls at a node in any test of placement: a share of the limit that would be more of them is no count of calls
NEAR = 1e-3  # of a call
ABOVE = (
    STANDING[NodeState.SHED],
    STANDING[NodeState.FULL],
    "at its threshold with what we handed to it",
    "not enough better",
)
SILENT = (
    STANDING[NodeState.UNKNOWN],
    OVERDUE,
    AS_LATE,
    NO_CAPACITY,  # it was stopped for a second
    STARTING,  # or was so before
    "its report is too old",
    "refused it",
    "refused a request just now",
)
BUSY = ("cpu", "lag")  # components of the workload that are for a moment only
LEVELLED = ("the plan gives this share away", "much less waits there", "it waits here for longer")


class PassedOver(FailTest):
    """A node was passed over for what it was for a moment."""


def again_if_passed_over(test: Callable[[Any], Awaitable[None]]) -> Any:
    """A test that begins anew, with nodes and a network of its own, when one of its calls was not placed for L{PassedOver}."""

    @wraps(test)
    async def tried(self: Any) -> None:
        for left in reversed(range(TRIES)):
            try:
                await test(self)
                return
            except PassedOver:
                if not left:
                    raise
            await self.begin_anew()

    tried.timeout = LIMIT  # trial looks at the method first
    return tried


class Placing:
    """Mixed into a test case with a cluster."""

    cluster: Cluster

    async def placed(
        self, found: Any, wanted: Any, calls: Iterable[str], *, nodes: Collection[str] = (), limit: int = 2000
    ) -> None:
        """
        Fail unless what was found of where calls went is what is wanted; for tests that begin C{again_if_passed_over}.

        @param calls: Call-IDs. @param nodes: that were to serve one of them or hand it on; all unless told otherwise.
        @param limit: C{limits.calls} of the nodes.
        @raise PassedOver: it is not, because one of the nodes was too busy for a moment.
        """
        if found == wanted:
            return
        wanting = nodes or [node.name for node in self.cluster.nodes]
        hops = [hop for call in calls for hop in await self.cluster.primary.ask("explain", call_id=call)]
        if why := [moment for hop in hops for moment in moments(hop, wanting, limit)]:
            raise PassedOver(f"{found} instead of {wanted}, since {'; '.join(why)}")
        raise FailTest(f"{found} instead of {wanted}, and no node was too busy: {hops}")

    async def begin_anew(self) -> None:
        """End all that the test has begun, so that it can begin once more."""
        test: Any = self
        await test.tearDown()
        test.setUp()


def moments(decision: Mapping[str, Any], nodes: Collection[str], limit: int) -> list[str]:
    """
    What kept these nodes from a request for a moment only, in words; none when what decided was counted, or the order.

    @param decision: one row of C{voipctl explain}.
    @param limit: C{limits.calls} of the nodes.
    """
    found = []
    own, why = decision["node"], decision["reason"]
    if own in nodes:
        if decision["leading"] in BUSY and decision["own"] >= decision["gate"]:
            found.append(f"{own} was at {decision['own']:.2f} for its {decision['leading']}")
        elif any(levelled in why for levelled in LEVELLED):
            found.append(f"a request waited {decision['delay']:.3f} s at {own}: {why}")
    threshold = decision["gate"] - Gates().rise * decision["hops"]
    for one in decision["candidates"]:
        if one["node"] not in nodes:
            continue
        reason = one["reason"]
        if reason in SILENT or (reason in ABOVE and not _counted(one["workload"], threshold, limit)):
            found.append(f"{one['node']} at {one['workload']:.2f} to {own}: {reason}")
    return found


def _counted(workload: float, threshold: float, limit: int) -> bool:
    """Whether it is calls that keep a node out: they act as they are, so it is the share of so many, and above the threshold."""
    calls = workload * limit
    return calls > threshold * limit - NEAR and calls < MOST and abs(calls - round(calls)) < NEAR
