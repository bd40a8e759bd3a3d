"""
Placement: who serves a request.

The first node below the threshold, in the order of the policy; when nobody is below, the node itself while it is below the hard
limit; else nobody. The guards keep "forward until one is found" stable: a target is fresh, open, not visited, within the hop
budget and known to have room. A node that has no time left hands on only to nodes below the threshold, which takes far less
time than serving, and refuses when there are none or when even that is more than it can do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from attrs import define, field

from voipcluster.balance.decision import (
    Decision,
    Gates,
    HandOver,
    Own,
    PlacementRequest,
    Refuse,
    Serve,
    Ticket,
)
from voipcluster.balance.explain import Explanation
from voipcluster.balance.membership import (
    CallAnswered,
    CallFailed,
    CallRefused,
    Membership,
    Node,
)
from voipcluster.balance.policy import Even, IBalancingPolicy, ILevelling, IPlan, Rand
from voipcluster.balance.reasons import STANDING, Reasons
from voipcluster.balance.report import NOTHING
from voipcluster.balance.state import NodeState

OPEN, SHED, FULL, DRAIN, UNKNOWN = (
    NodeState.OPEN,
    NodeState.SHED,
    NodeState.FULL,
    NodeState.DRAIN,
    NodeState.UNKNOWN,
)
STARTING = "it has just started, and takes a part of its share"
OVERDUE = "has not answered what was handed to it"
NO_CAPACITY = "can serve nothing now, as it says"
AS_LATE = "as much waits there"
EPSILON = 1e-9  # workloads are quotients: 0.85 - 0.80 is a little less than 0.05
REFUSED_FOR = 0.5  # s, the default of oc-validity (RFC 7339 section 4.3)
SLOW_TIMES, LATE_TIMES = 2.0, 3.0  # of the mean wait of all: from there on Gates.slow and Gates.late count
STUCK = 0.1  # s of own delay from where on what was handed here goes on
BACK_OFF = (
    0.5  # share that is kept from a node that refused, where all are busy; keeping all away makes waves
)


@define(slots=True)
class _Search:
    """One request on its way through the table. C{seen}: the nodes passed over, and why."""

    request: PlacementRequest
    own: Own
    gate: float
    now: float
    below: bool
    levelling: bool = False
    seen: dict[str, str] = field(factory=dict)


@define
class Placement:
    """
    Places requests for the node C{table.own}.

    @ivar own: gives the own node as it is now; it must count a call from the moment on that L{Serve} was said.
    """

    own: Callable[[], Own]
    table: Membership
    policy: IBalancingPolicy
    gates: Gates = field(factory=Gates)
    _plan: IPlan | None = None
    _planned_at: float = 0.0
    _planned_version: tuple[int, int] = (-1, -1)
    _top_weight: float = 1.0
    _leveller: Any = None  # the plan, when it is one that levels
    _even: Even = field(factory=Even)
    _reasons: Reasons = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._reasons = Reasons(self.table, self)

    def use(self, policy: IBalancingPolicy, gates: Gates) -> None:
        """Place by these from now on; the plan of before counts no more."""
        self.policy, self.gates = policy, gates
        self._plan, self._leveller, self._planned_version = None, None, (-1, -1)

    def place(self, request: PlacementRequest, now: float, rand: Rand) -> Decision:
        """
        Decide once. After a refusal or failure of the chosen node, ask again with its name in C{request.refused}.

        @param now: seconds on the clock that the table was fed with.
        @param rand: gives floats from 0.0 to below 1.0.
        """
        own, gates, policy = self.own(), self.gates, self.policy
        # A predefined order means its threshold at every hop; elsewhere the gate rises, so that a request comes to rest.
        rise = 0.0 if policy.own_place else gates.rise * request.hops
        gate = min(gates.hard_limit, gates.threshold + rise)
        value = own.workload.value if request.relay else own.workload.without_packets
        below = value < gate and own.state is not DRAIN
        may_leave = request.hops < gates.hop_budget and not request.committed and len(self.table) > 0
        # Who handed it here had passed over those that stand before us, and has newer reports of them than we may have.
        if below and not (may_leave and policy.own_place and not request.hops):
            if may_leave and not request.hops and own.delay > gates.plan_delay:
                plan = self._current_plan(own, now)
                share = plan.share if self._leveller is None else self._leveller.share_at(own.delay)
                if share and self._even.part(share, rand):
                    search = _Search(request, own, gate, now, below)
                    name = self._first(search, plan, self._even.draw, planned=True)
                    if name:
                        return self._hand_over(search, name, "the plan gives this share away")
            return Serve(
                self._reasons.explain(request, own, gate, now, "serve", self.table.own, "below the gate", {})
            )
        search = _Search(request, own, gate, now, below)
        if own.drowning:
            return self._out_of_time(search, may_leave and not request.hops, rand)
        must_leave = self._must_leave(request, own)
        if may_leave:
            plan = self._current_plan(own, now)
            levelling: Any = None  # how, when time is what is short
            if not must_leave and own.workload.measured > own.workload.counted:
                levelling = self._leveller
            if levelling is not None and not levelling.pairs:
                # an old table shows who was below: all would choose the same few, and more so the older it is
                name, why = self._level(search, levelling, rand)
                if name:
                    return self._hand_over(search, name, f"the reports are old, and {why}")
                return self._serve(search, self._why_here(search))
            name = self._first(search, plan, rand, planned=False)
            if name == self.table.own:
                return self._serve(search, "first below the threshold")
            if name:
                return self._hand_over(search, name, "first below the threshold")
            why = ""
            if levelling is not None:
                name, why = self._level(search, levelling, rand)
            elif (request.call and not request.hops) or must_leave:
                name, why = self._roomier(search, must_leave, rand), "it has more room"
            if name:
                return self._hand_over(search, name, f"nobody is below the threshold, and {why}")
        if must_leave:
            name = self._overdue(search)
            if name:
                return self._hand_over(search, name, "nobody else can take it, and it may answer yet")
            why = "draining" if own.state is DRAIN else "at the hard limit"
            return self._refuse(search, f"{why}, and nobody can take it")
        return self._serve(search, self._why_here(search))

    def answered(self, ticket: Ticket, status: int, now: float) -> None:
        """The first response to a handed-over request came (1xx counts); 503 keeps others away for a while."""
        node = self.table.get(ticket.node)
        if node is None:
            return
        node.assigned.answered(ticket.number, status < 300, now)
        if status == 503:
            self.table.feed(CallRefused(ticket.node, now + REFUSED_FOR))
        self.table.feed(CallAnswered(ticket.node))

    def failed(self, ticket: Ticket, now: float) -> None:
        """A handed-over request got no response, or could not be sent; the second in a row makes the node UNKNOWN."""
        node = self.table.get(ticket.node)
        if node is None:
            return
        node.assigned.answered(ticket.number, False, now)
        self.table.feed(CallFailed(ticket.node))

    def _must_leave(self, request: PlacementRequest, own: Own) -> bool:
        """Whether the node must not serve it: it drains, or a countable thing that the request needs is used up."""
        load = own.workload
        needed = max(load.transactions, load.memory)
        if request.call:
            needed = max(needed, load.calls, load.packets if request.relay else 0.0)
        return own.state is DRAIN or needed >= self.gates.hard_limit

    def _out_of_time(self, search: _Search, may_leave: bool, rand: Rand) -> Decision:
        """
        A node that has been at the hard limit for too long, be it that the machine stalls or that too much comes.

        Only a node below its threshold is worth the hop. One that is handed a request refuses it: who handed it here asks the
        next one, and is the one that has the time.
        """
        own, why = search.own, f"{search.own.workload.leading} at the hard limit for too long"
        # what a node could serve while it was stopped says nothing of what it can hand over now that it runs again
        most = own.capacity if own.capacity > NOTHING else math.inf
        if may_leave and own.arrival_rate * self.gates.hand_over_cost <= most:
            plan = self._current_plan(own, search.now)
            name = self._first(search, plan, rand, planned=False)
            if name:
                return self._hand_over(search, name, f"{why}, and this is the first below the threshold")
            if self._leveller is not None:
                name, because = self._level(search, self._leveller, rand)
                if name:
                    return self._hand_over(search, name, f"{why}, and {because}")
        if own.controlled and not search.request.hops and not self._must_leave(search.request, own):
            return self._serve(search, f"{why}, but overload control let it in")
        return self._refuse(search, why)

    def _why_here(self, search: _Search) -> str:
        if search.request.committed:
            return "redirected here"
        if search.below:
            return "below the gate"
        if search.request.hops >= self.gates.hop_budget:
            return "hop budget spent, below the hard limit"
        return "nobody is below the threshold, below the hard limit"

    def _current_plan(self, own: Own, now: float) -> IPlan:
        """The plan: made anew when a node became something else, and when numbers changed and it is old enough."""
        version = self.table.generation, self.table.version
        plan = self._plan
        if plan is not None and (
            version == self._planned_version
            or (version[0] == self._planned_version[0] and now - self._planned_at < self.gates.replan)
        ):
            return plan
        others = [node for node in self.table if node.member is not None and node.state is not UNKNOWN]
        others.sort(key=lambda node: node.place)
        this = Node(
            self.table.own,
            self.table.own_place,
            state=own.state,
            value=own.workload.value,
            delay=own.delay,
            arrival_rate=own.arrival_rate,
            capacity=own.capacity,
            weight=own.weight,
            heard=now,
        )
        on_time = sum(node.heartbeat(now) for node in others)
        fresh = on_time >= self.gates.fresh * len(others)
        plan = self.policy.plan(this, others, fresh)
        self._reasons.planned(plan, fresh)
        self._top_weight = max((own.weight, *(node.weight for node in others)))
        self._leveller = plan if ILevelling.providedBy(plan) else None
        self._plan, self._planned_version, self._planned_at = plan, version, now
        return plan

    def _first(self, search: _Search, plan: IPlan, rand: Rand, planned: bool) -> str:
        """The first name of the order that passes the gate, or an empty string."""
        seen, own_name, waiting = search.seen, self.table.own, ""
        late = self._late(plan) if plan is self._leveller else math.inf
        for name in plan.order(rand, planned):
            if name == own_name:
                if search.below:
                    return name
                continue
            node = None if name in seen else self.table.get(name)
            if node is None:
                continue
            reason = self._unfit(search, node)
            if not reason and node.state is not OPEN:
                reason = STANDING[node.state]
            if not reason and node.load >= self.gates.threshold:
                reason = "at its threshold with what we handed to it"
            if not reason and node.wait >= late:
                reason = AS_LATE  # it is below because it had nothing to do, and can do little
            if not reason and not planned and not self.policy.own_place and self._holds_back(node, rand):
                reason, waiting = STARTING, waiting or name
            if not reason:
                return name
            seen[name] = reason
        return waiting

    def _unfit(self, search: _Search, node: Node) -> str:
        """Why a node is no target whatever its workload, or an empty string."""
        request, report = search.request, node.report
        if node.name in request.visited:
            return "visited before"
        if node.name in request.refused:
            return "refused it"
        if node.member is None:
            return "not a member yet"
        if node.state is UNKNOWN or report is None or node.heard is None:
            return STANDING[UNKNOWN]
        if node.is_silent(search.now):
            return "its report is too old"
        if search.now < node.refused_until and not search.levelling:
            return "refused a request just now"
        if node.serves_nothing:
            return NO_CAPACITY
        if node.assigned.is_late(search.now, self.gates.answer):
            return OVERDUE
        if report.spontaneous:
            node.assigned.settle(search.now)
        return ""

    def _level(self, search: _Search, plan: Any, rand: Rand) -> tuple[str, str]:
        """
        Time is what is short, and everywhere: by the rates, or to a node where clearly less waits.

        One hop only, since each costs time that nobody has; but what was handed to a node that has become much slower since
        goes on, which takes it far less time than serving.
        """
        own, gates = search.own, self.gates
        search.levelling = True
        if search.request.refused:
            return "", ""  # each hop and each refusal costs time that nobody has
        if search.request.hops:
            if plan.pairs and own.delay >= max(STUCK, SLOW_TIMES * plan.wait):
                for name in plan.level(rand):
                    if self._takes(search, name, gates.improve * own.delay, rand):
                        return name, "it waits here for longer than who handed it over can know"
            return "", ""
        share = plan.share_at(own.delay) if own.delay > gates.plan_delay else 0.0
        if share and self._even.part(share, rand):
            late = self._late(plan)
            for name in plan.order(self._even.draw, True):
                if self._takes(search, name, late, rand):
                    return name, "the plan gives this share away"
        if plan.pairs and own.delay >= max(gates.slow, SLOW_TIMES * plan.wait):
            for name in plan.level(rand):
                if self._takes(search, name, gates.improve * own.delay, rand):
                    return name, "much less waits there"
        return "", ""

    def _late(self, plan: Any) -> float:
        """Seconds: a node where a request would wait for longer takes nothing. An old table does not show that."""
        return max(self.gates.late, LATE_TIMES * plan.wait) if plan.pairs else math.inf

    def _takes(self, search: _Search, name: str, most: float, rand: Rand) -> bool:
        """Whether a node above its threshold is fit to take a request, with less than C{most} seconds to wait."""
        node = None if name in search.seen else self.table.get(name)
        if node is None:
            return False
        reason = self._unfit(search, node)
        if not reason and search.now < node.refused_until and rand() < BACK_OFF:
            reason = "refused a request just now"
        if not reason and node.state is DRAIN:
            reason = STANDING[node.state]
        if not reason and node.counted >= self.gates.hard_limit:
            reason = "at its hard limit with what we handed to it"
        if not reason and node.wait >= most:
            reason = AS_LATE
        if not reason and self._holds_back(node, rand):
            reason = STARTING
        if reason:
            search.seen[name] = reason
        return not reason

    def _holds_back(self, node: Node, rand: Rand) -> bool:
        """Whether a node that has just started is left out this time, beside others that have not."""
        return node.weight < self._top_weight and rand() * self._top_weight >= node.weight

    def _roomier(self, search: _Search, must_leave: bool, rand: Rand) -> str:
        """
        The node with most room when nobody is below the threshold, or an empty string.

        Calls in progress are exact, and handing a call over costs nothing while it lasts, so one step is reason enough. Where
        time is short handing over costs time here and there, so the other one must have much more of it.
        """
        value, gates = search.own.workload.value, self.gates
        if must_leave:
            highest = math.inf  # busy as it may be: it is not used up
        elif search.own.workload.leading == "calls":
            highest = value - gates.step + EPSILON
        else:
            highest = 1.0 - gates.headroom * (1.0 - value)
        best, least = "", (highest, 1.0)
        for node in self.table:
            if node.state in (DRAIN, UNKNOWN) or (node.state is FULL and not must_leave):
                search.seen.setdefault(node.name, STANDING[node.state])
                continue
            reason = self._unfit(search, node)
            load = node.load
            if not reason and (node.counted if must_leave else load) >= gates.hard_limit:
                reason = "at its hard limit with what we handed to it"
            if not reason and load > highest:
                reason = "not enough better"
            search.seen[node.name] = reason or "another one has more room"
            if not reason and (candidate := (load, rand())) <= least:
                best, least = node.name, candidate
        return best

    def _overdue(self, search: _Search) -> str:
        """
        A node that is fit but for an answer that we wait for, or for what it could serve of late, or an empty string.

        It is better than a refusal: when this node itself was stopped, all answers and reports wait to be read.
        """
        late = (self.table.get(name) for name, why in search.seen.items() if why in (OVERDUE, NO_CAPACITY))
        return next(
            (node.name for node in late if node and node.state is OPEN and node.load < self.gates.threshold),
            "",
        )

    def _hand_over(self, search: _Search, name: str, reason: str) -> HandOver:
        node = self.table.get(name)
        assert node is not None, name
        search.seen[name] = reason
        explanation = self._explain(search, "hand-over", name, reason)
        number = node.assigned.assigned(search.request.call, search.now)
        return HandOver(name, Ticket(name, number), explanation)

    def _serve(self, search: _Search, reason: str) -> Serve:
        return Serve(self._explain(search, "serve", self.table.own, reason))

    def _refuse(self, search: _Search, reason: str) -> Refuse:
        return Refuse(self._explain(search, "refuse", "", reason))

    def _explain(self, search: _Search, outcome: str, chosen: str, reason: str) -> Explanation:
        return self._reasons.explain(
            search.request, search.own, search.gate, search.now, outcome, chosen, reason, search.seen
        )
