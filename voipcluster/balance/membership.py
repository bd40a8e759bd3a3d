"""
Who is in the cluster, and what is known of each: the table behind every placement.

It is a machine: reports, lost links, failed forwards and ticks go in, changes of what a node is to us come out. A node that is
silent for three of its periods, whose link broke, that failed two forwards in a row or said that it stops is UNKNOWN, and no
target, until it is heard again. Time in which this node was stopped itself is nobody's silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from attrs import define, field

from voipcluster.balance.inflight import Assignments
from voipcluster.balance.messages import Member
from voipcluster.balance.report import NOTHING, Report
from voipcluster.balance.rider import Rider
from voipcluster.balance.state import NodeState
from voipcluster.balance.trigger import is_urgent

SILENT_PERIODS = 3
FAILURES = 2
STRANGERS = 64  # nodes heard before they were listed
LONGEST = 3600.0  # s of waiting, as in the reports


class MembersListed(NamedTuple):
    """Event: the members of the cluster, in the order of joining."""

    members: tuple[Member, ...]


class ReportReceived(NamedTuple):
    """Event: a report came at C{now} (seconds on the own clock)."""

    report: Report
    now: float


class RiderReceived(NamedTuple):
    """Event: a hand-over of the node, or its answer to one, brought the quick part of a report."""

    node: str
    rider: Rider
    now: float


class LinkLost(NamedTuple):
    """Event: no link to the node is left."""

    node: str


class CallFailed(NamedTuple):
    """Event: a request handed to the node got no answer, or could not be sent."""

    node: str


class CallAnswered(NamedTuple):
    """Event: a request handed to the node was answered."""

    node: str


class CallRefused(NamedTuple):
    """Event: the node refused a request with 503; hand it nothing before C{until}, seconds."""

    node: str
    until: float


class NodeLeaves(NamedTuple):
    """Event: the node says that it stops, as its operator wants."""

    node: str


class Resumed(NamedTuple):
    """Event: until C{now} this node itself did nothing: what the others reported in the meantime is still to be read."""

    now: float


class Tick(NamedTuple):
    """Event: time passed; feed one at least every period."""

    now: float


Event = (
    MembersListed
    | ReportReceived
    | RiderReceived
    | LinkLost
    | CallFailed
    | CallAnswered
    | CallRefused
    | NodeLeaves
    | Resumed
    | Tick
)


class StateLearnt(NamedTuple):
    """Effect: the node is something else to us now; C{reason} says why."""

    node: str
    old: NodeState
    new: NodeState
    reason: str


class ReportDropped(NamedTuple):
    """Effect: a report was not used; C{dropped} counts those of the node."""

    node: str
    reason: str
    dropped: int


Effect = StateLearnt | ReportDropped


@define(slots=True)
class Node:
    """
    What is known of one node; policies read it, and must not write it.

    @ivar place: its place in the order of joining, from 0; after all listed ones when it is not listed yet.
    @ivar state: what it is to us: its own word, or UNKNOWN.
    @ivar value: its reported workload.
    @ivar heard: when its latest report came, seconds; C{None} before the first.
    @ivar listened: since when we have been listening without a pause, seconds.
    @ivar ridden: version of the latest rider; C{quick}: when that came.
    @ivar left: it has stopped in good order, and was not heard since.
    """

    name: str
    place: int
    member: Member | None = None
    report: Report | None = None
    state: NodeState = NodeState.UNKNOWN
    heard: float | None = None
    listened: float = 0.0
    left: bool = False
    period: float = 1.0
    failures: int = 0
    refused_until: float = 0.0
    ridden: tuple[int, int] = (-1, -1)
    quick: float | None = None
    dropped: int = 0
    value: float = 0.0
    delay: float = 0.0
    arrival_rate: float = 0.0
    capacity: float = 0.0
    weight: float = 1.0
    assigned: Assignments = field(factory=Assignments)

    def take(self, report: Report, now: float) -> None:
        risen = report.calls - self.report.calls if self.report else 0
        self.report, self.heard = report, now
        self.value, self.delay = report.value, report.delay
        self.arrival_rate, self.capacity = report.arrival_rate, report.capacity
        self.weight = report.weight
        self.assigned.reported(risen, now)

    @property
    def load(self) -> float:
        """The workload, with the calls that we handed to it and that it did not report yet."""
        unseen, report = self.assigned.calls, self.report
        if not unseen or report is None or not report.calls_limit:
            return self.value
        return max(self.value, (report.calls + unseen) / report.calls_limit)

    @property
    def counted(self) -> float:
        """The part of C{load} that is counted: calls and other shares of a limit."""
        report = self.report
        if report is None:
            return 0.0
        if not report.calls_limit:
            return report.workload.counted
        return max(report.workload.counted, (report.calls + self.assigned.calls) / report.calls_limit)

    @property
    def wait(self) -> float:
        """Seconds that a request handed to it now would wait, by its report and our unanswered requests."""
        pending = self.assigned.pending
        if not pending or not self.capacity:
            return self.delay
        return min(LONGEST, self.delay + pending / self.capacity)

    @property
    def serves_nothing(self) -> bool:
        """It says so; one that does not know its capacity yet says nothing."""
        return 0.0 < self.capacity <= NOTHING

    def age(self, now: float) -> float:
        """Seconds since it was heard of, by a report or with a request; -1 without a report."""
        return -1.0 if self.heard is None else now - max(self.heard, self.quick or self.heard)

    def is_silent(self, now: float) -> bool:
        """Whether its report is too old to go by."""
        return self.heard is not None and now - max(self.heard, self.listened) >= SILENT_PERIODS * self.period

    def heartbeat(self, now: float) -> bool:
        """Whether the table shows it as it is now: no report is overdue, and it reports changes at once."""
        return (
            self.heard is not None
            and self.report is not None
            and self.report.spontaneous
            and now - self.heard <= 1.5 * self.period
        )


@define
class Membership:
    """
    The table of the other nodes, as seen by C{own}.

    @ivar period: seconds between reports, for a node that does not say its own.
    @ivar version: changes with everything that was learnt.
    @ivar generation: changes when a node became something else to us, or all at once much slower, came or went.
    """

    own: str
    period: float = 1.0
    version: int = 0
    generation: int = 0
    own_place: int = 0
    _nodes: dict[str, Node] = field(factory=dict)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, name: str) -> Node | None:
        return self._nodes.get(name)

    def feed(self, event: Event) -> list[Effect]:
        self.version += 1
        match event:
            case ReportReceived(report, now):
                return self._report(report, now)
            case Tick(now):
                return self._tick(now)
            case RiderReceived(name, rider, now):
                return self._ridden(name, rider, now)
            case Resumed(now):
                for each in self:
                    each.listened = now
                return []
            case MembersListed(members):
                self._list(members)
                return []
            case CallAnswered(name):
                if node := self._nodes.get(name):
                    node.failures = 0
                return []
            case CallRefused(name, until):
                if node := self._nodes.get(name):
                    node.refused_until = max(node.refused_until, until)
                return []
            case CallFailed(name):
                return self._failed(name)
            case NodeLeaves(name):
                return self._lost(name, "it stops", left=True)
            case LinkLost(name):
                return self._lost(name, "link lost")

    def _list(self, members: tuple[Member, ...]) -> None:
        old, self._nodes = self._nodes, {}
        for place, member in enumerate(members):
            if member.name == self.own:
                self.own_place = place
                continue
            node = old.pop(member.name, None) or Node(member.name, place, period=self.period)
            node.member, node.place = member, place
            self._nodes[member.name] = node
        self.generation += 1  # the nodes left over are members no more

    def _report(self, report: Report, now: float) -> list[Effect]:
        if report.node == self.own:
            return []
        node = self._nodes.get(report.node)
        if node is None:
            if len(self._nodes) - sum(known.member is not None for known in self) >= STRANGERS:
                return [ReportDropped(report.node, "not a member", 0)]
            node = self._nodes[report.node] = Node(report.node, len(self._nodes) + 1, period=self.period)
        if node.report is not None and report.version <= node.report.version:
            node.dropped += 1
            return [ReportDropped(report.node, "not newer than the one before", node.dropped)]
        restarted = node.report is not None and report.epoch > node.report.epoch
        if restarted:
            node.assigned.clear()  # it forgot what we handed to it
        node.failures, node.left = 0, False
        node.period = report.period or self.period
        if is_urgent(node.delay, node.capacity, report.delay, report.capacity):
            self.generation += 1
        node.take(report, now)
        return self._learn(node, report.state, "restarted" if restarted else "reported")

    def _ridden(self, name: str, rider: Rider, now: float) -> list[Effect]:
        """A rider never makes a node known or heard: it may have been under way while the link was lost."""
        node = self._nodes.get(name)
        if node is None or node.report is None or node.state is NodeState.UNKNOWN:
            return []
        if rider.epoch != node.report.epoch or rider.after < node.report.seq:
            return []  # the link was quicker, and a report says it all
        if (rider.epoch, rider.seq) <= node.ridden:
            return []
        node.ridden = rider.epoch, rider.seq
        if is_urgent(node.delay, node.capacity, rider.delay, rider.capacity):
            self.generation += 1
        node.value, node.delay, node.weight = rider.value, rider.delay, rider.weight
        node.arrival_rate, node.capacity = rider.arrival_rate, rider.capacity
        node.quick = now
        return self._learn(node, rider.state, "said so with a request")

    def _tick(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for node in self:
            if node.is_silent(now):
                effects += self._learn(node, NodeState.UNKNOWN, f"silent for {node.age(now):.1f} s")
        return effects

    def _lost(self, name: str, reason: str, left: bool = False) -> list[Effect]:
        node = self._nodes.get(name)
        if node is None:
            return []
        node.left = node.left or left
        return self._learn(node, NodeState.UNKNOWN, reason)

    def _failed(self, name: str) -> list[Effect]:
        node = self._nodes.get(name)
        if node is None:
            return []
        node.failures += 1
        if node.failures < FAILURES:
            return []
        return self._learn(node, NodeState.UNKNOWN, f"failed {node.failures} requests in a row")

    def _learn(self, node: Node, state: NodeState, reason: str) -> list[Effect]:
        if node.state is state:
            return []
        old, node.state = node.state, state
        self.generation += 1
        if state is NodeState.UNKNOWN:
            node.assigned.clear()
        return [StateLearnt(node.name, old, state, reason)]
