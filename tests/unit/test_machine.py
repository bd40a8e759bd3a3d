"""The timers that all machines share."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.machine import CancelTimer, SetTimer, TimerFired


class TimerTests(SynchronousTestCase):
    def test_fact_and_orders_are_told_apart(self) -> None:
        """A runner matches on the class: that a timer fired is no order to start or stop it."""
        said = []
        for one in (SetTimer("A", 0.5), CancelTimer("A"), TimerFired("A")):
            match one:
                case SetTimer(name, delay):
                    said.append(f"set {name} {delay}")
                case CancelTimer(name):
                    said.append(f"cancel {name}")
                case TimerFired(name):
                    said.append(f"fired {name}")
        self.assertEqual(said, ["set A 0.5", "cancel A", "fired A"])

    def test_values(self) -> None:
        """Equal by what they say, so that a test can compare lists of effects; not to be changed."""
        self.assertEqual([SetTimer("A", 0.5)], [SetTimer("A", 0.5)])
        self.assertNotEqual(SetTimer("A", 0.5), SetTimer("A", 1.0))
        self.assertNotEqual(SetTimer("A", 0.5), SetTimer("B", 0.5))
        with self.assertRaises(AttributeError):
            SetTimer("A", 0.5).delay = 1.0
