"""What was counted today, on the disk."""

from __future__ import annotations

import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.store.minutes import SPARE, MinutesFile

TODAY, YESTERDAY = "2026-11-26", "2026-11-25"
ALICE, BOB = f"user:alice@example.com:seconds:{TODAY}", f"user:bob@example.com:seconds:{TODAY}"


class MinutesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.file = self.fresh()

    def fresh(self) -> MinutesFile:
        """As the next process has it."""
        file = MinutesFile(self.path)
        self.before = file.read(TODAY)
        return file

    def test_next_process(self) -> None:
        """It reads what is there, and goes on; nobody else reads it."""
        self.assertEqual(self.before, {})
        self.file.write(TODAY, {ALICE: 10, BOB: 3})
        self.file.write(TODAY, {ALICE: 25})
        self.fresh().write(TODAY, {BOB: 4})
        self.fresh()
        self.assertEqual(self.before, {ALICE: 25, BOB: 4})
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_any_order(self) -> None:
        """Two threads may write in any order: a count only grows within a day."""
        self.file.write(TODAY, {ALICE: 25})
        self.file.write(TODAY, {ALICE: 10})
        self.fresh()
        self.assertEqual(self.before, {ALICE: 25})

    def test_another_day(self) -> None:
        """What is of yesterday is nothing today, and the file begins anew."""
        key = f"user:alice@example.com:seconds:{YESTERDAY}"
        self.file.write(YESTERDAY, {key: 100})
        self.fresh()
        self.assertEqual(self.before, {})
        self.file.write(TODAY, {ALICE: 1})
        self.assertEqual(self.path.read_text(), f"1 {ALICE}\n")

    def test_damage(self) -> None:
        """A line that was cut off, or is none, is passed over; a file that is none is no reason not to start."""
        self.file.write(TODAY, {ALICE: 10})
        with self.path.open("ab") as file:
            file.write(f"x {BOB}\n\xff\n-5 {BOB}\n{'9' * 40} {BOB}\n99 {ALICE}".encode("latin-1"))
        self.fresh()
        self.assertEqual(self.before, {ALICE: 10})
        self.path.unlink()
        self.path.mkdir()
        self.fresh()
        self.assertEqual(self.before, {})

    def test_cut_off(self) -> None:
        """What is written behind half a line is a line of its own."""
        self.file.write(TODAY, {ALICE: 10})
        with self.path.open("a") as file:
            file.write("99 user:al")
        self.fresh().write(TODAY, {BOB: 3})
        self.fresh()
        self.assertEqual(self.before, {ALICE: 10, BOB: 3})

    def test_size(self) -> None:
        """It is made anew when most of its lines say nothing any more."""
        for number in range(SPARE + 10):
            self.file.write(TODAY, {ALICE: number})
        self.assertLess(len(self.path.read_text().splitlines()), 20)
        self.fresh()
        self.assertEqual(self.before, {ALICE: SPARE + 9})
