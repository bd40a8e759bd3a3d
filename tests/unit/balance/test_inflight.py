"""Calls handed to a node that its reports do not show yet."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.inflight import GONE, KNOWN, LATENCY, OVERTAKING, Assignments


class AssignmentsTests(SynchronousTestCase):
    def test_counts_until_reported(self) -> None:
        """An assignment counts from the decision, over its answer, to the report that came well after it."""
        sent = Assignments()
        ticket = sent.assigned(True, 0.0)
        self.assertEqual((sent.calls, sent.pending), (1, 1))
        sent.answered(ticket, True, 0.01)
        self.assertEqual((sent.calls, sent.pending), (1, 0))
        sent.reported(0, 0.01 + OVERTAKING)
        self.assertEqual(sent.calls, 0)

    def test_report_overtakes_the_answer(self) -> None:
        """A report that shows one call more shows the oldest of ours, answered or not; the rest still counts."""
        sent = Assignments()
        first = sent.assigned(True, 0.0)
        sent.assigned(True, 0.001)
        sent.reported(1, 0.004)
        self.assertEqual((sent.calls, sent.pending), (1, 2))
        sent.answered(first, True, 0.005)
        self.assertEqual((sent.calls, sent.pending), (1, 1))

    def test_answer_overtakes_the_report(self) -> None:
        """A report sent before the call came there does not make it uncounted."""
        sent = Assignments()
        sent.answered(sent.assigned(True, 0.0), True, 0.004)
        sent.reported(0, 0.005)
        self.assertEqual(sent.calls, 1)

    def test_refused(self) -> None:
        """A refused call fills no place; answering twice changes nothing."""
        sent = Assignments()
        ticket = sent.assigned(True, 0.0)
        sent.answered(ticket, False, 0.01)
        sent.answered(ticket, True, 0.02)
        self.assertEqual((sent.calls, sent.pending), (0, 0))

    def test_other_requests(self) -> None:
        """A REGISTER waits for its answer like a call, and fills no place."""
        sent = Assignments()
        sent.assigned(False, 0.0)
        self.assertEqual((sent.calls, sent.pending), (0, 1))

    def test_silence_means_unchanged(self) -> None:
        """Of a node that reports spontaneously, an answered call counts for one latency; an unanswered one longer."""
        sent = Assignments()
        sent.answered(sent.assigned(True, 0.0), True, 0.0)
        sent.assigned(True, 0.0)
        sent.settle(LATENCY - 0.01)
        self.assertEqual(sent.calls, 2)
        sent.settle(LATENCY)
        self.assertEqual(sent.calls, 1)

    def test_overdue(self) -> None:
        """The oldest without an answer counts, less the quickest answer; a report in between changes nothing."""
        sent = Assignments()
        self.assertEqual(sent.overdue(1.0), 0.0)
        for began, took in ((1.0, 0.2), (2.0, 0.05), (3.0, 0.3)):
            sent.answered(sent.assigned(False, began), True, began + took)
        oldest = sent.assigned(True, 4.0)
        sent.assigned(False, 4.4)
        sent.reported(0, 4.5)
        self.assertAlmostEqual(sent.overdue(4.5), 0.45, 2)
        sent.answered(oldest, False, 4.5)
        self.assertAlmostEqual(sent.overdue(4.5), 0.05, 2)

    def test_late(self) -> None:
        """What is late is told by what is usual there; of a node of which little is known by the most that any node may take."""
        sent = Assignments()
        for number in range(KNOWN):
            ticket = sent.assigned(True, float(number))
            self.assertEqual(
                (sent.is_late(number + 0.09, 0.1), sent.is_late(number + 0.11, 0.1)), (False, True)
            )
            sent.answered(ticket, True, number + 0.004)
        sent.assigned(True, 20.0)
        self.assertEqual((sent.is_late(20.03, 0.1), sent.is_late(20.04, 0.1)), (False, True))
        slow = Assignments()
        for number in range(5 * KNOWN):
            slow.answered(slow.assigned(True, float(number)), True, number + (0.001, 0.04)[number % 2])
        slow.assigned(True, 50.0)
        self.assertEqual((slow.is_late(50.055, 0.1), slow.is_late(50.08, 0.1)), (False, True))

    def test_overdue_by_the_way_there_and_back(self) -> None:
        """Two continents are 0.2 s apart, also after a redirect, which answers itself; a way that becomes longer is learnt."""
        sent = Assignments()
        sent.answered(sent.assigned(True, 1.0), True, 1.0)
        sent.answered(sent.assigned(True, 1.0), True, 1.2)
        sent.assigned(True, 2.0)
        self.assertAlmostEqual(sent.overdue(2.2), 0.0)
        later = Assignments()
        for second in range(1, 200):
            later.answered(later.assigned(True, second), True, second + (0.01 if second < 10 else 0.25))
        later.assigned(True, 200.0)
        self.assertLess(later.overdue(200.25), 0.01)

    def test_never_closed(self) -> None:
        """A ticket that nobody closed does not keep a node out for ever; what is cleared is not overdue."""
        sent = Assignments()
        sent.assigned(False, 1.0)
        self.assertAlmostEqual(sent.overdue(2.0), 1.0)
        self.assertEqual(sent.overdue(1.0 + GONE), 0.0)
        sent.assigned(False, 6.0)
        sent.clear()
        self.assertEqual(sent.overdue(7.0), 0.0)

    def test_never_answered(self) -> None:
        """A ticket that nobody closed ends with the first report after a latency: nothing leaks."""
        sent = Assignments()
        sent.assigned(True, 0.0)
        sent.reported(0, LATENCY)
        self.assertEqual((sent.calls, sent.pending), (0, 0))
