"""The call records of a node: written with what waits for others, read in pages, forgotten."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.store.database_case import DatabaseCase
from voipcluster.store.acc import CallLog, Waiting
from voipcluster.store.tables import acc, missed_calls


def cdr(number: int, ended: float = 1000.0) -> dict[str, Any]:
    return {
        "uid": f"a-1-{number}", "callid": f"c{number}", "from_tag": "ft", "start_time": ended - 30, "answer_time": ended - 20,
        "end_time": ended, "duration": 20.0, "setup": 10.0, "caller": "sip:alice@example.com", "callee": "sip:bob@example.com",
        "src_user": "alice@example.com", "src_ip": "192.0.2.1:5060", "transport": "UDP", "node": "a", "ingress": "a",
        "visited": "a", "gateway_in": "", "gateway_out": "", "number": "", "sip_code": "200", "cause": "bye",
        "mos_caller": 4.2, "mos_callee": None, "quality": "[]",
    }  # fmt: skip


def outcome(number: int, time: float = 1000.0) -> dict[str, Any]:
    return {
        "uid": f"a-1-{number}i", "method": "INVITE", "from_tag": "ft", "to_tag": "", "callid": f"c{number}",
        "sip_code": "486", "sip_reason": "Busy Here", "time": time, "caller": "sip:alice@example.com",
        "callee": "sip:bob@example.com", "src_user": "", "src_ip": "192.0.2.1:5060", "node": "a", "gateway": "",
    }  # fmt: skip


class CallLogTests(DatabaseCase):
    def setUp(self) -> None:
        super().setUp()
        self.database = self.open()
        self.log = CallLog(self.database)

    def test_a_call_is_read_as_written(self) -> None:
        self.successResultOf(self.log.write([("acc_cdrs", cdr(1))], []))
        (found,) = self.successResultOf(self.log.calls(0, 2000, 0, 10))
        self.assertEqual(found, {"id": 1, **cdr(1)})

    def test_the_other_tables(self) -> None:
        self.successResultOf(self.log.write([("acc", outcome(1)), ("missed_calls", outcome(1))], []))
        for table in (acc, missed_calls):
            (row,) = self.database.rows(table.select())
            self.assertEqual((row.callid, row.sip_code, row.sip_reason), ("c1", "486", "Busy Here"))

    def test_pages(self) -> None:
        self.successResultOf(self.log.write([("acc_cdrs", cdr(n, 1000.0 + n)) for n in range(5)], []))
        first = self.successResultOf(self.log.calls(1001, 1003, 0, 2))
        self.assertEqual([row["callid"] for row in first], ["c1", "c2"])
        second = self.successResultOf(self.log.calls(1001, 1003, first[-1]["id"], 2))
        self.assertEqual([row["callid"] for row in second], ["c3"])

    def test_what_waits(self) -> None:
        """Each consumer takes the oldest first, and only what it took is gone."""
        waiting = [
            (who, "acc_cdrs", json.dumps({"n": n})) for n in range(3) for who in ("database", "webhook")
        ]
        self.successResultOf(self.log.write([], waiting))
        self.assertEqual(self.log.count_waiting(), {"database": 3, "webhook": 3})
        two = self.successResultOf(self.log.waiting("database", 2))
        self.assertEqual(
            [(row.kind, row.body) for row in two], [("acc_cdrs", '{"n": 0}'), ("acc_cdrs", '{"n": 1}')]
        )
        self.assertIsInstance(two[0], Waiting)
        self.successResultOf(self.log.taken("database", two[-1].id))
        self.assertEqual(self.log.count_waiting(), {"database": 1, "webhook": 3})

    def test_a_full_queue_gives_up_its_oldest(self) -> None:
        self.successResultOf(self.log.write([], [("database", "acc", str(n)) for n in range(5)]))
        self.successResultOf(self.log.drop_oldest("database", 2))
        left = self.successResultOf(self.log.waiting("database", 9))
        self.assertEqual([row.body for row in left], ["2", "3", "4"])

    def test_forgotten(self) -> None:
        rows = [("acc_cdrs", cdr(n, 1000.0 + n)) for n in range(3)] + [
            ("acc", outcome(n, 1000.0 + n)) for n in range(3)
        ]
        self.successResultOf(self.log.write(rows, []))
        self.successResultOf(self.log.forget(1001.5))
        left = self.successResultOf(self.log.calls(0, 2000, 0, 10))
        self.assertEqual([row["callid"] for row in left], ["c2"])
        self.assertEqual([row.callid for row in self.database.rows(acc.select())], ["c2"])

    def test_a_record_is_written_once(self) -> None:
        """The same record again is an error of the whole batch: nothing of it is there."""
        self.successResultOf(self.log.write([("acc_cdrs", cdr(1))], []))
        self.failureResultOf(
            self.log.write([("acc_cdrs", cdr(2)), ("acc_cdrs", cdr(1))], [("database", "acc", "{}")])
        )
        self.assertEqual(len(self.successResultOf(self.log.calls(0, 2000, 0, 10))), 1)
        self.assertEqual(self.log.count_waiting(), {})
