"""Call records as SQL: what comes out of it is what went in, whatever others have sent."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from tests.unit.store.database_case import DatabaseCase
from tests.unit.store.test_acc import cdr, missed
from voipcluster.store.acc import CallLog
from voipcluster.store.tables import acc_cdrs, acc_tried
from voipcluster.voipctl import records, statements

HOSTILE = "sip:o'brien'); DROP TABLE acc_cdrs; --\\' :x %s\n\\! true\n\\.\n@example.com"


class StatementsTests(DatabaseCase):
    def setUp(self) -> None:
        super().setUp()
        self.database = self.open()
        self.log = CallLog(self.database)

    def run_sql(self, *rows: dict[str, Any]) -> None:
        """As sqlite3 takes it: all but the first line, which is for PostgreSQL."""
        first, begin, *lines, commit = statements.of_calls(rows, records.COLUMNS)
        self.assertEqual((first, begin, commit), (statements.STRINGS, "BEGIN;", "COMMIT;"))
        for line in lines:
            self.successResultOf(self.database.write((text(line.replace(":", "\\:")), None)))

    def calls(self) -> list[dict[str, Any]]:
        found = self.successResultOf(self.log.calls(0, 2000, 0, 99))
        return [{name: value for name, value in row.items() if name != "id"} for row in found]

    def test_all_columns(self) -> None:
        """Each table is filled whole."""
        self.assertEqual(sorted(records.COLUMNS), sorted(set(acc_cdrs.c.keys()) - {"id"}))
        self.assertEqual(sorted(statements.TRIED), sorted(acc_tried.c.keys()))

    def test_what_is_missing_is_filled(self) -> None:
        """What is there stays as it is; several attempts come with their call; a text stays a text."""
        tried = [
            {
                "attempt": number, "target": HOSTILE, "gateway": "", "start_time": 970.125, "end_time": 990.0,
                "sip_code": "503", "cause": "failed 503", "ended_by": "callee",
            }
            for number in (1, 2)
        ]  # fmt: skip
        wanted = [cdr(1), missed(2), {**cdr(3), "caller": HOSTILE, "attempts": 2, "tried": tried}]
        self.successResultOf(self.log.write([cdr(1)], []))
        changed = {**cdr(1), "cause": "another"}
        for _ in range(2):
            self.run_sql({"id": 7, **changed}, *wanted[1:])
            self.assertEqual(self.calls(), wanted)

    def test_of_an_earlier_release(self) -> None:
        """What a node did not know is what the table says."""
        whole = cdr(1)
        self.run_sql(
            {name: value for name, value in whole.items() if name not in ("target", "attempts", "ended_by")}
        )
        self.assertEqual(self.calls(), [{**whole, "target": "", "attempts": 0, "ended_by": ""}])

    def test_literals(self) -> None:
        values = (None, True, False, 3, 0.1, 1764150000.123456, "it's\0")
        wanted = ["NULL", "TRUE", "FALSE", "3", "0.1", "1764150000.123456", "'it''s'"]
        self.assertEqual([statements.literal(value) for value in values], wanted)
