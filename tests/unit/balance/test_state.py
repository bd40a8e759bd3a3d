"""The state that a node tells the others."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.state import (
    DrainOrdered,
    DrainRevoked,
    Levels,
    Measured,
    NodeState,
    NodeStateMachine,
    StateChanged,
)
from voipcluster.balance.workload import Workload
from voipcluster.errors import UsageError

OPEN, SHED, FULL, DRAIN = NodeState.OPEN, NodeState.SHED, NodeState.FULL, NodeState.DRAIN


class LevelsTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """0.75/0.65 and 0.90/0.80 with the default threshold and hard limit."""
        levels = Levels()
        got = [
            round(level, 9) for level in (levels.threshold, levels.shed_back, levels.full, levels.full_back)
        ]
        self.assertEqual(got, [0.75, 0.65, 0.9, 0.8])

    def test_narrow(self) -> None:
        """FULL never begins below the threshold."""
        self.assertEqual(Levels(threshold=0.9, hard_limit=0.92).full, 0.9)

    def test_wrong(self) -> None:
        """A threshold above the hard limit, or outside 0..1, is the operator's error."""
        for threshold, hard in ((0.9, 0.8), (0.0, 0.5), (0.5, 1.1)):
            self.assertRaises(UsageError, Levels, threshold, hard)


class MeasuredTests(SynchronousTestCase):
    def machine(self, *steps: tuple[float, float]) -> NodeStateMachine:
        machine = NodeStateMachine()
        for now, lag in steps:
            machine.feed(Measured(Workload(lag=lag), now))
        return machine

    def test_busy_is_not_full(self) -> None:
        """A processor that is always busy makes a node SHED, and no more: nobody waits for it."""
        machine = NodeStateMachine()
        for now in (0.0, 1.0, 2.0):
            machine.feed(Measured(Workload(cpu=1.0, lag=0.5), now))
        self.assertEqual((machine.state, machine.drowning), (SHED, False))
        machine.feed(Measured(Workload(cpu=1.0, lag=0.9), 3.0))
        self.assertEqual(machine.state, FULL)
        machine.feed(Measured(Workload(cpu=1.0, lag=0.1), 4.0))
        self.assertEqual(machine.state, SHED)

    def test_up_at_once(self) -> None:
        """No dwell upwards, also over two steps."""
        machine = NodeStateMachine()
        self.assertEqual(machine.feed(Measured(Workload(cpu=0.75), 0.0)), [StateChanged(OPEN, SHED)])
        self.assertEqual(machine.feed(Measured(Workload(lag=0.90), 0.0)), [StateChanged(SHED, FULL)])
        self.assertEqual(self.machine((0.0, 0.95)).state, FULL)

    def test_stays_between(self) -> None:
        """Between 0.65 and 0.75 a node stays what it was, however long."""
        self.assertEqual(self.machine((0.0, 0.74), (9.0, 0.66)).state, OPEN)
        self.assertEqual(self.machine((0.0, 0.75), (9.0, 0.66)).state, SHED)

    def test_down_after_the_dwell(self) -> None:
        """Down one step at a time, each after one second."""
        steps = [(0.0, 0.9), (0.9, 0.1)]
        self.assertEqual(self.machine(*steps).state, FULL)
        self.assertEqual(self.machine(*steps, (1.0, 0.1)).state, SHED)
        self.assertEqual(self.machine(*steps, (1.0, 0.1), (1.9, 0.1)).state, SHED)
        self.assertEqual(self.machine(*steps, (1.0, 0.1), (2.0, 0.1)).state, OPEN)

    def test_drowning_takes_time(self) -> None:
        """Time at the hard limit for 0.3 s, not one peak of it; and over as soon as it is below."""
        self.assertFalse(self.machine((0.0, 1.0)).drowning)
        self.assertFalse(self.machine((0.0, 1.0), (0.1, 0.9), (0.4, 1.0)).drowning)
        self.assertTrue(self.machine((0.0, 1.0), (0.3, 0.95)).drowning)
        self.assertFalse(self.machine((0.0, 1.0), (0.3, 1.0), (0.4, 0.94)).drowning)


class CallsTests(SynchronousTestCase):
    def test_exact(self) -> None:
        """Calls have neither hysteresis nor dwell: a call that ended frees its place for the next one."""
        machine = NodeStateMachine()
        seen = []
        for calls in (14, 15, 14, 19, 18, 14):
            machine.feed(Measured(Workload(calls=calls / 20), 0.0))
            seen.append(machine.state)
        self.assertEqual(seen, [OPEN, SHED, OPEN, FULL, SHED, OPEN])

    def test_do_not_drown(self) -> None:
        """A node full of calls has time to hand the next one on."""
        machine = NodeStateMachine()
        for now in (0.0, 1.0, 2.0):
            machine.feed(Measured(Workload(calls=1.0), now))
        self.assertEqual((machine.state, machine.drowning), (FULL, False))


class DrainTests(SynchronousTestCase):
    def test_drain(self) -> None:
        """DRAIN hides what the workload says until it is revoked."""
        machine = NodeStateMachine()
        self.assertEqual(machine.feed(DrainOrdered()), [StateChanged(OPEN, DRAIN)])
        self.assertEqual(machine.feed(DrainOrdered()), [])
        self.assertEqual(machine.feed(Measured(Workload(calls=0.8), 0.0)), [])
        self.assertEqual(machine.feed(DrainRevoked()), [StateChanged(DRAIN, SHED)])

    def test_unknown_word(self) -> None:
        """A state of a later version is read as UNKNOWN: no target."""
        self.assertEqual(NodeState("probation"), NodeState.UNKNOWN)
