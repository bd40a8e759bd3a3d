"""
A cluster in virtual time: the real workload service, table, policies and placement; only SIP and the link are played.

Requests and reports travel with a delay drawn per pair of nodes from a generator seeded by name, reports as the dicts of the
wire format. All that happens goes into a trace, whose digest is the same for the same seed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from tests.simulation.clock import HeapClock
from voipcluster.balance.codec import decode, encode
from voipcluster.balance.decision import Gates, HandOver, PlacementRequest, Serve, Ticket
from voipcluster.balance.explain import ExplainLog
from voipcluster.balance.membership import LinkLost, Membership, MembersListed, ReportReceived, Tick
from voipcluster.balance.messages import Member
from voipcluster.balance.placement import Placement
from voipcluster.balance.planned import Planned
from voipcluster.balance.policy import IBalancingPolicy
from voipcluster.balance.state import Levels
from voipcluster.services.workload import Limits, Sources, WorkloadService

TIMEOUT = 0.5  # s after which a handed-over request without an answer failed


@define
class Load:
    """What the node's sources say; a test sets it."""

    calls: int = 0
    cpu: float = 0.0
    stalled: float = 0.0  # seconds by which everything on this node is late
    used: float = 0.0
    asked_at: float = 0.0

    def cpu_seconds(self, now: float) -> float:
        self.used += self.cpu * (now - self.asked_at)
        self.asked_at = now
        return self.used


@define(eq=False)
class Call:
    """One offered call: where it went. C{served} is empty while it is under way and C{-} when it was refused."""

    call_id: str
    path: list[str] = field(factory=list)
    served: str = ""


@implementer(IReactorTime)
class NodeClock:
    """The world's clock as a node sees it whose machine gives it no time: all that it asks for is late."""

    def __init__(self, clock: HeapClock, load: Load) -> None:
        self._clock, self._load = clock, load
        self.seconds, self.getDelayedCalls = clock.seconds, clock.getDelayedCalls

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: object, **kw: object
    ) -> IDelayedCall:
        return self._clock.callLater(delay + self._load.stalled, callable, *args, **kw)


class SimNode:
    def __init__(self, world: World, name: str, epoch: int = 1) -> None:
        self.world, self.name, self.alive, self.seq, self.peak = world, name, True, 0, 0
        self.random = Random(f"{world.seed}:{name}")
        self.load = Load()
        self.table = Membership(name, world.period)
        self.table.feed(MembersListed(world.members))
        self.service = WorkloadService(
            NodeClock(world.clock, self.load),
            node=name,
            epoch=epoch,
            sources=Sources(
                calls=lambda: self.load.calls,
                cpu=self._cpu_seconds,
                memory=lambda: 0,
                wall=world.clock.seconds,
            ),
            limits=Limits(calls=world.limit),
            levels=Levels(world.gates.threshold, world.gates.hard_limit),
            step=world.gates.step,
            period=world.period,
            on_change=self.report if world.spontaneous else self._swallow,
        )
        self.placement = Placement(self.service.own, self.table, world.policy, world.gates)
        self.log = ExplainLog()
        self.service.startService()
        world.clock.callLater(self.random.random() * world.period, self._beat)

    def _cpu_seconds(self) -> float:
        return self.load.cpu_seconds(self.world.clock.seconds())

    def _swallow(self) -> None:
        """Spontaneous reports are lost on the way."""
        self.seq += 1
        self.service.report(self.seq)

    def _beat(self) -> None:
        if self.alive:
            self.table.feed(Tick(self.world.clock.seconds()))
            self.report()
            self.world.clock.callLater(self.world.period, self._beat)

    def report(self) -> None:
        self.seq += 1
        wire = encode(self.service.report(self.seq))
        self.world.reports += 1
        for other in self.world.nodes.values():
            if other is not self:
                self.world.send(self, other, lambda node, wire=wire: node.hear(wire))

    def hear(self, wire: dict[str, object]) -> None:
        self.table.feed(ReportReceived(decode("report", wire), self.world.clock.seconds()))

    def take(self, call: Call, request: PlacementRequest, answer: Callable[[int], None]) -> None:
        """A new call came, from a client or from another node; C{answer(status)} goes back where it came from."""
        now = self.world.clock.seconds()
        if self.name not in call.path:
            call.path.append(self.name)
        decision = self.placement.place(request, now, self.random.random)
        self.log.add(decision.explanation)
        self.world.note(self.name, call.call_id, type(decision).__name__, decision.explanation.chosen)
        match decision:
            case Serve():
                self.load.calls += 1
                self.peak = max(self.peak, self.load.calls)
                call.served = self.name
                self.service.touch()
                answer(180)
            case HandOver(chosen, ticket):
                self._hand_over(call, request, chosen, ticket, answer)
            case _:
                answer(503)

    def _hand_over(
        self,
        call: Call,
        request: PlacementRequest,
        chosen: str,
        ticket: Ticket,
        answer: Callable[[int], None],
    ) -> None:
        world = self.world
        onward = PlacementRequest(call.call_id, visited=(*request.visited, self.name), hops=request.hops + 1)
        again = PlacementRequest(
            call.call_id, visited=request.visited, hops=request.hops, refused=(*request.refused, chosen)
        )

        def answered(status: int) -> None:
            if not late.active():
                return
            late.cancel()
            self.placement.answered(ticket, status, world.clock.seconds())
            if status == 503:
                self.take(call, again, answer)
            else:
                answer(status)

        def timed_out() -> None:
            self.placement.failed(ticket, world.clock.seconds())
            self.take(call, again, answer)

        late = world.clock.callLater(TIMEOUT, timed_out)
        target = world.nodes[chosen]
        world.send(
            self,
            target,
            lambda node: node.take(
                call, onward, lambda status: world.send(node, self, lambda _: answered(status))
            ),
        )

    def hang_up(self) -> None:
        self.load.calls -= 1
        self.service.touch()

    def crash(self, links_break: bool) -> None:
        self.alive = False
        self.service.stopService()
        for other in self.world.nodes.values():
            if links_break and other is not self:
                other.table.feed(LinkLost(self.name))


