"""
The explanation of each placement, made so that it costs less than the decision.

What was looked at for a request is written down for it; of the other nodes a picture is shared between explanations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import define, field

from voipcluster.balance.decision import Gates, Own, PlacementRequest
from voipcluster.balance.explain import Candidates, Considered, Explanation
from voipcluster.balance.membership import Membership
from voipcluster.balance.policy import IBalancingPolicy, ILevelling, IPlan
from voipcluster.balance.state import NodeState
from voipcluster.balance.workload import Workload

STANDING = {
    NodeState.OPEN: "not asked",
    NodeState.SHED: "above its threshold",
    NodeState.FULL: "full",
    NodeState.DRAIN: "draining",
    NodeState.UNKNOWN: "silent or failing",
}
PICTURE = 0.1  # s that the picture of the nodes nobody asked is shared between explanations


class Rules(Protocol):
    """What a placement goes by; it may be changed while it runs."""

    policy: IBalancingPolicy
    gates: Gates


@define
class Reasons:
    """Explains the placements of the node C{table.own}."""

    table: Membership
    rules: Rules
    _fresh: bool = True
    _share: float = -1.0
    _rooms: Mapping[str, float] = field(factory=dict)
    _picture: tuple[Considered, ...] = ()
    _pictured_at: float = -1.0
    _pictured_generation: int = -1
    _leading: tuple[Workload | None, str] = (None, "")  # of the own workload, one object until it changes

    def planned(self, plan: IPlan, fresh: bool) -> None:
        """This is the plan from now on; C{fresh}: whether the reports were good enough to compare."""
        self._fresh, self._share, self._rooms = fresh, -1.0, {}
        if ILevelling.providedBy(plan) and plan.rooms:
            self._share, self._rooms = plan.share, plan.rooms

    def explain(
        self,
        request: PlacementRequest,
        own: Own,
        gate: float,
        now: float,
        outcome: str,
        chosen: str,
        reason: str,
        seen: Mapping[str, str],
    ) -> Explanation:
        """@param seen: the nodes that were looked at, and why each was taken or passed over."""
        load = own.workload
        if load is not self._leading[0]:
            self._leading = load, load.leading
        candidates: Sequence[Considered] = self._others(now)
        if seen:
            asked = tuple([self._considered(name, why, now) for name, why in seen.items()])
            candidates = Candidates(asked, self._picture)
        # in the order of its fields: by name costs as much again
        return Explanation(
            request.call_id, self.table.own, now, request.hops, load.value, self._leading[1], gate,
            self.rules.gates.hard_limit, self.rules.policy.name, outcome, chosen, reason, candidates,
            own.delay, self._share, self._fresh,
        )  # fmt: skip

    def _considered(self, name: str, reason: str, now: float) -> Considered:
        node = self.table.get(name)
        assert node is not None, name
        room = self._rooms.get(name, -1.0)
        return Considered(name, node.state.value, node.load, node.age(now), reason, node.wait, room)

    def _others(self, now: float) -> tuple[Considered, ...]:
        """All nodes without a search; a picture a tenth of a second old is good enough for those nobody asked."""
        generation = self.table.generation
        if generation != self._pictured_generation or not 0.0 <= now - self._pictured_at < PICTURE:
            self._picture = tuple(
                [self._considered(node.name, STANDING[node.state], now) for node in self.table]
            )
            self._pictured_at, self._pictured_generation = now, generation
        return self._picture
