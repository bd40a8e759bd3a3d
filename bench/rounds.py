"""
Goodput of a real node under several times its capacity, and of Kamailio under the same quota at the same time.

Each has a twin (bench/twin.py), the capacity of each is searched in the same round, and all share one CPU for the same minutes:
the other proxies run in processes and namespaces of their own. The figures are by the capacity; by the twin, which no open load
reaches, they are printed beside.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from attrs import asdict, define, field, frozen

from bench.common import INSIDE, enter_namespace, running, start
from bench.overloaded import GOALS, PROXIES, Plan, bed
from bench.twin import EVER, WINDOW, compared, open_capacity, twin

OURS = "voipcluster"
ALIKE = (3, 5)  # s in which both are saturated: before what is measured, and measured
UNSERVED = 0.02  # goal: what an offered call that is not served takes, of one that is
PATIENCE = 240.0  # s, for the round of another proxy


@frozen
class Outcome:
    """
    What a proxy did at one load in one round.

    @ivar by_twin: C{by_capacity}: goodput by what the twin did meanwhile, and by the capacity.
    @ivar unserved: CPU time of a call that was offered and not served, by that of one that was served at capacity.
    """

    name: str
    times: float
    by_twin: float
    by_capacity: float
    unserved: float


def one_round(name: str, plan: Plan) -> list[Outcome]:
    """Prints a line for each run."""
    outcomes = []
    with bed(PROXIES[name], plan.share) as there, twin(name, plan.share) as beside:
        compared(there, beside, f"{name:12} both saturated", EVER, *ALIKE, most=WINDOW[name])
        capacity = open_capacity(there, beside, name)
        print(
            f"  {name:12} capacity: {capacity.part:.3f} of what its twin does; a call takes {capacity.served:.2f} of its",
            flush=True,
        )
        for times in plan.loads:
            if name != OURS and times > plan.most:
                continue
            what = f"{name:12} {times:8g} times"
            found = compared(there, beside, what, times * capacity.part, plan.settle, plan.measure)
            one = Outcome(
                name, times, found.goodput, found.goodput / capacity.part, found.unserved(capacity.served)
            )
            outcomes.append(one)
            print(
                f"  {what}: {one.by_capacity:.3f} of the capacity; a call that is not served takes {one.unserved:.3f} of one "
                f"that is ({found.unserved():.3f} by the twin's)",
                flush=True,
            )
    return outcomes


@contextmanager
def meanwhile(names: tuple[str, ...], plan: Plan, folder: Path) -> Iterator[list[Outcome]]:
    """A round of each of these, beside what is done in the block; the list is filled behind it."""
    outcomes: list[Outcome] = []
    if not names:
        yield outcomes
        return
    name, *others = names
    loads = ",".join(str(times) for times in plan.loads)
    file = folder / f"{name}.json"
    argv = ["env", "-u", INSIDE, sys.executable, "-m", "bench.rounds", name, plan.share, loads, plan.settle]
    with running(start([*argv, plan.measure, file], folder / f"{name}.log", stdout=None)) as process:
        with meanwhile(tuple(others), plan, folder) as more:
            yield outcomes
        if process.wait(PATIENCE):
            raise SystemExit(f"the round of {name} failed: {(folder / f'{name}.log').read_text()[-2000:]}")
    outcomes += more + [Outcome(**one) for one in json.loads(file.read_text())]


@define
class Found:
    """What all rounds gave."""

    outcomes: list[Outcome] = field(factory=list)

    def of(self, name: str, times: float) -> list[Outcome]:
        return [one for one in self.outcomes if (one.name, one.times) == (name, times)]

    def reached(self, times: float) -> bool:
        """Prints what our node did; whether it is what is wanted, in the median, and no less than Kamailio did."""
        rounds, others = self.of(OURS, times), [one.by_capacity for one in self.of("kamailio", times)]
        goodput, goal = median(one.by_capacity for one in rounds), GOALS.get(times, 0.0)
        beside_it = f"; Kamailio {_all(others)} of its own" if others else ""
        print(
            f"{times:g} times: {_all([one.by_capacity for one in rounds])} of the capacity (goal {goal:g}{beside_it}), "
            f"{median(one.by_twin for one in rounds):.3f} of what a saturated twin does; a call that is not served takes "
            f"{median(one.unserved for one in rounds):.3f} of one that is (goal {UNSERVED:g})",
            flush=True,
        )
        return goodput >= max(goal, median(others or [0.0]))


def _all(figures: list[float]) -> str:
    """The median, and where it comes from."""
    if len(figures) == 1:
        return f"{figures[0]:.3f}"
    return f"{median(figures):.3f} ({', '.join(f'{one:.2f}' for one in figures)})"


def processes(plan: Plan) -> bool:
    """Whether voipcluster reaches its goals, and no less than Kamailio."""
    found = Found()
    for _ in range(plan.rounds):
        names = plan.names if OURS not in plan.names else (OURS, *(one for one in plan.names if one != OURS))
        with tempfile.TemporaryDirectory(prefix="voipcluster-rounds-") as folder:
            with meanwhile(names[1:], plan, Path(folder)) as others:
                found.outcomes += one_round(names[0], plan)
            found.outcomes += others
    reached = [found.reached(times) for times in plan.loads if OURS in plan.names]
    return all(reached)


if __name__ == "__main__":
    enter_namespace()
    _, name, share, loads, settle, measure, file = sys.argv
    plan = Plan(
        (name,),
        tuple(float(one) for one in loads.split(",")),
        float(share),
        settle=int(settle),
        measure=int(measure),
    )
    Path(file).write_text(json.dumps([asdict(one) for one in one_round(name, plan)]))
