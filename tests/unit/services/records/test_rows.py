"""A call that is over, as a row."""

from __future__ import annotations

import json

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.services.node.test_quality import call as media_of
from tests.unit.services.node.test_quality import reported
from voipcluster.services.media.relay import CallKey
from voipcluster.services.node.records import CallRecord
from voipcluster.services.records.rows import row_of, status_of, uid_of
from voipcluster.services.sip.calls import Call, Tried
from voipcluster.store.acc import COLUMNS, TRIED_COLUMNS
from voipcluster.store.tables import acc_cdrs


def call(answered: float = 0.0, **changes: object) -> Call:
    made = Call(
        CallKey("c1@host", "ft"), "sip:alice@example.com", "sip:bob@example.com", "192.0.2.1:5060", "UDP",
        "alice@example.com", "a", ("a", "b"), 100.0, answered=answered,
    )  # fmt: skip
    return evolve(made, **changes) if changes else made


def record(one: Call, reason: str, ended: float = 160.0) -> CallRecord:
    return CallRecord(one, ended, reason, None)


class RowTests(SynchronousTestCase):
    def test_an_answered_call(self) -> None:
        one = call(110.0)
        one.leg_up("tt")
        row = row_of(record(one, "bye"), "b", True)
        self.assertEqual(set(row), set(COLUMNS))
        self.assertEqual(
            [
                row[name]
                for name in (
                    "start_time",
                    "answer_time",
                    "end_time",
                    "duration",
                    "setup",
                    "sip_code",
                    "cause",
                )
            ],
            [100.0, 110.0, 160.0, 50.0, 10.0, "200", "bye"],
        )
        self.assertEqual(
            (row["visited"], row["node"], row["ingress"], row["to_tag"]), ("a b", "b", "a", "tt")
        )
        self.assertEqual((row["mos_caller"], row["quality"], row["missed"]), (None, "[]", False))

    def test_the_tag_of_the_callee(self) -> None:
        """The dialog that was up last, whether its BYE has ended it or the node has; no tag where nobody answered."""
        by_media = call(110.0)
        by_media.leg_up("tt")
        by_bye = call(110.0)
        by_bye.leg_up("other")
        by_bye.leg_up("tt")
        for tag, over in (("other", False), ("unknown", False), ("tt", True)):
            self.assertIs(by_bye.leg_over(tag), over, tag)
        for one, reason, tag in (
            (by_media, "media time-out", "tt"), (by_bye, "bye", "tt"), (call(), "failed 486", ""),
        ):  # fmt: skip
            self.assertEqual(row_of(record(one, reason), "b", True)["to_tag"], tag, reason)

    def test_who_missed_a_call(self) -> None:
        """A user who was there to be called; a number that does not exist missed nothing."""
        for reason, to_user, missed in (
            ("failed 486", True, True),
            ("no answer", True, True),
            ("failed 404", True, False),
            ("failed 503", True, False),
            ("failed 486", False, False),
        ):
            self.assertIs(row_of(record(call(), reason), "b", to_user)["missed"], missed, (reason, to_user))
        row = row_of(record(call(), "failed 486"), "b", False)
        self.assertEqual((row["answer_time"], row["duration"], row["setup"]), (None, 0.0, 60.0))
        self.assertEqual((row["sip_code"], row["sip_reason"]), ("486", "Busy Here"))

    def test_status(self) -> None:
        self.assertEqual(status_of(call(110.0), "media time-out"), 200)
        self.assertEqual(status_of(call(), "failed 486"), 486)
        self.assertEqual(status_of(call(), "refused 403"), 403)
        self.assertEqual(status_of(call(), "no answer"), 487)

    def test_how_it_sounded(self) -> None:
        """Without the course of the call, which nobody bills."""
        row = row_of(CallRecord(call(110.0), 160.0, "bye", media_of(reported())), "b", True)
        (stream,) = json.loads(row["quality"])
        self.assertIn("codec", stream)
        self.assertEqual([direction.get("course") for direction in stream["directions"]], [None, None])
        heard = [direction["mos"] for direction in stream["directions"]]
        self.assertEqual([row["mos_callee"], row["mos_caller"]], heard)
        self.assertTrue(any(heard))

    def test_what_came_from_the_network(self) -> None:
        """Fits its column, and has nothing that a database refuses."""
        hostile = call(caller="sip:\0\udc80" + "x" * 5000, key=CallKey("\0" + "c" * 9000, "t" * 999))
        row = row_of(record(hostile, "failed 486\0"), "b", True)
        for column in acc_cdrs.columns:
            value = row.get(column.name)
            if isinstance(value, str):
                self.assertNotIn("\0", value)
                value.encode()
                self.assertLessEqual(len(value), getattr(column.type, "length", None) or len(value), column)

    def test_password_in_a_uri(self) -> None:
        """It is kept in no record."""
        uri = "sip:alice:s3cret@example.com"
        tried = [Tried(uri, "", 101.0), Tried(uri, "", 102.0)]
        row = row_of(record(call(caller=uri, callee=uri, tried=tried, reached=uri), "failed 486"), "b", True)
        self.assertNotIn("s3cret", repr(row))
        self.assertEqual({row["caller"], row["callee"], row["target"]}, {"sip:alice@example.com"})
        self.assertEqual([one["target"] for one in row["tried"]], ["sip:alice@example.com"] * 2)

    def test_a_long_tag(self) -> None:
        """It alone makes no other text shorter, and is cut where its column ends."""
        for length, kept in ((64, 64), (65, 65), (128, 128), (129, 128)):
            row = row_of(record(call(key=CallKey("c" * 100, "t" * length)), "failed 486"), "b", True)
            self.assertEqual((len(row["from_tag"]), len(row["callid"])), (kept, 100))

    def test_uid(self) -> None:
        """The same call again is the same record; a later one with its Call-ID and tag is another."""
        self.assertEqual(uid_of(call()), uid_of(call(110.0)))
        self.assertNotEqual(uid_of(call()), uid_of(call(started=101.0)))


