"""The scale that a twin gives, and the search for what is carried of it."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from bench.overloaded import Bed, Rate, Run
from bench.twin import COARSE, FINE, FIRST, LATELY, TRIES, Capacity, Compared, Twin, open_capacity

CSV = """CurrentTime;OutgoingCall(C);done(C)
2026-11-26\t11:00:00\t100.0;0;0
2026-11-26\t11:00:01\t101.0;30;10
2026-11-26\t11:00:03\t103.0;90;50
"""


def run(offered: float, done: float, copies: float = 0.0) -> Run:
    return Run(100.0, 103.0, offered, done, 0.0, copies, 0.1, 0.2)


class TwinTests(SynchronousTestCase):
    def setUp(self) -> None:
        statistics, used = Path(self.mktemp()), Path(self.mktemp())
        statistics.write_text(CSV)
        used.write_text("100.0 1.0\n102.0 1.4\n103.0 1.6\n103.1 1.")  # the last line is being written
        self.twin = Twin(statistics, used)

    def test_what_it_did_meanwhile(self) -> None:
        """Between two moments of the other one's lines."""
        self.assertAlmostEqual(self.twin.done(100.5, 102.0), (30.0 - 5.0) / 1.5)

    def test_lately(self) -> None:
        """Up to its last line: behind that it has done more than it has said."""
        self.assertAlmostEqual(self.twin.lately(), 50.0 / LATELY)

    def test_what_a_call_took(self) -> None:
        self.assertAlmostEqual(self.twin.cost(100.0, 103.0), 0.6 / 50)


class ComparedTests(SynchronousTestCase):
    def test_carried(self) -> None:
        """With few copies, and nearly all done."""
        self.assertTrue(Compared(run(100, 98, 1.0), 120.0, 100.0).carried)
        self.assertFalse(Compared(run(100, 98, 1.1), 120.0, 100.0).carried)
        self.assertFalse(Compared(run(100, 96), 120.0, 100.0).carried)

    def test_by_the_twin(self) -> None:
        self.assertAlmostEqual(Compared(run(300, 90), 120.0, 100.0).goodput, 0.75)
        self.assertAlmostEqual(Compared(run(300, 90), 120.0, 100.0).offered, 2.5)

    def test_what_is_not_served(self) -> None:
        """What is left of the CPU time, for each call that was not served."""
        found = Compared(run(190, 90), 120.0, 100.0)
        self.assertAlmostEqual(found.unserved(), 0.1)
        self.assertAlmostEqual(found.unserved(served=1.1), 0.01)


class Scale:
    """A twin that does 100 calls a second, and takes a millisecond for each."""

    def done(self, begun: float, ended: float) -> float:
        return 100.0

    def cost(self, begun: float, ended: float) -> float:
        return 0.001

    def lately(self) -> float:
        return 100.0


class OneProxy:
    """Carries up to a rate, and C{hiccups} of the tries are disturbed by something else. A call takes it 1.25 ms."""

    def __init__(self, most: float, hiccups: tuple[int, ...] = ()) -> None:
        self.most, self.hiccups = most, hiccups
        self.offered: list[float] = []

    def measure(self, rate: Rate, settle: int, measure: int, **more: object) -> Run:
        asked = rate()
        self.offered.append(asked / 100.0)
        carried = asked <= self.most and len(self.offered) not in self.hiccups
        done = asked if carried else 0.8 * asked
        return Run(100.0, 103.0, asked, done, 0.0, 0.0 if carried else asked, 0.00125 * done, 0.2)


class OpenCapacityTests(SynchronousTestCase):
    def find(self, proxy: OneProxy) -> Capacity:
        with redirect_stdout(StringIO()):
            return open_capacity(cast(Bed, proxy), cast(Any, Scale()), "voipcluster")

    def test_a_staircase(self) -> None:
        """Up until it is too much, then down and up around what is carried."""
        proxy = OneProxy(90.0)
        found = self.find(proxy)
        below = FIRST * COARSE**2 / FINE
        self.assertTrue(below < 0.9 < below * FINE)
        self.assertApproximates(found.part, 0.9, 0.03)
        for part in proxy.offered[-TRIES:]:
            self.assertAlmostEqual(part, below * FINE if part > 0.9 else below)
        self.assertAlmostEqual(found.served, 1.25)

    def test_whatever_it_is(self) -> None:
        for most in (35.0, 60.0, 74.0, 76.0, 83.0, 110.0):
            self.assertApproximates(self.find(OneProxy(most)).part, most / 100.0, 0.05 * most / 100.0)

    def test_a_try_that_was_disturbed(self) -> None:
        """It moves the figure by less than a step."""
        for disturbed in range(1, 12):
            self.assertApproximates(self.find(OneProxy(90.0, hiccups=(disturbed,))).part, 0.9, 0.05)

    def test_nothing_is_carried(self) -> None:
        self.assertRaises(SystemExit, self.find, OneProxy(0.0))
