"""What must hold in every simulation, whatever was done to nodes and network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.simulation.phones import PATIENCE

if TYPE_CHECKING:
    from tests.simulation.phones import Attempt
    from tests.simulation.world import World

TIMER_B = 32.0  # seconds in which a caller knows that nobody answers (RFC 3261 section 17.1.1.2)
FORGET = 2.0  # seconds after a BYE was answered in which every node has forgotten the call


def violations(world: World) -> list[str]:
    """Each violation in words; none when all is well."""
    return [
        f"{attempt.call_id}: {fault}"
        for attempt in world.attempts
        for rule in (_one_visit, _an_end, _forgotten)
        for fault in rule(world, attempt)
    ]


def _one_visit(world: World, attempt: Attempt) -> Iterator[str]:
    """
    No request comes to be placed twice at one node, nor is it handed over more often than the budget allows.

    Unless a node took another one for dead and asked the next, while the first one was handing it on: nobody can know of both.
    """
    placed = [
        (node.name, one.hops) for node in world.nodes.values() for one in node.explanations(attempt.call_id)
    ]
    asked_again = len(placed) > len(set(placed))
    for node in world.nodes.values():
        explained = node.explanations(attempt.call_id)
        hops = {one.hops for one in explained}
        if len(hops) > 1 and not asked_again:
            yield f"came to node {node.name} {len(hops)} times, after {sorted(hops)} hand-overs"
        budget = node.config.cluster.hop_budget
        if any(one.hops > budget or (one.hops == budget and one.outcome == "hand-over") for one in explained):
            yield f"node {node.name} saw more than {budget} hand-overs"


def _an_end(world: World, attempt: Attempt) -> Iterator[str]:
    """
    Every INVITE gets a final response, or its caller's Timer B says that there is none.

    When its first node dies behind a provisional response nothing does: such a caller hangs up, and waits for an answer to that.
    """
    if not attempt.answered and not attempt.over and world.now > attempt.at + PATIENCE + TIMER_B + 1.0:
        yield f"has neither an answer nor an end {world.now - attempt.at:.0f} s after its INVITE"


def _forgotten(world: World, attempt: Attempt) -> Iterator[str]:
    """
    No call is counted at a node after its BYE was answered, or its INVITE refused.

    Unless a phone still has it: one that was called over a node which was taken for dead, and waits for its ACK.
    """
    if attempt.ended_at is None or world.now < attempt.ended_at + FORGET or attempt.status == 408:
        return
    if any(phone.has(attempt.call_id) for phone in (*world.callers, *world.callees)):
        return
    for node in world.alive:
        if attempt.call_id in node.calls:
            yield f"is still counted at node {node.name}, {world.now - attempt.ended_at:.1f} s after its end"
