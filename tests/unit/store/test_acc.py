"""The call records of a node: written with what waits for others, read in pages, forgotten."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from tests.unit.store.database_case import DatabaseCase, Later
from voipcluster.store.acc import CallLog, Waiting


def cdr(number: int, ended: float = 1000.0) -> dict[str, Any]:
    return {
        "uid": f"a-1-{number}", "callid": f"c{number}", "from_tag": "ft", "to_tag": "tt", "start_time": ended - 30,
        "answer_time": ended - 20, "end_time": ended, "duration": 20.0, "setup": 10.0, "caller": "sip:alice@example.com",
        "callee": "sip:bob@example.com", "src_user": "alice@example.com", "src_ip": "192.0.2.1:5060", "transport": "UDP",
        "node": "a", "ingress": "a", "visited": "a", "gateway_in": "", "gateway_out": "", "number": "", "sip_code": "200",
        "sip_reason": "OK", "cause": "bye", "missed": False, "mos_caller": 4.2, "mos_callee": None, "quality": "[]",
        "target": "sip:bob@192.0.2.2", "attempts": 1, "ended_by": "callee",
    }  # fmt: skip


def missed(number: int, ended: float = 1000.0) -> dict[str, Any]:
    changed = {
        "answer_time": None,
        "duration": 0.0,
        "sip_code": "486",
        "sip_reason": "Busy Here",
        "missed": True,
    }
    return {**cdr(number, ended), **changed}


class CallLogTests(DatabaseCase):
    def setUp(self) -> None:
        super().setUp()
        self.database = self.open()
        self.log = CallLog(self.database)

    def written(self, *rows: dict[str, Any]) -> None:
        self.successResultOf(self.log.write(rows, []))

    def calls(self) -> list[str]:
        return [row["callid"] for row in self.successResultOf(self.log.calls(0, 2000, 0, 99))]

    def waiting(self, consumer: str) -> list[str]:
        return [row.body for row in self.successResultOf(self.log.waiting(consumer, 99))]

    def test_a_call_is_read_as_written(self) -> None:
        self.written(cdr(1))
        (found,) = self.successResultOf(self.log.calls(0, 2000, 0, 10))
        self.assertEqual(found, {"id": 1, **cdr(1)})

    def test_several_attempts(self) -> None:
        """They are read with their call, once each, and go with it; a view has those of all calls."""
        tried = [
            {
                "attempt": number, "target": f"sip:gw{number}.example", "gateway": f"gw{number}", "start_time": 970.0 + number,
                "end_time": 990.0, "sip_code": "503", "cause": "failed 503", "ended_by": "callee",
            }
            for number in (1, 2)
        ]  # fmt: skip
        several = {**cdr(2), "attempts": 2, "tried": tried}
        refused = {**cdr(3), "attempts": 0, "target": ""}
        self.written(cdr(1), several, refused)
        self.written(several)
        found = self.successResultOf(self.log.calls(0, 2000, 0, 10))
        self.assertEqual([row.get("tried") for row in found], [None, tried, None])
        rows = self.database.rows(
            text("SELECT callid, attempt, target, gateway, sip_code FROM acc_attempts ORDER BY uid, attempt")
        )
        self.assertEqual(
            [tuple(row) for row in rows],
            [
                ("c1", 1, "sip:bob@192.0.2.2", "", "200"),
                ("c2", 1, "sip:gw1.example", "gw1", "503"),
                ("c2", 2, "sip:gw2.example", "gw2", "503"),
            ],
        )
        self.successResultOf(self.log.forget(1500.0))
        self.assertEqual(self.database.rows(text("SELECT * FROM acc_tried")), [])

    def test_as_others_keep_them(self) -> None:
        """C{acc} has the begin and the end of a call, C{missed_calls} what nobody answered."""
        self.written(cdr(1), missed(2))
        columns = "method, callid, sip_code, sip_reason, time"
        found = self.database.rows(text(f"SELECT {columns} FROM acc ORDER BY callid, time"))
        self.assertEqual(
            [tuple(row) for row in found],
            [
                ("INVITE", "c1", "200", "OK", 980.0),
                ("BYE", "c1", "200", "OK", 1000.0),
                ("INVITE", "c2", "486", "Busy Here", 1000.0),
            ],
        )
        found = self.database.rows(text(f"SELECT {columns} FROM missed_calls"))
        self.assertEqual([tuple(row) for row in found], [("INVITE", "c2", "486", "Busy Here", 1000.0)])

    def test_pages(self) -> None:
        self.written(*(cdr(n, 1000.0 + n) for n in range(5)))
        first = self.successResultOf(self.log.calls(1001, 1003, 0, 2))
        self.assertEqual([row["callid"] for row in first], ["c1", "c2"])
        second = self.successResultOf(self.log.calls(1001, 1003, first[-1]["id"], 2))
        self.assertEqual([row["callid"] for row in second], ["c3"])

    def test_what_waits(self) -> None:
        """Each consumer takes the oldest first, and only what it took is gone."""
        queued = [(who, str(n)) for n in range(3) for who in ("database", "webhook")]
        self.successResultOf(self.log.write([], queued))
        two = self.successResultOf(self.log.waiting("database", 2))
        self.assertEqual([row.body for row in two], ["0", "1"])
        self.assertIsInstance(two[0], Waiting)
        self.successResultOf(self.log.taken("database", two[-1].id))
        self.assertEqual((self.waiting("database"), self.waiting("webhook")), (["2"], ["0", "1", "2"]))

    def test_a_full_queue_gives_up_its_oldest(self) -> None:
        self.successResultOf(self.log.write([], [("database", str(n)) for n in range(5)]))
        self.assertEqual(self.successResultOf(self.log.limit("database", 5)), (5, 0))
        self.assertEqual(self.successResultOf(self.log.limit("database", 3)), (3, 2))
        self.assertEqual(self.waiting("database"), ["2", "3", "4"])

    def test_a_queue_that_shrinks_while_it_is_cut(self) -> None:
        """What is given up is counted in the transaction that does it: rows that were taken meanwhile are not given up too."""
        later = Later()
        self.database.close()
        log = CallLog(self.open(later))
        log.write([], [("database", str(n)) for n in range(6)])
        later.work()
        limited = log.limit("database", 3)
        log.taken("database", 2)  # is asked behind it
        later.work()
        self.assertEqual(self.successResultOf(limited), (3, 3))
        again = log.limit("database", 3)
        while later.waiting:
            later.work()
        self.assertEqual(self.successResultOf(again), (3, 0))
        log = CallLog(self.open())
        self.assertEqual(
            [row.body for row in self.successResultOf(log.waiting("database", 9))], ["3", "4", "5"]
        )

    def test_attempts_go_with_their_call(self) -> None:
        """One that ended long before its call stays as long as this does, and both go together."""
        tried = [
            {
                "attempt": number, "target": f"sip:gw{number}.example", "gateway": f"gw{number}", "start_time": 970.0,
                "end_time": ended, "sip_code": "503", "cause": "failed 503", "ended_by": "callee",
            }
            for number, ended in ((1, 970.0), (2, 2000.0))
        ]  # fmt: skip
        self.written({**cdr(1, 2000.0), "attempts": 2, "tried": tried})
        self.successResultOf(self.log.forget(1500.0))
        (found,) = self.successResultOf(self.log.calls(0, 3000, 0, 9))
        self.assertEqual(found["tried"], tried)
        self.successResultOf(self.log.forget(2500.0))
        self.assertEqual(self.database.rows(text("SELECT * FROM acc_tried")), [])

    def test_forgotten(self) -> None:
        self.written(*(cdr(n, 1000.0 + n) for n in range(3)))
        self.successResultOf(self.log.forget(1001.5))
        self.assertEqual(self.calls(), ["c2"])

    def test_a_record_is_written_once(self) -> None:
        """A call that ends a second time, since its node was killed in between, is one call."""
        self.written(cdr(1))
        self.written(cdr(2), cdr(1, 1500.0))
        found = self.successResultOf(self.log.calls(0, 2000, 0, 10))
        self.assertEqual(
            [(row["callid"], row["end_time"]) for row in found], [("c1", 1000.0), ("c2", 1000.0)]
        )

    def test_all_or_nothing(self) -> None:
        """What no database takes leaves nothing of its batch behind."""
        self.failureResultOf(self.log.write([cdr(1)], [("database", "1"), ("database", object())]))
        self.assertEqual((self.calls(), self.waiting("database")), ([], []))
