"""
Goodput under several times the capacity, by the scale of a twin under the same quota at the same time.

The machine's own speed shifts within seconds, so a capacity that was searched before says little of the half minute behind it.
So a second proxy of the same kind runs beside the one that is asked for too much: on the same CPU, held to the same share of
it, in a namespace of its own. Its callers keep so many calls in progress that it always has something to do, and begin one for
each that ends. What it does is the most that such a proxy can do at that very time. First both do so, which shows how alike
they are.

The capacity is what a proxy carries when calls come as they like: the highest rate with at most 1 % of copies, searched as a
part of what the twin does. The figures are by that capacity; by the twin, which no open load reaches, they are printed beside.
"""

from __future__ import annotations

import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from attrs import define, frozen

from bench.common import INSIDE, cpu_seconds, enter_namespace, running, start, wait_until
from bench.overloaded import GOALS, PROXIES, Bed, Plan, Run, bed, between, moment, rows

# Calls in progress: some 0.3 s of work, which is more than enough to fill a quota, and too little for any copy.
WINDOW = {"voipcluster": 32, "kamailio": 128}
EVER = 10_000  # calls a second, that nobody takes: the window is what limits them
ALIKE = (4, 6)  # s in which both are saturated: before what is measured, and measured
PATIENCE = 3.0  # s, for a line of sipp's that comes once a second
LATELY = 5.0  # s over which the twin's rate is taken for a load that is about to begin

# The search for the capacity: parts of what the twin does, from one on in such steps, each tried twice; s before, and measured.
FIRST, STEP, TRIES, SEARCH = 0.71, 1.12, 2, (2, 6)
LEAST = 0.2
CARRIED, COPIES = 0.97, 0.01  # of what is offered: done at least, and sent again at most
UNSERVED = 0.02  # goal: what an offered call that is not served takes, of one that is


@define
class Twin:
    """
    @ivar statistics: what its callers count.
    @ivar used: the file of its CPU seconds, and when, a line each.
    """

    statistics: Path
    used: Path

    def done(self, begun: float, ended: float) -> float:
        """Calls a second, between two moments (seconds since 1970); waits until it has said what it did up to then."""
        read = self._read()
        end = time.monotonic() + PATIENCE
        while read[-1][0] < ended and time.monotonic() < end:
            time.sleep(0.05)
            read = self._read()
        return (between(read, ended) - between(read, begun)) / (ended - begun)

    def _read(self) -> list[tuple[float, float]]:
        return [(moment(row), float(row["done(C)"])) for row in rows(self.statistics)]

    def cost(self, begun: float, ended: float) -> float:
        """CPU seconds that a call took, between two moments."""
        lines = [line.split() for line in self.used.read_text().splitlines(keepends=True) if line[-1] == "\n"]
        read = [(float(when), float(seconds)) for when, seconds in lines]
        took = (between(read, ended) - between(read, begun)) / (ended - begun)
        return took / self.done(begun, ended)

    def lately(self) -> float:
        """Calls a second, in the last seconds of which it has said so."""
        ended = self._read()[-1][0]
        return self.done(ended - LATELY, ended)


@contextmanager
def twin(name: str, share: float) -> Iterator[Twin]:
    """Start one, and wait until it is saturated."""
    with tempfile.TemporaryDirectory(prefix="voipcluster-twin-") as folder:
        log, statistics = Path(folder, "twin.log"), Path(folder, "saturated.csv")
        argv = ["env", "-u", INSIDE, sys.executable, "-m", "bench.twin", name, share, folder]
        process = start(argv, log, stdin=subprocess.PIPE)
        try:
            wait_until(
                lambda: len(rows(statistics)) > LATELY or process.poll() is not None, "the twin", log, 90.0
            )
            if process.poll() is not None:
                raise SystemExit(f"the twin ended: {log.read_text()[-2000:]}")
            yield Twin(statistics, Path(folder, "used"))
        finally:
            assert process.stdin is not None
            process.stdin.close()  # it ends by itself then, and takes its quota away
            process.wait(20)


def saturate(name: str, share: float, folder: Path) -> None:
    """What the twin's process does, until its standard input ends."""
    with (
        bed(PROXIES[name], share, folder) as there,
        running(there.call("saturated", EVER, 0, most=WINDOW[name])),
        (folder / "used").open("w", buffering=1) as used,
    ):
        while not select.select([sys.stdin], [], [], 0.1)[0]:
            print(time.time(), cpu_seconds(there.process.pid), file=used)


