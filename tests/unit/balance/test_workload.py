"""How busy a node is."""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.workload import COMPONENTS, PeakEwma, Workload


class WorkloadTests(SynchronousTestCase):
    def test_greatest_counts(self) -> None:
        """Each component alone can be the workload: a maximum, not a sum."""
        for name in COMPONENTS:
            busy = Workload(**{other: 0.6 if other == name else 0.5 for other in COMPONENTS})
            self.assertEqual((busy.value, busy.leading), (0.6, name))

    def test_idle(self) -> None:
        """Nothing to do is 0, led by the calls."""
        self.assertEqual((Workload().value, Workload().leading), (0.0, "calls"))

    def test_measured_is_without_calls(self) -> None:
        """What passes the hysteresis does not contain the calls; what makes a node full, not the CPU either."""
        load = Workload(cpu=0.1, lag=0.2, calls=0.9, memory=0.5)
        self.assertEqual((load.measured, load.counted), (0.5, 0.9))
        self.assertEqual(Workload(cpu=0.9, lag=0.2, calls=0.7).waiting, 0.2)


class PeakEwmaTests(SynchronousTestCase):
    def test_up_at_once(self) -> None:
        """A peak counts whole."""
        peak = PeakEwma()
        peak.feed(0.1, 0.0)
        self.assertEqual(peak.feed(0.9, 0.1), 0.9)

    def test_down_with_tau(self) -> None:
        """After tau = 1 s a peak has fallen to 1/e, in one sample or in ten."""
        one, ten = PeakEwma(), PeakEwma()
        one.feed(1.0, 0.0)
        ten.feed(1.0, 0.0)
        for step in range(1, 11):
            ten.feed(0.0, step / 10)
        self.assertAlmostEqual(one.feed(0.0, 1.0), math.exp(-1))
        self.assertAlmostEqual(ten.value, math.exp(-1))

    def test_clock_that_goes_back(self) -> None:
        """A time before the last one lets nothing grow."""
        peak = PeakEwma()
        peak.feed(1.0, 5.0)
        self.assertEqual(peak.feed(0.0, 4.0), 1.0)
