"""Columns of text."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.voipctl.columns import Rows, aligned, clean, cleaned, clock, each, table


class CellTests(SynchronousTestCase):
    def test_clean(self) -> None:
        """Nothing of the network moves the cursor, ends a line or turns the text around; what is empty is a dash."""
        for value, text in (
            ("alice", "alice"), ("\u00e4 \u4e2d", "\u00e4 \u4e2d"), ("a\nb\tc", "a?b?c"), ("\x1b[2J", "?[2J"),
            ("\u202eevil", "?evil"), ("\x7f\x9b", "??"), ("\udcff", "?"), (0, "0"), (None, "-"), ("", "-"),
        ):  # fmt: skip
            self.assertEqual(clean(value), text, repr(value))
            self.assertEqual(cleaned(["alice", value, 7]), ["alice", text, "7"])

    def test_clock(self) -> None:
        """Minutes and seconds, hours when there are any; no fractions, and a dash for what is not known."""
        for seconds, text in (
            (0, "0:00"), (59.9, "0:59"), (60, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (86399.5, "23:59:59"),
            (360000, "100:00:00"), (None, "-"),
        ):  # fmt: skip
            self.assertEqual(clock(seconds), text)

    def test_each(self) -> None:
        """As one value after the other; a function is asked once for all that are alike."""
        asked: list[object] = []

        def shown(value: object) -> str:
            asked.append(value)
            return clean(value)

        self.assertEqual(each(shown, ["a", None, "a\n", "a"]), ["a", "-", "a?", "a"])
        self.assertEqual((len(asked), each(shown, [])), (3, []))

    def test_columns(self) -> None:
        """Each is as wide as its widest cell, numbers to the right, and no line ends in blanks."""
        columns = [
            ("NAME", lambda row: row["name"], False),
            ("N", lambda row: row["n"], True),
            ("X", lambda row: row["x"], False),
        ]
        rows = [{"name": "a", "n": "7", "x": "long text"}, {"name": "longer", "n": "1000", "x": "t"}]
        self.assertEqual(
            table(columns, rows),
            "NAME       N  X\na          7  long text\nlonger  1000  t",
        )
        self.assertEqual(table(columns, []), "NAME  N  X")

    def test_whole_columns(self) -> None:
        """The same of columns as of rows, also of a cell that is a pattern to format, and of no rows at all."""
        columns = [("NAME", ["{0}", "longer"], False), ("N", ["7", "1000"], True), ("X", ["%s", " "], False)]
        self.assertEqual(aligned(columns), "NAME       N  X\n{0}        7  %s\nlonger  1000")
        self.assertEqual(aligned([("NAME", [], False), ("N", [], True)]), "NAME  N")

    def test_rows(self) -> None:
        """And of rows that come in parts."""
        rows = Rows([("NAME", False), ("N", True)])
        self.assertEqual(rows.text([]), "NAME  N")
        parts = [*rows.of([["%s"], ["7"]]), *rows.of([[], []]), *rows.of([["longer"], ["1000"]])]
        self.assertEqual(rows.text(parts), "NAME       N\n%s         7\nlonger  1000")