class World:
    """C{count} nodes named a, b, c ...; C{policy} is shared by them: policies hold no state."""

    def __init__(
        self,
        count: int = 3,
        *,
        seed: int = 1,
        policy: IBalancingPolicy | None = None,
        limit: int = 20,
        period: float = 1.0,
        gates: Gates | None = None,
        spontaneous: bool = True,
        latency: float = 0.002,
    ) -> None:
        self.seed, self.limit, self.period, self.latency = seed, limit, period, latency
        self.policy = Planned(period) if policy is None else policy
        self.gates = Gates() if gates is None else gates
        self.spontaneous = spontaneous
        self.clock = HeapClock()
        self.reports, self.trace = 0, hashlib.sha256()
        self.calls: list[Call] = []
        self._links: dict[tuple[str, str], Random] = {}
        names = [chr(ord("a") + number) for number in range(count)]
        self.members = tuple(
            Member(name=name, role="secondary", address=f"127.0.0.{number + 1}")
            for number, name in enumerate(names)
        )
        self.nodes: dict[str, SimNode] = {}
        for name in names:
            self.nodes[name] = SimNode(self, name)
        self.clock.advance(2 * period)  # all have heard all

    def send(self, source: SimNode, target: SimNode, deliver: Callable[[SimNode], None]) -> None:
        """Deliver after a delay in order of sending, if the target is alive then."""
        link = self._links.setdefault(
            (source.name, target.name), Random(f"{self.seed}:{source.name}:{target.name}")
        )
        delay = self.latency * (0.5 + link.random())
        self.clock.callLater(delay, lambda: deliver(target) if target.alive and source.alive else None)

    def note(self, *what: object) -> None:
        self.trace.update(repr((round(self.clock.seconds(), 9), *what)).encode())

    def offer(self, name: str) -> Call:
        """A client starts a call through that node."""
        call = Call(f"call-{len(self.calls)}")
        self.calls.append(call)
        node = self.nodes[name]
        node.service.request_arrived()

        def answer(status: int) -> None:
            if status == 503:
                call.served = "-"

        node.take(call, PlacementRequest(call.call_id), answer)
        return call

    def offer_all(self, count: int, name: str, every: float) -> None:
        for _ in range(count):
            self.offer(name)
            self.clock.advance(every)
        self.clock.advance(2.0)

    def held(self) -> dict[str, int]:
        return {name: node.load.calls for name, node in self.nodes.items()}

    def outcome(self) -> Counter[str]:
        return Counter(call.served for call in self.calls)
