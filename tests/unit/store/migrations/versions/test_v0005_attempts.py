"""Each attempt of a call."""

from __future__ import annotations

from tests.unit.store.former import AT, insert
from tests.unit.store.migrations.versions.step_case import StepCase


class AttemptsTests(StepCase):
    before, script = "0004", "0005"

    def test_calls_of_before(self) -> None:
        """They stay as they are; of their attempts nothing is known, so none is made up."""
        columns = "callid, start_time, answer_time, end_time, sip_code, cause, missed, mos_caller"
        calls, before = self.rows(f"SELECT {columns} FROM acc_cdrs ORDER BY id"), self.counts()
        self.step()
        self.assertEqual(self.rows(f"SELECT {columns} FROM acc_cdrs ORDER BY id"), calls)
        self.assertEqual(self.counts(), {**before, "acc_tried": 0})
        self.assertEqual(self.rows("SELECT DISTINCT target, attempts, ended_by FROM acc_cdrs"), [("", 0, "")])
        self.assertEqual(self.rows("SELECT * FROM acc_attempts"), [])
        self.assertEqual(self.rows("SELECT count(*) FROM acc"), [(3,)])

    def test_calls_from_now_on(self) -> None:
        """The view has the attempts of both: of a call that was tried once, and of one that was tried twice."""
        self.step()
        self.connection.exec_driver_sql("UPDATE acc_cdrs SET attempts = id, target = 'sip:first'")
        for attempt in (1, 2):
            row = {"uid": "2", "attempt": attempt, "target": f"sip:gw{attempt}", "gateway": f"gw{attempt}"}
            row |= {"start_time": AT, "end_time": AT, "sip_code": "503", "cause": "x", "ended_by": "callee"}
            insert(self.connection, "acc_tried", row)
        self.assertEqual(
            self.rows(
                "SELECT callid, attempt, target, gateway, caller FROM acc_attempts ORDER BY uid, attempt"
            ),
            [
                ("answered", 1, "sip:first", "", "sip:alice@example.com"),
                ("missed", 1, "sip:gw1", "gw1", "sip:alice@example.com"),
                ("missed", 2, "sip:gw2", "gw2", "sip:alice@example.com"),
            ],
        )