@frozen
class Compared:
    """
    What the first of both did, beside what the twin did meanwhile.

    @ivar capacity: calls a second that the twin did.
    @ivar unserved: CPU time of a call that was offered and not served, by that of one of the twin's.
    """

    run: Run
    capacity: float
    unserved: float

    @property
    def goodput(self) -> float:
        """As a share of what the twin does."""
        return self.run.done / self.capacity

    @property
    def carried(self) -> bool:
        """Whether all of it was, with at most 1 % of copies."""
        run = self.run
        return run.done >= CARRIED * run.offered and run.copies <= COPIES * run.offered


def compared(
    there: Bed, beside: Twin, what: str, rate: float, settle: int, measure: int, most: int = 0
) -> Compared:
    """Offer calls to the first of both; a line is printed."""
    run = there.measure(rate, settle, measure, most=most)
    capacity, cost = beside.done(run.begun, run.ended), beside.cost(run.begun, run.ended)
    unserved = max(1e-9, run.offered - run.done)
    found = Compared(run, capacity, (run.cpu / cost - run.done) / unserved)
    print(f"  {what}: {found.goodput:.3f} of {capacity:6.1f}/s   {run}", flush=True)
    return found


def open_capacity(there: Bed, beside: Twin, name: str) -> float:
    """
    The highest rate that is carried, as a part of what the twin does at the same time.

    From a rate on that is, up to the first one that is not in two tries.
    """
    share, best, step = FIRST, 0.0, STEP
    while True:
        found = [0.0]
        for _ in range(TRIES):
            tried = compared(
                there, beside, f"{name:12} {share:8.2f} offered", share * beside.lately(), *SEARCH
            )
            if tried.carried:
                found.append(tried.run.offered / tried.capacity)
                break
        carried = max(found)
        if carried and step < 1.0:  # the first one that is, from above
            return carried
        if carried:
            best = max(best, carried)
        elif best:
            return best
        else:
            step = 1.0 / STEP
        share *= step
        if share < LEAST:
            raise SystemExit(f"{name} carries nothing; the machine is too busy for this")


def processes(plan: Plan) -> bool:
    """Prints a line for each run; whether voipcluster reaches its goals, and no less than Kamailio."""
    by_twin: dict[tuple[str, float], list[float]] = {}
    by_capacity: dict[tuple[str, float], list[float]] = {}
    unserved: dict[float, list[float]] = {}
    for _ in range(plan.rounds):
        for name in plan.names:
            with bed(PROXIES[name], plan.share) as there, twin(name, plan.share) as beside:
                compared(there, beside, f"{name:12} both saturated", EVER, *ALIKE, most=WINDOW[name])
                capacity = open_capacity(there, beside, name)
                print(f"  {name:12} capacity: {capacity:.3f} of what its twin does", flush=True)
                for times in plan.loads:
                    if name != "voipcluster" and times > plan.most:
                        continue
                    rate = times * capacity * beside.lately()
                    what = f"{name:12} {times:8g} times"
                    found = compared(there, beside, what, rate, plan.settle, plan.measure)
                    by_twin.setdefault((name, times), []).append(found.goodput)
                    by_capacity.setdefault((name, times), []).append(found.goodput / capacity)
                    if name == "voipcluster":
                        unserved.setdefault(times, []).append(found.unserved)
    reached = True
    for times in plan.loads:
        if "voipcluster" not in plan.names:
            continue
        goodput, goal = median(by_capacity["voipcluster", times]), GOALS.get(times, 0.0)
        others = by_capacity.get(("kamailio", times))
        beside_it = "" if others is None else f"; Kamailio {median(others):.3f} of its own"
        print(
            f"{times:g} times: {goodput:.3f} of the capacity (goal {goal:g}{beside_it}), "
            f"{median(by_twin['voipcluster', times]):.3f} of what a saturated twin does; "
            f"a call that is not served takes {median(unserved[times]):.3f} of one that is (goal {UNSERVED:g})",
            flush=True,
        )
        reached = reached and goodput >= max(goal, median(others or [0.0]))
    return reached


if __name__ == "__main__":
    enter_namespace()
    saturate(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
