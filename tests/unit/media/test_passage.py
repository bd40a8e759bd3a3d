"""When the kernel path is given up, and for whom."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media.passage import FEWEST, FIRST_PAUSE, IN_A_ROW, Passage, Verdict


class PassageTests(SynchronousTestCase):
    def test_works(self) -> None:
        """What leaves proves that the path is good."""
        passage = Passage()
        self.assertIs(passage.counted(50, 50, 1.0), Verdict.FINE)
        self.assertTrue(passage.proved)
        self.assertTrue(passage.is_open(1.0))

    def test_few_packets_say_nothing(self) -> None:
        """They may have come between the two readings."""
        passage = Passage()
        self.assertIs(passage.counted(FEWEST - 1, 0, 1.0), Verdict.FINE)
        self.assertFalse(passage.proved)

    def test_nothing_ever_leaves(self) -> None:
        """A path that never worked is given up with the first line that shows it, and tried again after a pause."""
        passage = Passage()
        self.assertIs(passage.counted(50, 0, 1.0), Verdict.ALL)
        self.assertFalse(passage.is_open(FIRST_PAUSE))
        self.assertTrue(passage.is_open(1.0 + FIRST_PAUSE))
        self.assertIs(passage.counted(50, 0, 400.0), Verdict.ALL)
        self.assertFalse(passage.is_open(400.0 + FIRST_PAUSE))
        self.assertTrue(passage.is_open(400.0 + 2 * FIRST_PAUSE))

    def test_others_at_the_same_time(self) -> None:
        """More lines that show the same in one reading do not make the pause longer."""
        passage = Passage()
        verdicts = [passage.counted(50, 0, 1.0) for _ in range(3)]
        self.assertEqual(verdicts, [Verdict.ALL, Verdict.FINE, Verdict.FINE])
        self.assertTrue(passage.is_open(1.0 + FIRST_PAUSE))

    def test_one_line_of_a_path_that_works(self) -> None:
        """Anybody can make his own line fail, with packets that live for one hop: the others stay in the kernel."""
        passage = Passage()
        passage.counted(50, 50, 1.0)
        for _ in range(10):
            for _ in range(IN_A_ROW - 1):
                self.assertIs(passage.counted(50, 0, 2.0), Verdict.LINE)
            self.assertIs(passage.counted(50, 50, 2.0), Verdict.FINE)
        self.assertTrue(passage.is_open(2.0))

    def test_a_path_that_worked_until_now(self) -> None:
        """A firewall that is loaded later stops all lines: some in a row, and none between them that works."""
        passage = Passage()
        passage.counted(50, 50, 1.0)
        verdicts = [passage.counted(50, 0, 2.0) for _ in range(IN_A_ROW)]
        self.assertEqual(verdicts, [Verdict.LINE] * (IN_A_ROW - 1) + [Verdict.ALL])
        self.assertFalse(passage.is_open(2.0))

    def test_pause_is_short_again(self) -> None:
        """Success after a pause makes the next one a first one."""
        passage = Passage()
        passage.counted(50, 0, 0.0)
        passage.counted(50, 50, FIRST_PAUSE)
        for _ in range(IN_A_ROW):
            passage.counted(50, 0, 1000.0)
        self.assertTrue(passage.is_open(1000.0 + FIRST_PAUSE))
