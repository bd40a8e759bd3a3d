"""What is read from sipp's statistics and from the scheduler's figures beside them."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.overloaded import between, counted, rows

NAMES = "CurrentTime;OutgoingCall(C);done(C);refused(C);Retransmissions(C)"


def line(at: float, *counts: int) -> str:
    return f"2026-11-26\t11:00:00\t{at};" + ";".join(map(str, counts))


class StatisticsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        lines = [NAMES, line(100.0, 0, 0, 0, 0), line(101.0, 30, 10, 2, 5), line(103.0, 90, 50, 4, 15), ""]
        self.file.write_text("\n".join(lines))

    def test_per_second_between_two_lines(self) -> None:
        """Not from one wall-clock second to the next, since sipp may be late; CPU time on the straight line between samples."""
        used = [(100.5, 1.0, 0.0), (101.5, 1.2, 0.0), (102.5, 1.2, 1.0), (104.5, 1.6, 3.0)]
        read = rows(self.file)
        run = counted(read[1], read[2], used)
        self.assertEqual((run.offered, run.done, run.refused, run.copies), (30.0, 20.0, 1.0, 5.0))
        self.assertAlmostEqual(run.cpu, (1.3 - 1.1) / 2)
        self.assertAlmostEqual(run.load, 1.5 / 2)

    def test_outside_of_what_is_known(self) -> None:
        known = [(1.0, 5.0), (2.0, 7.0)]
        self.assertEqual([between(known, when) for when in (0.0, 1.5, 9.0)], [5.0, 6.0, 7.0])

    def test_nothing_yet(self) -> None:
        self.assertEqual(rows(Path(self.mktemp())), [])
