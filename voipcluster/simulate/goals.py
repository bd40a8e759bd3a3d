"""
The goals of the balancing, each with what is published about it, as runs that anybody can repeat.

C{python -m voipcluster.simulate goals} prints each figure beside its goal, of several seeds, because one can be lucky: the
numbers of the policy were chosen with other seeds. The quick ones are smaller clusters for the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from attrs import evolve, frozen

from voipcluster.simulate.outcome import Outcome, simulate
from voipcluster.simulate.scenario import Fault, Scenario

FULL = Scenario(nodes=100, offered=0.90, warm_up=5.0, duration=5.0)
QUICK = Scenario(nodes=16, offered=0.90, warm_up=2.5, duration=2.0)
SEEDS = (5, 6, 7)
SLOWED = 0.1  # of its speed is left
SLOWED_AT, SLOWED_FOR = 1.0, 0.5  # s of the measured part


@frozen
class Figure:
    """
    One number of a run, or of runs that differ by their seed only.

    @ivar values: of each of them.
    @ivar goal: what none may exceed, or (C{at_least}) fall below; L{None} is only shown.
    """

    text: str
    values: tuple[float, ...]
    goal: float | None = None
    at_least: bool = False

    @property
    def worst(self) -> float:
        return min(self.values) if self.at_least else max(self.values)

    @property
    def met(self) -> bool:
        if self.goal is None:
            return True
        return self.worst >= self.goal if self.at_least else self.worst <= self.goal


@frozen
class Goal:
    """
    A run and its figures.

    @ivar anchor: what is published, to be compared with.
    @ivar full: C{quick}: the scenario as the goal says it, and a small one.
    """

    name: str
    anchor: str
    full: Scenario
    quick: Scenario
    figures: Callable[[Outcome], tuple[Figure, ...]]

    def run(self, quick: bool = False, seeds: Sequence[int] = SEEDS) -> tuple[Figure, ...]:
        """Its figures, each with one value a seed."""
        scenario = self.quick if quick else self.full
        runs = [self.figures(simulate(evolve(scenario, seed=seed))) for seed in seeds]
        return tuple(
            evolve(same[0], values=tuple(value for figure in same for value in figure.values))
            for same in zip(*runs, strict=True)
        )


def _level(outcome: Outcome) -> tuple[Figure, ...]:
    hops = (*outcome.hops, 0.0, 0.0, 0.0)
    return (
        Figure("served, of what is offered at 0.90 of the capacity", (outcome.served,), 0.995, True),
        Figure("p99 from request to end of service, in mean services", (outcome.p99_services,), 15.0),
        Figure("imbalance: greatest by mean utilisation", (outcome.imbalance,), 1.11),
        Figure("share that took two hops", (hops[2],), 0.001),
        Figure("share that took three hops", (sum(hops[3:]),), 0.0),
        Figure("hand-overs by the least possible ones", (outcome.forwarded / (outcome.least or 1.0),), 1.35),
        Figure("refused (no false refusals)", (outcome.refused,), 0.001),
    )


def _near_capacity(outcome: Outcome) -> tuple[Figure, ...]:
    return (Figure("goodput at 0.95 offered, of the capacity", (outcome.goodput,), 0.945, True),)


def _shown(outcome: Outcome) -> tuple[Figure, ...]:
    three = sum(outcome.hops[3:])
    return (
        Figure(f"goodput at {outcome.scenario.offered:.2f} offered, of the capacity", (outcome.goodput,)),
        Figure("share of the served ones that took three hops", (three,)),
    )


def _stale(lost: float) -> Callable[[Outcome], tuple[Figure, ...]]:
    def figures(outcome: Outcome) -> tuple[Figure, ...]:
        text = f"lost at 0.90 with reports each {outcome.scenario.period:.0f} s and no others"
        return (Figure(text, (1.0 - outcome.served,), lost),)

    return figures


def _slowed(outcome: Outcome) -> tuple[Figure, ...]:
    (node,) = outcome.taken
    before = outcome.taken_between(node, 0.0, SLOWED_AT)
    after = outcome.taken_between(node, SLOWED_AT + 0.05, SLOWED_AT + SLOWED_FOR)
    return (
        Figure("new work from others, 50 ms after, by before", (after / before if before else 1.0,), 0.05),
        Figure("refused at 0.80 of the capacity", (outcome.refused,), 0.001),
    )


def _slow(scenario: Scenario, node: int) -> Scenario:
    fault = Fault(node, SLOWED_AT, SLOWED_AT + SLOWED_FOR, SLOWED)
    return evolve(scenario, offered=0.80, duration=SLOWED_AT + SLOWED_FOR + 0.5, faults=(fault,))


def _stale_reports(scenario: Scenario, period: float) -> Scenario:
    return evolve(
        scenario, period=period, triggered=False, piggyback=False, warm_up=max(scenario.warm_up, 2.5 * period)
    )


GOALS = (
    Goal(
        "level",
        "one dispatcher of 10 nodes, +24 % over its baselines (Jiang et al., IBM, abstract); for many dispatchers none was found",
        FULL,
        QUICK,
        _level,
    ),
    Goal(
        "near-capacity",
        "none found for many dispatchers",
        evolve(FULL, offered=0.95),
        evolve(QUICK, offered=0.95),
        _near_capacity,
    ),
    Goal(
        "literal",
        "the threshold rule without guards, up to three hops: shown, no goal",
        evolve(FULL, policy="literal"),
        evolve(QUICK, policy="literal"),
        _shown,
    ),
    Goal(
        "literal-near-capacity",
        "the same",
        evolve(FULL, policy="literal", offered=0.95),
        evolve(QUICK, policy="literal", offered=0.95),
        _shown,
    ),
    Goal(
        "stale-1s",
        "up to 60 % better response time than ignoring the age (Dahlin, TPDS 2000, abstract)",
        _stale_reports(FULL, 1.0),
        _stale_reports(QUICK, 1.0),
        _stale(0.005),
    ),
    Goal(
        "stale-4s",
        "the same",
        _stale_reports(FULL, 4.0),
        _stale_reports(QUICK, 4.0),
        _stale(0.025),
    ),
    Goal(
        "slowed",
        "OpenSIPS probes each 30 s, its clusterer notices after 4 + 1 s, Kamailio's DMQ after 60 s or more (their documentation)",
        _slow(FULL, 3),
        _slow(QUICK, 3),
        _slowed,
    ),
)


def named(names: list[str]) -> Iterator[Goal]:
    """The goals of these names, or all; unknown ones are left to the command line to refuse."""
    return (goal for goal in GOALS if not names or goal.name in names)
