"""
One simulated node: a queue in front of one server, and the product's own placement, table, state and reports.

What a request costs is simulated, what is decided about it is not. A request waits in the queue of the node that it came to,
and is placed when it is its turn, as in a reactor that reads its socket when it comes to it; handing it on or refusing it takes
time of the same server. The node looks at itself every C{scenario.monitor} seconds, and knows of the others what they report.
"""

from __future__ import annotations

import math
from collections import deque
from random import Random
from typing import TYPE_CHECKING

from voipcluster.balance.decision import Decision, HandOver, Own, PlacementRequest, Serve, Ticket
from voipcluster.balance.delay import NOISE
from voipcluster.balance.membership import Membership, MembersListed, ReportReceived, Tick
from voipcluster.balance.rate import Capacity, MovingRate
from voipcluster.balance.report import Report
from voipcluster.balance.start import SlowStart
from voipcluster.balance.state import Levels, Measured, NodeStateMachine
from voipcluster.balance.trigger import Changes, Pace
from voipcluster.balance.workload import PeakEwma, Workload

if TYPE_CHECKING:
    from voipcluster.simulate.cluster import Cluster

TOO_LATE = 0.1  # s of delay that count as workload 1.0, as in the product
CPU_WINDOW = 0.5  # s
RATES = 0.1  # s between samples of the rates
PAID = 2.0  # times longer waits what another node has paid for already: it is refused last
SIGN_OF_LIFE = 1.0  # s in which a node answers a hand-over with anything, as in the product


class Request:
    """
    One request of a client.

    @ivar began: when its client sent it; C{came}: when it came to where it is now.
    @ivar way: how it was handed here.
    @ivar refused: who refused it to the node where it is now.
    """

    __slots__ = ("began", "came", "number", "refused", "visited", "way")

    def __init__(self, number: int, began: float) -> None:
        self.number, self.began, self.came = number, began, began
        self.way: tuple[Handed, ...] = ()
        self.visited: tuple[str, ...] = ()
        self.refused: tuple[str, ...] = ()


class Handed:
    """One hand-over of C{request} by C{node}, C{open} until it was answered or given up."""

    __slots__ = ("life", "node", "open", "request", "ticket")

    def __init__(self, node: SimNode, request: Request, ticket: Ticket) -> None:
        self.node, self.request, self.ticket, self.life, self.open = node, request, ticket, node.epoch, True


