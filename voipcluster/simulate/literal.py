"""
The threshold rule taken literally, to be seen beside the product's: whoever is above the threshold hands on.

It has no guards: no look at whether the other one is truly better, no hard limit, none against sending around what nobody can
take. It ends when a node is below the threshold or when the hops are used up.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define

from voipcluster.balance.decision import (
    Decision,
    Gates,
    HandOver,
    Own,
    PlacementRequest,
    Serve,
    Ticket,
)
from voipcluster.balance.explain import Explanation
from voipcluster.balance.membership import Membership
from voipcluster.balance.policy import Rand


@define
class LiteralRule:
    """@ivar hops: how often a request may be handed on; 0 serves all where it comes."""

    own: Callable[[], Own]
    table: Membership
    gates: Gates
    hops: int = 3

    def place(self, request: PlacementRequest, now: float, rand: Rand) -> Decision:
        own = self.own()
        target = ""
        if own.workload.value >= self.gates.threshold and request.hops < self.hops:
            left = [
                node
                for node in self.table
                if node.name not in request.visited and node.name not in request.refused
            ]
            if left:
                target = min(left, key=lambda node: (node.value >= self.gates.threshold, rand())).name
        explanation = Explanation(
            request.call_id, self.table.own, now, request.hops, own.workload.value, "", self.gates.threshold,
            1.0, "literal", "hand-over" if target else "serve", target or self.table.own, "",
        )  # fmt: skip
        return HandOver(target, Ticket(target, 0), explanation) if target else Serve(explanation)

    def answered(self, ticket: Ticket, status: int, now: float) -> None:
        """It remembers nothing."""

    def failed(self, ticket: Ticket, now: float) -> None:
        """It remembers nothing."""
