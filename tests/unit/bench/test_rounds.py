"""What several rounds say together."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from bench.rounds import Found, Outcome


class FoundTests(SynchronousTestCase):
    def judge(self, *goodputs: float, kamailio: float = 0.0, times: float = 3.0) -> tuple[bool, str]:
        found = Found([Outcome("voipcluster", times, 0.8 * one, one, 0.01) for one in goodputs])
        found.outcomes.append(Outcome("kamailio", times, 0.8 * kamailio, kamailio, 0.01))
        found.outcomes.append(Outcome("voipcluster", times + 1.0, 0.0, 0.0, 0.01))  # another load
        with redirect_stdout(StringIO()) as out:
            return found.reached(times), out.getvalue()

    def test_the_median_counts_and_all_are_said(self) -> None:
        reached, said = self.judge(0.94, 1.01, 0.96)
        self.assertTrue(reached)
        self.assertIn("0.960 (0.94, 1.01, 0.96) of the capacity", said)
        self.assertFalse(self.judge(0.94, 1.01, 0.93)[0])

    def test_not_below_kamailio(self) -> None:
        self.assertFalse(self.judge(0.97, kamailio=0.98)[0])
        self.assertTrue(self.judge(0.97, kamailio=0.96)[0])

    def test_a_load_without_a_goal(self) -> None:
        self.assertTrue(self.judge(0.5, times=2.0)[0])
