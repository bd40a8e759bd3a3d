"""The catalogue is whole, and the totals and docs/conformance.md say what the runs showed."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.conformance.report import Results, Row, Shown, catalogue, document, read, totals

DATA = Path(__file__).parent.parent / "data"
ROWS = [
    Row("requirement", str(n), "RFC 3261 7", f"Text | {n}", "Because." if n == 3 else "") for n in range(1, 7)
]
SHOWN: Results = {
    ("requirement", "1"): Shown(("tests.a.A.test_1", "tests.a.A.test_2"), True),
    ("requirement", "2"): Shown(("tests.a.A.test_2",), False),
}


class ReportTests(SynchronousTestCase):
    def test_catalogue(self) -> None:
        """No two rows have one name; there is a row for each recorded message and a message for each row."""
        rows = catalogue()
        names = [(row.kind, row.name) for row in rows]
        self.assertEqual(len(set(names)), len(names))
        self.assertEqual(
            [row.name for row in rows if row.kind == "requirement"], [str(n) for n in range(1, 151)]
        )
        for rfc, count in (("rfc4475", 49), ("rfc5118", 12)):
            mine = [row for row in rows if row.kind == rfc]
            self.assertEqual(
                sorted(row.name for row in mine), sorted(f.stem for f in (DATA / rfc).glob("*.dat"))
            )
            self.assertEqual(sum(not row.extra for row in mine), count)

    def test_totals(self) -> None:
        """Met of those that concern us; the others are named."""
        self.assertEqual(
            list(totals(SHOWN, ROWS)),
            ["conformance: checklist 1/5; failed: 2; no test ran: 4-6; do not apply: 3"],
        )

    def test_document(self) -> None:
        """A row that a run was not about keeps what an earlier run showed; what is known now wins."""
        text = document(SHOWN, ROWS)
        self.assertIn("</a>1 | RFC 3261 7 | Text \\| 1 | `a.A.test_1`, `a.A.test_2` | met |\n", text)
        self.assertIn("</a>2 | RFC 3261 7 | Text \\| 2 | `a.A.test_2` | not met |\n", text)
        self.assertIn("</a>3 | RFC 3261 7 | Text \\| 3 |  | does not apply: Because. |\n", text)
        self.assertIn("</a>4 | RFC 3261 7 | Text \\| 4 |  | not tested |\n", text)
        later: Results = {("requirement", "4"): Shown(("tests.b.B.test_4",), True)}
        self.assertEqual(document(later, ROWS, text), document(SHOWN | later, ROWS))
        self.assertEqual(document(later, ROWS), document(later, ROWS, document({}, ROWS)))

    def test_read(self) -> None:
        """A mark is met when all tests that carry it passed; an unknown one is a mistake."""
        file = Path(self.mktemp())
        lines = [
            ("tests.a.A.test_1", ["7"], True),
            ("tests.a.A.test_2", ["7", "8"], False),
            ("x", ["9"], True),
        ]
        records = [
            {"test": test, "marks": [["requirement", name] for name in names], "passed": passed}
            for test, names, passed in lines
        ]
        file.write_text("".join(f"{json.dumps(record)}\n" for record in records))
        self.assertEqual(
            read([file]),
            {
                ("requirement", "7"): Shown(("tests.a.A.test_1", "tests.a.A.test_2"), False),
                ("requirement", "8"): Shown(("tests.a.A.test_2",), False),
                ("requirement", "9"): Shown(("x",), True),
            },
        )
        file.write_text(json.dumps({"test": "x", "marks": [["flow", "none"]], "passed": True}))
        self.assertRaises(ValueError, read, [file])
