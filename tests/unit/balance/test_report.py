"""What a node tells the others about itself."""

from __future__ import annotations

from attrs import evolve
from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.codec import decode, encode
from voipcluster.balance.report import NOTHING, Report
from voipcluster.balance.state import NodeState
from voipcluster.balance.workload import Workload

BUSY = Workload(cpu=0.25, calls=0.75)


class ReportTests(SynchronousTestCase):
    def test_the_value_is_the_greatest_component(self) -> None:
        """Unless the sender says another one, because it knows more components."""
        self.assertEqual(Report(node="a", epoch=1, seq=1, workload=BUSY).value, 0.75)
        self.assertEqual(Report(node="a", epoch=1, seq=1, workload=BUSY, value=0.9).value, 0.9)
        self.assertEqual(Report(node="a", epoch=1, seq=1).value, 0.0)

    def test_a_changed_copy_keeps_the_value_that_was_sent(self) -> None:
        """The value travels by itself: it is not worked out anew behind the sender's back."""
        report = Report(node="a", epoch=1, seq=1, workload=BUSY)
        self.assertEqual(evolve(report, workload=Workload(calls=0.1)).value, 0.75)

    def test_which_report_is_newer(self) -> None:
        """A later start of the node comes before its sequence numbers, which begin anew."""
        old = Report(node="a", epoch=1, seq=900)
        later = Report(node="a", epoch=1, seq=901)
        restarted = Report(node="a", epoch=2, seq=0)
        self.assertLess(old.version, later.version)
        self.assertLess(later.version, restarted.version)
        self.assertEqual(old.version, (1, 900))

    def test_what_a_silent_field_means(self) -> None:
        """A report of the fewest fields is of a node that takes calls and reports changes at once."""
        report = Report(node="a", epoch=1, seq=1)
        self.assertEqual((report.state, report.calls, report.capacity), (NodeState.OPEN, 0, 0.0))
        self.assertTrue(report.spontaneous)

    def test_nothing_and_not_known(self) -> None:
        """Both travel in the one field that nodes of former releases know, to which 0 is "not known" and all above a capacity."""
        for capacity in (0.0, NOTHING):
            sent = encode(Report(node="a", epoch=1, seq=1, capacity=capacity))
            self.assertEqual(sent["capacity"], capacity)
            self.assertEqual(decode("report", sent).capacity, capacity)
        del sent["capacity"]
        self.assertEqual(decode("report", sent).capacity, 0.0, "who does not say it does not know it")
        self.assertGreater(NOTHING, 0.0)

    def test_nobody_changes_it(self) -> None:
        """It is shared by everything that places requests."""
        with self.assertRaises(FrozenInstanceError):
            Report(node="a", epoch=1, seq=1).calls = 5
