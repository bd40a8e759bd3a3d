"""Which changes are told at once, and how often."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.decision import Own
from voipcluster.balance.report import NOTHING
from voipcluster.balance.state import NodeState
from voipcluster.balance.trigger import Changes, Pace
from voipcluster.balance.workload import Workload

TOLD = Own(Workload(), delay=0.02, capacity=100.0)
LIMIT = 20


def changes(told: Own = TOLD) -> Changes:
    found = Changes(0.02)
    found.tell(told, 10)
    return found


class ChangesTests(SynchronousTestCase):
    def assertTold(self, told: bool, calls: int = 10, **changed: object) -> None:
        self.assertEqual(changes().matter(evolve(TOLD, **changed), calls, LIMIT), told, changed)

    def test_nothing(self) -> None:
        """What is the same is not told."""
        self.assertTold(False)

    def test_state_and_weight(self) -> None:
        """What the node is to the others is told at once."""
        self.assertTold(True, state=NodeState.DRAIN)
        self.assertTold(True, weight=0.2)

    def test_counted(self) -> None:
        """A step of what is counted, and crossing the limit of calls."""
        self.assertTold(False, workload=Workload(calls=0.02))
        self.assertTold(True, workload=Workload(calls=0.021))
        self.assertTold(True, workload=Workload(memory=0.5))
        self.assertTold(True, calls=20)

    def test_time(self) -> None:
        """Of the time the wait is told, when it moved by 10 ms and by a quarter; the CPU jitters, and waits for the period."""
        self.assertTold(False, workload=Workload(cpu=0.7))
        self.assertTold(False, delay=0.029)
        self.assertTold(True, delay=0.031)
        self.assertTold(True, delay=0.0)
        slow = evolve(TOLD, delay=0.2)
        self.assertFalse(changes(slow).matter(evolve(slow, delay=0.24), 10, LIMIT))
        self.assertTrue(changes(slow).matter(evolve(slow, delay=0.26), 10, LIMIT))

    def test_capacity(self) -> None:
        """A fifth of the capacity changes the plan."""
        self.assertTold(False, capacity=119.0)
        self.assertTold(True, capacity=79.0)

    def test_urgent(self) -> None:
        """Twice the wait and 20 ms more, or little more than half of the capacity: no plan meant that."""
        for urgent, changed in (
            (False, {"delay": 0.039}),
            (True, {"delay": 0.041}),
            (False, {"capacity": 61.0}),
            (True, {"capacity": 59.0}),
            (False, {"state": NodeState.FULL}),
        ):
            self.assertEqual(changes().urgent(evolve(TOLD, **changed)), urgent, changed)
        slow = evolve(TOLD, delay=0.2)
        self.assertFalse(changes(slow).urgent(evolve(slow, delay=0.3)))

    def test_nothing_and_not_known(self) -> None:
        """That it can serve nothing is urgent, whatever was known; that a capacity is not known any more says nothing bad."""
        unknown, nothing = evolve(TOLD, capacity=0.0), evolve(TOLD, capacity=NOTHING)
        for told, own, urgent in (
            (TOLD, nothing, True),
            (unknown, nothing, True),
            (nothing, nothing, False),
            (TOLD, unknown, False),
            (nothing, unknown, False),
            (unknown, evolve(TOLD, capacity=5.0), False),
        ):
            self.assertEqual(changes(told).urgent(own), urgent, (told.capacity, own.capacity))
        self.assertTrue(changes(unknown).matter(nothing, 10, LIMIT))


class PaceTests(SynchronousTestCase):
    def test_some_are_kept_for_what_is_urgent(self) -> None:
        """Jitter never uses up what is there for a slow-down, in clusters of all sizes where there is more than one."""
        for others in (2, 100, 299):
            pace = Pace()
            while pace.wait(0.0, others) == 0.0:
                pass
            self.assertEqual(pace.wait(0.0, others, urgent=True), 0.0, others)

    def sent(self, others: int, seconds: int = 4) -> int:
        pace = Pace()
        return sum(pace.wait(step / 1000, others) == 0.0 for step in range(1000 * seconds))

    def test_few(self) -> None:
        """Never more than 50 in a second."""
        self.assertLessEqual(self.sent(2, 1), 50)
        self.assertGreater(self.sent(2, 1), 40)

    def test_many(self) -> None:
        """What all together send to one node is bounded, whatever their number."""
        for others in (60, 100, 300):
            self.assertLess(self.sent(others) / 4 * others, 1000, others)
            self.assertGreater(self.sent(others), 0)

    def test_a_part_of_a_processor(self) -> None:
        """A node that gets a tenth of one reports a tenth as often, and what is urgent at once all the same."""
        pace = Pace()
        sent = sum(pace.wait(step / 1000, 2, granted=0.1) == 0.0 for step in range(4000))
        self.assertTrue(15 <= sent <= 22, sent)
        self.assertEqual(pace.wait(4.0, 2, urgent=True, granted=0.1), 0.0)
        sent = sum(pace.wait(4.0 + step / 1000, 2) == 0.0 for step in range(4000))
        self.assertGreater(sent, 160, "and as often as before when it gets all of it")

    def test_members_change(self) -> None:
        """The pace follows the number of nodes."""
        pace = Pace()
        while pace.wait(0.0, 300) == 0.0:
            pass
        self.assertGreater(pace.wait(0.0, 300), 0.0)
        self.assertEqual(pace.wait(0.0, 2), 0.0)
