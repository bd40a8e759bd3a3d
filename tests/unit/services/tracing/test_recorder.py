"""Messages that are kept: whose, for how long, how many, and what is hidden in them."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.services.hep.test_export import FakeTap
from voipcluster.address import Flow
from voipcluster.errors import UsageError
from voipcluster.services.tracing.recorder import (
    AT_ONCE,
    MOST_OF_ONE,
    MOST_TOLD,
    MOST_WANTED,
    RECENT,
    Recorder,
    call_ids_of,
)
from voipcluster.services.tracing.wanted import wanted_of

ALICE = Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.10", 5062))
BOB = Flow("TCP", ("192.0.2.1", 5060), ("2001:db8::20", 5060), 2)
ALL = wanted_of(None, None, None, True)


def message(call: str, method: str = "INVITE", more: str = "", body: str = "", who: str = "alice") -> bytes:
    return (
        f"{method} sip:bob@b SIP/2.0\r\nFrom: <sip:{who}@b>\r\nCall-ID: {call}\r\nCSeq: 1 {method}\r\n{more}\r\n{body}"
    ).encode()


class RecorderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.tap = Clock(), FakeTap()
        self.told: list[str] = []

    def recorder(self, memory: int = 1 << 20, mask: bool = True) -> Recorder:
        made = Recorder(self.clock, self.tap, lambda: 1000.0 + self.clock.seconds(), memory, mask)
        made.tell = self.told.extend
        made.startService()
        self.addCleanup(made.stopService)
        return made

    def hear(self, *given: Any) -> None:
        for listener in list(self.tap.listeners):
            listener(*given)

    def lines(self, recorder: Recorder, call_id: str) -> list[str]:
        return [row["line"].partition(" ")[0] for row in recorder.rows(call_id, False)]

    def test_off(self) -> None:
        """Until somebody asks, nobody looks on."""
        recorder = self.recorder()
        self.assertEqual((self.tap.listeners, recorder.on), ([], False))
        self.assertEqual(recorder.rows("c1", True), [])
        self.assertEqual(recorder.state()["wanted"], [])

    def test_as_it_passed(self) -> None:
        """Each message with its way and time; the text only for who asks for it."""
        recorder = self.recorder()
        recorder.switch_on(ALL, 60.0)
        self.hear(False, message("c1"), ALICE)
        self.clock.advance(0.5)
        self.hear(True, message("c1"), BOB)
        first, second = recorder.rows("c1", False)
        self.assertEqual(
            (first["sent"], first["at"], first["local"], first["remote"], first["transport"]),
            (False, 1000.0, "192.0.2.1:5060", "192.0.2.10:5062", "UDP"),
        )
        self.assertEqual(
            (second["sent"], second["at"], second["remote"]), (True, 1000.5, "[2001:db8::20]:5060")
        )
        self.assertEqual((first["line"], first["cseq"]), ("INVITE sip:bob@b SIP/2.0", "1 INVITE"))
        self.assertEqual(first["mark"], second["mark"])
        self.assertNotIn("text", first)
        self.assertEqual(recorder.rows("c1", True)[0]["text"], message("c1").decode())

    def test_secrets(self) -> None:
        """They are not kept, unless the configuration says so."""
        for mask in (True, False):
            recorder = self.recorder(mask=mask)
            recorder.switch_on(ALL, 60.0)
            self.hear(False, message("c1", more='Authorization: Digest response="0123abcd"\r\n'), ALICE)
            [row] = recorder.rows("c1", True)
            self.assertEqual("0123abcd" in row["text"], not mask)
            recorder.stopService()

    def test_what_came_before(self) -> None:
        """A call is often seen to be wanted by a later message only; what passed just before is there all the same."""
        recorder = self.recorder()
        recorder.switch_on(wanted_of(None, "2001:db8::20", None, False), 60.0)
        self.hear(False, message("c1"), ALICE)
        self.hear(False, message("c2"), ALICE)
        self.hear(True, message("c1"), BOB)
        self.hear(False, message("c1", "BYE"), ALICE)
        self.assertEqual(self.lines(recorder, "c1"), ["INVITE", "INVITE", "BYE"])
        self.assertEqual(self.lines(recorder, "c2"), [])

    def test_the_others_are_told(self) -> None:
        """Where only this node can see that a call is wanted, it tells the others, some calls at once and each once."""
        recorder = self.recorder()
        recorder.switch_on(wanted_of(None, "192.0.2.10", None, False), 60.0)
        for number in range(AT_ONCE + 1):
            self.hear(False, message(f"c{number}"), ALICE)
            self.hear(False, message(f"c{number}", "ACK"), ALICE)
        self.assertEqual(self.told, [])
        self.clock.advance(0.1)
        self.assertEqual(self.told, [f"c{number}" for number in range(AT_ONCE + 1)])

    def test_nobody_is_told_what_all_see(self) -> None:
        recorder = self.recorder()
        recorder.switch_on(wanted_of("alice", None, None, False), 60.0)
        self.hear(False, message("c1"), ALICE)
        self.clock.advance(1.0)
        self.assertEqual((self.told, self.lines(recorder, "c1")), ([], ["INVITE"]))

    def test_following(self) -> None:
        """What another node keeps is kept here too, from what is still known of it on; not while tracing is off."""
        recorder = self.recorder()
        recorder.follow(["c1"])
        recorder.switch_on(wanted_of(None, "192.0.2.99", None, False), 60.0)
        self.hear(False, message("c1"), ALICE)
        recorder.follow(["c1", "c1"])
        self.hear(False, message("c1", "BYE"), ALICE)
        self.clock.advance(1.0)
        self.assertEqual((self.lines(recorder, "c1"), self.told), (["INVITE", "BYE"], []))

    def test_following_is_bounded(self) -> None:
        """Calls that other nodes tell of take memory too, whether or not a message of them ever passes here."""
        memory = 64 << 10
        recorder = self.recorder(memory)
        recorder.switch_on(wanted_of(None, "192.0.2.99", None, False), 60.0)
        for number in range(1000):
            recorder.follow([f"c{number}"])
            self.assertLessEqual(recorder.state()["octets"], memory)
        self.assertLess(recorder.state()["calls"], 100)
        self.hear(False, message("c999", "BYE"), ALICE)
        self.assertEqual(self.lines(recorder, "c999"), ["BYE"])
        recorder.switch_off(forget=True)
        self.assertEqual(recorder.state()["octets"], 0)

    def test_time(self) -> None:
        """Each order ends by itself; the same one again begins anew; what was kept stays."""
        recorder = self.recorder()
        recorder.switch_on(wanted_of("alice", None, None, False), 10.0)
        recorder.switch_on(wanted_of("carol", None, None, False), 20.0)
        self.clock.advance(5.0)
        recorder.switch_on(wanted_of("alice", None, None, False), 10.0)
        self.assertEqual(
            [(one["what"], one["left"]) for one in recorder.state()["wanted"]],
            [("user carol", 15.0), ("user alice", 10.0)],
        )
        self.clock.advance(9.0)
        self.hear(False, message("c1"), ALICE)
        self.clock.advance(1.0)
        self.hear(False, message("c2"), ALICE)
        self.assertEqual([one["what"] for one in recorder.state()["wanted"]], ["user carol"])
        self.clock.advance(5.0)
        self.assertEqual((recorder.on, self.tap.listeners, self.clock.getDelayedCalls()), (False, [], []))
        self.assertEqual((self.lines(recorder, "c1"), self.lines(recorder, "c2")), (["INVITE"], []))

    def test_switched_off(self) -> None:
        """What was kept can be looked at until it is to be forgotten."""
        recorder = self.recorder()
        recorder.switch_on(wanted_of(None, "192.0.2.10", None, False), 60.0)
        self.hear(False, message("c1"), ALICE)
        recorder.switch_off()
        self.assertEqual((self.tap.listeners, self.clock.getDelayedCalls()), ([], []))
        self.assertEqual(self.lines(recorder, "c1"), ["INVITE"])
        recorder.switch_off(forget=True)
        self.assertEqual((self.lines(recorder, "c1"), recorder.state()["octets"]), ([], 0))

    def test_memory(self) -> None:
        """It is bounded whatever passes: the oldest call goes first, of the only one its oldest messages."""
        memory = 64 << 10
        recorder = self.recorder(memory)
        recorder.switch_on(ALL, 60.0)
        for number in range(100):
            self.hear(False, message(f"c{number}", body="x" * 2000), ALICE)
            self.assertLessEqual(recorder.state()["octets"], memory)
        self.assertEqual((self.lines(recorder, "c0"), self.lines(recorder, "c99")), ([], ["INVITE"]))
        self.assertEqual(recorder.state()["forgotten"], 100 - recorder.state()["calls"])
        for _ in range(100):
            self.hear(False, message("long", body="x" * 2000), ALICE)
            self.assertLessEqual(recorder.state()["octets"], memory)
        self.assertGreater(len(self.lines(recorder, "long")), 20)
        self.hear(False, message("huge", body="x" * memory), ALICE)
        self.assertLessEqual(recorder.state()["octets"], memory)

    def test_one_call_for_ever(self) -> None:
        """A phone registers with one Call-ID for ever: the latest messages count."""
        recorder = self.recorder()
        recorder.switch_on(ALL, 60.0)
        for number in range(MOST_OF_ONE + 10):
            self.hear(False, message("c1", f"M{number}"), ALICE)
        lines = self.lines(recorder, "c1")
        self.assertEqual((len(lines), lines[-1]), (MOST_OF_ONE, f"M{MOST_OF_ONE + 9}"))

    def test_what_nobody_asked_for(self) -> None:
        """It is held in a bounded memory of its own."""
        recorder = self.recorder()
        recorder.switch_on(wanted_of("carol", None, None, False), 60.0)
        for number in range(2 * RECENT // 10_000):
            self.hear(False, message(f"c{number}", body="x" * 10_000), ALICE)
        self.assertLessEqual(recorder._recent_octets, RECENT)
        recorder.follow(["c0", f"c{2 * RECENT // 10_000 - 1}"])
        self.assertEqual(self.lines(recorder, "c0"), [])
        self.assertEqual(self.lines(recorder, f"c{2 * RECENT // 10_000 - 1}"), ["INVITE"])

    def test_an_answer_that_the_link_takes(self) -> None:
        """With their texts the latest messages that fit."""
        recorder = self.recorder()
        recorder.switch_on(ALL, 60.0)
        for number in range(20):
            self.hear(False, message("c1", f"M{number}", body="x" * 30_000), ALICE)
        rows = recorder.rows("c1", True)
        self.assertLessEqual(sum(len(row["text"]) for row in rows), MOST_TOLD)
        self.assertEqual(rows[-1]["line"].partition(" ")[0], "M19")
        self.assertEqual(len(recorder.rows("c1", False)), 20)

    def test_too_much_wanted(self) -> None:
        recorder = self.recorder()
        for number in range(MOST_WANTED):
            recorder.switch_on(wanted_of(f"u{number}", None, None, False), 60.0)
        error = self.assertRaises(UsageError, recorder.switch_on, ALL, 60.0)
        self.assertIn("trace off", str(error))

    def test_what_another_node_may_say(self) -> None:
        """Anything but a list of Call-IDs is nothing."""
        self.assertEqual(call_ids_of(["a", 1, "", "x" * 513, "b"]), ["a", "b"])
        for other in (None, "a", {"a": 1}, ["a"] * (AT_ONCE + 1)):
            self.assertEqual(list(call_ids_of(other)), [])
