"""
Goodput under several times the capacity, where the capacity is what a twin under the same quota does at the same time.

The machine's own speed shifts within seconds, so a capacity that was searched before says little of the half minute behind it.
So a second proxy of the same kind runs beside the one that is asked for too much: on the same CPU, held to the same share of
it, in a namespace of its own. Its callers keep so many calls in progress that it always has something to do, and begin one for
each that ends: what it does is the capacity, at that very time. First both do so, which shows how alike they are.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from attrs import define

from bench.common import INSIDE, enter_namespace, running, start, wait_until
from bench.overloaded import GOALS, PROXIES, Bed, Plan, bed, between, moment, rows

# Calls in progress: some 0.3 s of work, which is more than enough to fill a quota, and too little for any copy.
WINDOW = {"voipcluster": 32, "kamailio": 128}
EVER = 10_000  # calls a second, that nobody takes: the window is what limits them
ALIKE = (4, 6)  # s in which both are saturated: before what is measured, and measured


@define
class Twin:
    """@ivar statistics: what its callers count."""

    statistics: Path

    def done(self, begun: float, ended: float) -> float:
        """Calls a second, between two moments (seconds since 1970)."""
        read = [(moment(row), float(row["done(C)"])) for row in rows(self.statistics)]
        return (between(read, ended) - between(read, begun)) / (ended - begun)


@contextmanager
def twin(name: str, share: float) -> Iterator[Twin]:
    """Start one, and wait until it is saturated."""
    with tempfile.TemporaryDirectory(prefix="voipcluster-twin-") as folder:
        log, statistics = Path(folder, "twin.log"), Path(folder, "saturated.csv")
        argv = ["env", "-u", INSIDE, sys.executable, "-m", "bench.twin", name, share, folder]
        process = start(argv, log, stdin=subprocess.PIPE)
        try:
            wait_until(lambda: len(rows(statistics)) > 1 or process.poll() is not None, "the twin", log, 90.0)
            if process.poll() is not None:
                raise SystemExit(f"the twin ended: {log.read_text()[-2000:]}")
            yield Twin(statistics)
        finally:
            assert process.stdin is not None
            process.stdin.close()  # it ends by itself then, and takes its quota away
            process.wait(20)


def saturate(name: str, share: float, folder: Path) -> None:
    """What the twin's process does, until its standard input ends."""
    with (
        bed(PROXIES[name], share, folder) as there,
        running(there.call("saturated", EVER, 0, most=WINDOW[name])),
    ):
        sys.stdin.read()


def compared(there: Bed, beside: Twin, what: str, plan: Plan, rate: float, most: int = 0) -> float:
    """Offer calls to the first of both; what it does, as a share of what the twin does. A line is printed."""
    settle, measure = ALIKE if most else (plan.settle, plan.measure)
    run = there.measure(rate, settle, measure, most=most)
    capacity = beside.done(run.begun, run.ended)
    print(f"  {what}: {run.done / capacity:.3f} of {capacity:6.1f}/s   {run}", flush=True)
    return run.done / capacity


def processes(plan: Plan) -> bool:
    """Prints a line for each run; whether voipcluster reaches its goals, and no less than Kamailio."""
    found: dict[tuple[str, float], list[float]] = {}
    for _ in range(plan.rounds):
        for name in plan.names:
            with bed(PROXIES[name], plan.share) as there, twin(name, plan.share) as beside:
                compared(there, beside, f"{name:12} both saturated", plan, EVER, WINDOW[name])
                for times in plan.loads:
                    if name != "voipcluster" and times > plan.most:
                        continue
                    now = time.time()
                    rate = times * beside.done(now - 5.0, now)
                    goodput = compared(there, beside, f"{name:12} {times:8g} times", plan, rate)
                    found.setdefault((name, times), []).append(goodput)
    reached = True
    for times in plan.loads:
        if "voipcluster" not in plan.names:
            continue
        goodput, goal = median(found["voipcluster", times]), GOALS.get(times, 0.0)
        others = found.get(("kamailio", times))
        beside_it = "" if others is None else f"; Kamailio {median(others):.3f} of its own"
        print(f"{times:g} times: {goodput:.3f} of the capacity (goal {goal:g}){beside_it}", flush=True)
        reached = reached and goodput >= max(goal, median(others or [0.0]))
    return reached


if __name__ == "__main__":
    enter_namespace()
    saturate(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