class AttemptTests(SynchronousTestCase):
    def test_one(self) -> None:
        """It is the call itself."""
        row = row_of(record(call(110.0, reached="sip:bob@192.0.2.7", ended_by="callee"), "bye"), "a", True)
        self.assertEqual(
            (row["target"], row["attempts"], row["ended_by"]), ("sip:bob@192.0.2.7", 1, "callee")
        )
        self.assertNotIn("tried", row)

    def test_several(self) -> None:
        """Each with its own times and outcome; the one that was answered lasts as long as the call."""
        tried = (
            Tried("sip:gw1\0", "one", 100.0, 104.0, 503, "", "callee"),
            Tried("sip:gw2", "two", 104.0, 108.0, 408, "no answer", "node"),
            Tried("sip:gw3", "", 104.5),
            Tried("sip:gw4", "four", 108.0, 110.0, 200, "", "callee"),
        )
        row = row_of(record(call(110.0, tried=tried, ended_by="caller"), "bye"), "a", True)
        self.assertEqual((row["attempts"], row["target"]), (4, "sip:gw1\N{REPLACEMENT CHARACTER}"))
        self.assertEqual(
            [tuple(one.values()) for one in row["tried"]],
            [
                (1, "sip:gw1\N{REPLACEMENT CHARACTER}", "one", 100.0, 104.0, "503", "failed 503", "callee"),
                (2, "sip:gw2", "two", 104.0, 108.0, "408", "no answer", "node"),
                (3, "sip:gw3", "", 104.5, 110.0, "487", "answered elsewhere", "node"),
                (4, "sip:gw4", "four", 108.0, 160.0, "200", "bye", "caller"),
            ],
        )
        self.assertEqual({*row["tried"][0], "uid"}, set(TRIED_COLUMNS))

    def test_one_that_has_said_nothing(self) -> None:
        """Until the call ended, which nobody has answered."""
        tried = (Tried("sip:gw1", "one", 100.0), Tried("sip:gw2", "two", 104.0, 160.0, 486, "", "callee"))
        row = row_of(record(call(tried=tried), "failed 486"), "a", True)
        (first, _) = row["tried"]
        self.assertEqual((first["end_time"], first["sip_code"], first["cause"]), (160.0, "487", "failed 487"))

    def test_not_sent(self) -> None:
        """Where nothing could be sent to any place, the node has ended the call, and the last place says why."""
        tried = (
            Tried("sip:gw1", "one", 101.0, 102.0, 503, "not sent: gw1 cannot be resolved", "node"),
            Tried("sip:gw2", "two", 102.0, 103.0, 503, "not sent: no connection", "node"),
        )
        row = row_of(record(call(tried=tried), "failed 500"), "a", True)
        self.assertEqual((row["cause"], row["ended_by"]), ("not sent: no connection", "node"))
        heard = (*tried, Tried("sip:gw3", "three", 103.0, 104.0, 486, "", "callee"))
        row = row_of(record(call(tried=heard), "failed 486"), "a", True)
        self.assertEqual((row["cause"], row["ended_by"]), ("failed 486", "callee"))

    def test_who_has_ended_it(self) -> None:
        for reason, answered, by in (
            ("failed 486", 0.0, "callee"),
            ("failed 487", 0.0, "caller"),
            ("failed 408", 0.0, "node"),
            ("no answer", 0.0, "node"),
            ("refused 403", 0.0, "node"),
            ("media time-out", 110.0, "node"),
            ("session expired", 110.0, "node"),
        ):
            self.assertEqual(row_of(record(call(answered), reason), "a", True)["ended_by"], by, reason)
