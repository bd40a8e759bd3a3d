"""The scale that a twin gives, and the search for what is carried of it."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from bench.overloaded import Bed, Run
from bench.twin import LATELY, Compared, Twin, open_capacity

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


class CarriedTests(SynchronousTestCase):
    def test_carried(self) -> None:
        """With few copies, and nearly all done."""
        self.assertTrue(Compared(run(100, 98, 1.0), 120.0, 0.0).carried)
        self.assertFalse(Compared(run(100, 98, 1.1), 120.0, 0.0).carried)
        self.assertFalse(Compared(run(100, 96), 120.0, 0.0).carried)
        self.assertAlmostEqual(Compared(run(100, 90), 120.0, 0.0).goodput, 0.75)


class Scale:
    """A twin that does 100 calls a second, and takes a millisecond for each."""

    def done(self, begun: float, ended: float) -> float:
        return 100.0

    def cost(self, begun: float, ended: float) -> float:
        return 0.001

    def lately(self) -> float:
        return 100.0


class OneProxy:
    """Carries up to a rate, and C{hiccups} of the tries are disturbed by something else."""

    def __init__(self, most: float, hiccups: tuple[int, ...] = ()) -> None:
        self.most, self.hiccups = most, hiccups
        self.offered: list[float] = []

    def measure(self, rate: float, settle: int, measure: int, **more: object) -> Run:
        self.offered.append(round(rate))
        carried = rate <= self.most and len(self.offered) not in self.hiccups
        return run(rate, rate if carried else 0.8 * rate, 0.0 if carried else rate)


class OpenCapacityTests(SynchronousTestCase):
    def find(self, proxy: OneProxy) -> float:
        with redirect_stdout(StringIO()):
            return open_capacity(cast(Bed, proxy), cast(Any, Scale()), "voipcluster")

    def test_the_last_that_is_carried(self) -> None:
        """Up in steps of 1.12; what is too much is tried twice."""
        proxy = OneProxy(92.0)
        self.assertAlmostEqual(self.find(proxy), 0.71 * 1.12**2)
        self.assertEqual(proxy.offered, [71, 80, 89, 100, 100])

    def test_a_try_that_was_disturbed(self) -> None:
        proxy = OneProxy(92.0, hiccups=(2,))
        self.assertAlmostEqual(self.find(proxy), 0.71 * 1.12**2)

    def test_from_above(self) -> None:
        """Where already the first one is too much."""
        proxy = OneProxy(60.0)
        self.assertAlmostEqual(self.find(proxy), 0.71 / 1.12**2)
        self.assertEqual(proxy.offered, [71, 71, 63, 63, 57])

    def test_nothing_is_carried(self) -> None:
        self.assertRaises(SystemExit, self.find, OneProxy(0.0))