class SimNode:
    """@ivar rate: requests per second that its clients send; C{speed}: of its server, 1.0 is C{scenario.service}."""

    def __init__(self, cluster: Cluster, number: int, name: str, rate: float) -> None:
        scenario = cluster.scenario
        self.cluster, self.world, self.scenario = cluster, cluster.world, scenario
        self.number, self.name, self.rate = number, name, rate
        self.random = Random(f"{scenario.seed}:{name}")
        self.full_speed = self.speed = scenario.speed(number)
        self.epoch, self.busy = 0, 0.0  # s of work so far
        self.alive = False

    def begin(self, slow_start: float) -> None:
        """Start, or start again, with nothing in memory."""
        scenario, now = self.scenario, self.world.now
        self.alive, self.epoch, self.seq = True, self.epoch + 1, 0
        self.queue: deque[Request] = deque()
        self.extra = 0.0  # s of work that the server does before the next request
        self.working = False
        self.busy_serving = 0.0
        self.arrived = self.completed = self.ticks = 0
        self.start = SlowStart(now, slow_start)
        # what a node refuses for want of time is C{give_up}'s to say, which stands for the overload control
        self.machine = NodeStateMachine(Levels(scenario.threshold, scenario.hard_limit, patience=math.inf))
        self.cpu: deque[float] = deque([self.busy], maxlen=max(2, round(CPU_WINDOW / scenario.monitor)) + 1)
        self.cpu_peak, self.lag_peak = PeakEwma(), PeakEwma()
        self.arrivals, self.capacity = MovingRate(tau=0.75), Capacity(tau=5.0)
        self.changes, self.pace, self.late = Changes(), Pace(), False
        self.per_rates = max(1, round(RATES / scenario.monitor))
        self.own = Own(Workload(), weight=self.start.weight(now))
        self.latest: Report | None = None
        self.table = Membership(self.name, scenario.period)
        self.table.feed(MembersListed(self.cluster.members))
        self.placement = self.cluster.placement(self)
        life = self.epoch
        self.world.at(now + self.random.random() * scenario.monitor, self._monitor, life)
        self.world.at(now + self.random.random() * scenario.period, self._report_periodically, life)

    def crash(self) -> None:
        """What is in its queue is lost; who handed it here will miss the answers."""
        self.alive = False
        for request in self.queue:
            if not request.way:
                self.cluster.lose(request)
        self.queue.clear()

    # -- requests

    def arrive(self, request: Request) -> None:
        """A request came to the socket."""
        if not self.alive:
            if not request.way:
                self.cluster.lose(request)
            return  # the node that handed it here will miss the answer
        request.came = self.world.now
        if request.way:
            self.cluster.taken(self)
        elif not request.refused:
            self.arrived += 1
        self.queue.append(request)
        if not self.working:
            self._next(self.epoch)

    def _next(self, life: int) -> None:
        """The server is free: place what waits longest, and be busy with it."""
        if life != self.epoch or not self.alive:
            return
        if not self.queue:
            self.working = False
            return
        self.working = True
        request = self.queue.popleft()
        now, scenario = self.world.now, self.scenario
        mean = scenario.service / self.speed
        cost = scenario.refuse_cost * mean
        if request.way and not request.way[-1].open:
            pass  # who handed it here has given up waiting, and cancelled it
        elif now - request.came > (PAID if request.way else 1.0) * scenario.give_up:
            self._refuse(request)
        else:
            match self._decide(request):
                case Serve():
                    cost = self.random.expovariate(1.0 / mean)
                    self._answer(request, 180, now)
                    self.world.at(now + cost, self._served, (request, life, cost))
                case HandOver() as decision:
                    cost = scenario.forward_cost * mean
                    self._hand_over(request, decision, now + cost)
                case _:
                    self._refuse(request)
        cost += self.extra
        self.extra = 0.0
        self.busy += cost
        self.world.at(now + cost, self._next, life)

    def _decide(self, request: Request) -> Decision:
        asked = PlacementRequest(
            str(request.number), True, request.visited, len(request.way), request.refused
        )
        decision: Decision = self.placement.place(asked, self.world.now, self.random.random)
        self.world.note(
            self.number, request.number, decision.explanation.outcome, decision.explanation.chosen
        )
        return decision

    def _hand_over(self, request: Request, decision: HandOver, when: float) -> None:
        """The request leaves at C{when}, with our report if that is wanted."""
        world, latency = self.world, self.scenario.latency
        target = self.cluster.by_name[decision.node]
        self.cluster.handed_over()
        onward = Request(request.number, request.began)
        handed = Handed(self, request, decision.ticket)
        onward.way = (*request.way, handed)
        onward.visited = (*request.visited, self.name)
        if request.way:
            world.at(when + latency, _tried, request.way[-1])
        if self.scenario.piggyback:
            world.at(when + latency, target.hear, self.new_report())
        world.at(when + latency, target.arrive, onward)
        if self.cluster.may_be_silent:
            world.at(when + SIGN_OF_LIFE, self._missed, handed)

    def _answer(self, request: Request, status: int, when: float) -> None:
        """The first response goes back to the node that handed the request here."""
        if request.way:
            report = self.new_report() if self.scenario.piggyback else None
            self.world.at(when + self.scenario.latency, _answered, (request.way[-1], status, report))

    def answered(self, handed: Handed, status: int, report: Report | None) -> None:
        if not handed.open or handed.life != self.epoch or not self.alive:
            return
        handed.open = False
        if report is not None:
            self.hear(report)
        self.placement.answered(handed.ticket, status, self.world.now)
        if status == 503:
            self._again(handed)

    def _missed(self, handed: Handed) -> None:
        if handed.open and handed.life == self.epoch and self.alive:
            handed.open = False
            self.placement.failed(handed.ticket, self.world.now)
            self._again(handed)

    def _again(self, handed: Handed) -> None:
        """The next node is to be asked."""
        request = handed.request
        request.refused = (*request.refused, handed.ticket.node)
        self.arrive(request)

    def _refuse(self, request: Request) -> None:
        if not request.way:
            self.cluster.refuse(request)
        self._answer(request, 503, self.world.now)

    def _served(self, what: tuple[Request, int, float]) -> None:
        request, life, cost = what
        if life == self.epoch and self.alive:
            self.completed += 1
            self.busy_serving += cost
            self.cluster.served(request)
        else:
            self.cluster.lose(request)

    # -- workload and reports

    def _monitor(self, life: int) -> None:
        """Look at the own queue, and tell the others when it matters."""
        if life != self.epoch or not self.alive:
            return
        world, scenario = self.world, self.scenario
        now = world.now
        world.at(now + scenario.monitor, self._monitor, life)
        self.ticks += 1
        delay = self._delay(now)
        self.cpu.append(self.busy)
        share = (self.busy - self.cpu[0]) / (scenario.monitor * (len(self.cpu) - 1))
        self.capacity.feed(self.completed, self.busy_serving, scenario.monitor, delay >= NOISE)
        self.completed, self.busy_serving = 0, 0.0
        if self.ticks % self.per_rates == 0:
            self.arrivals.feed(
                self.arrived / (scenario.monitor * self.per_rates), scenario.monitor * self.per_rates
            )
            self.arrived = 0
        workload = Workload(
            cpu=self.cpu_peak.feed(min(1.0, share), now),
            lag=self.lag_peak.feed(min(1.0, delay / TOO_LATE), now),
        )
        self.machine.feed(Measured(workload, now))
        self.latest = None
        machine = self.machine
        self.own = Own(
            workload=workload,
            state=machine.state,
            drowning=machine.drowning,
            delay=delay,
            arrival_rate=self.arrivals.value,
            capacity=self.capacity.value,
            weight=self.start.weight(now),
        )
        if (
            scenario.triggered
            and self.changes.matter(self.own, 0, 0)
            and not self.pace.wait(now, len(self.table), self.changes.urgent(self.own))
        ):
            self._tell()

    def _delay(self, now: float) -> float:
        """What a new request would wait: the queue at the measured capacity, but not less than the first of it has waited."""
        if not self.queue:
            return 0.0
        by_length = len(self.queue) / self.capacity.value if self.capacity.value else 0.0
        return max(by_length, now - self.queue[0].came)

    def _report_periodically(self, life: int) -> None:
        if life == self.epoch and self.alive:
            self.world.at(self.world.now + self.scenario.period, self._report_periodically, life)
            self.table.feed(Tick(self.world.now))
            self._tell()

    def _report(self, seq: int) -> Report:
        own = self.own
        return Report(
            node=self.name, epoch=self.epoch, seq=seq, state=own.state, workload=own.workload, delay=own.delay,
            arrival_rate=own.arrival_rate, capacity=own.capacity, weight=own.weight, period=self.scenario.period,
            spontaneous=self.scenario.triggered,
        )  # fmt: skip

    def new_report(self) -> Report:
        """The latest report; a new one only when the node has looked at itself since."""
        if self.latest is None:
            self.seq += 1
            self.latest = self._report(self.seq)
        return self.latest

    def _tell(self) -> None:
        self.changes.tell(self.own, 0)
        self.cluster.tell(self, self.new_report())

    def hear(self, report: Report) -> None:
        if not self.alive:
            return
        known = self.table.get(report.node)
        if known is None or known.report is None or report.version > known.report.version:
            self.table.feed(ReportReceived(report, self.world.now))


def _tried(handed: Handed) -> None:
    """A node that hands a request on says so with a 100 to the one before it."""
    if handed.open and handed.life == handed.node.epoch:
        handed.node.placement.answered(handed.ticket, 100, handed.node.world.now)


def _answered(what: tuple[Handed, int, Report | None]) -> None:
    handed, status, report = what
    handed.node.answered(handed, status, report)
