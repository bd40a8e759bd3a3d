"""
The scale for what a proxy does under a quota: a twin under the same quota at the same time.

The machine's own speed shifts within seconds, so a capacity that was searched before says little of the half minute behind it.
So a second proxy of the same kind runs beside the one that is asked for too much: on the same CPU, held to the same share of
it, in a namespace of its own. Its callers keep so many calls in progress that it always has something to do, and begin one for
each that ends. What it does is the most that such a proxy can do at that very time. First both do so, which shows how alike
they are.

The capacity is what a proxy carries when calls come as they like: the highest rate with at most 1 % of copies, searched as a
part of what the twin does. One try of six seconds is decided by chance near it, so it is a staircase: up behind a try that is
carried, down behind one that is not, and the capacity is the mean of the parts where it goes up and down. All loads follow what
the twin does.
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
from statistics import mean

from attrs import define, frozen

from bench.common import INSIDE, cpu_seconds, enter_namespace, running, start, wait_until
from bench.overloaded import PROXIES, Bed, Run, bed, between, moment, rows

# Calls in progress: some 0.3 s of work, which is more than enough to fill a quota, and too little for any copy.
WINDOW = {"voipcluster": 32, "kamailio": 128}
EVER = 10_000  # calls a second, that nobody takes: the window is what limits them
PATIENCE = 3.0  # s, for a line of sipp's that comes once a second
LATELY = 5.0  # s over which the twin's rate is taken for a load that is about to begin

# The search for the capacity: parts of what the twin does, from one on in coarse steps until it turns, then in fine ones; so many
# tries count from the second turn on, since the first one may be a disturbed try's. s before, and measured: what is a twentieth
# too much has to show in copies or in calls that are not done.
FIRST, COARSE, FINE, TURNS, TRIES, SEARCH = 0.75, 1.12, 1.06, 2, 6, (4, 10)
LEAST = 0.2
CARRIED, COPIES = 0.97, 0.01  # of what is offered: done at least, and sent again at most


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
    @ivar worth: calls a second that the twin would have done in the CPU time that the first of both took.
    """

    run: Run
    capacity: float
    worth: float

    @property
    def goodput(self) -> float:
        """As a share of what the twin does."""
        return self.run.done / self.capacity

    @property
    def offered(self) -> float:
        """The same of what was offered."""
        return self.run.offered / self.capacity

    @property
    def carried(self) -> bool:
        """Whether all of it was, with at most 1 % of copies."""
        run = self.run
        return run.done >= CARRIED * run.offered and run.copies <= COPIES * run.offered

    def unserved(self, served: float = 1.0) -> float:
        """
        CPU time of a call that was offered and not served, by that of one of the twin's.

        @param served: the same of a call that was served.
        """
        return (self.worth - served * self.run.done) / max(1e-9, self.run.offered - self.run.done)


@frozen
class Capacity:
    """
    @ivar part: the highest rate that is carried, by what the twin does.
    @ivar served: CPU time of a call at such rates, by that of one of the twin's, which takes them in greater batches.
    """

    part: float
    served: float


def compared(
    there: Bed, beside: Twin, what: str, part: float, settle: int, measure: int, most: int = 0
) -> Compared:
    """
    Offer calls to the first of both; a line is printed.

    @param part: of what the twin does, which the callers follow.
    """
    run = there.measure(lambda: part * beside.lately(), settle, measure, most=most)
    capacity, cost = beside.done(run.begun, run.ended), beside.cost(run.begun, run.ended)
    found = Compared(run, capacity, run.cpu / cost)
    print(f"  {what}: {found.goodput:.3f} of {capacity:6.1f}/s   {run}", flush=True)
    return found


def open_capacity(there: Bed, beside: Twin, name: str, tries: int = TRIES) -> Capacity:
    """
    The highest rate that is carried, as a part of what the twin does at the same time: see above.

    @param tries: that count.
    """
    part, step, turns = FIRST, COARSE, 0
    before: bool | None = None
    parts: list[float] = []
    costs: list[float] = []
    while len(parts) < tries:
        tried = compared(there, beside, f"{name:12} {part:8.2f} offered", part, *SEARCH)
        if before not in (None, tried.carried):
            step, turns = FINE, turns + 1
        before = tried.carried
        if turns >= TURNS:
            parts.append(tried.offered)
        if tried.carried:
            costs.append(tried.worth / tried.run.done)
        part *= step if tried.carried else 1.0 / step
        if part < LEAST:
            raise SystemExit(f"{name} carries nothing; the machine is too busy for this")
    return Capacity(mean(parts), mean(costs))


if __name__ == "__main__":
    enter_namespace()
    saturate(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
