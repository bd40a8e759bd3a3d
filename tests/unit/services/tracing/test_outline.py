"""What is known of any call without a message of it."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.explain import Explanation
from voipcluster.services.media.relay import CallKey
from voipcluster.services.sip.calls import Call, Tried
from voipcluster.services.tracing.outline import LARGEST, Outlines, Over, events


def call(call_id: str = "c1", **more: object) -> Call:
    made = Call(
        CallKey(call_id, "t"),
        "sip:alice@b",
        "sip:bob@b",
        "192.0.2.10:5062",
        "TLS",
        "alice@b",
        "a",
        ("a",),
        100.0,
    )
    return evolve(made, **more)


PLACED = Explanation(
    "c1", "a", 99.9, 0, 0.8, "cpu", 0.75, 0.95, "planned", "hand-over", "b", "0.80 is above 0.75"
)


class EventTests(SynchronousTestCase):
    def texts(self, *over: Over, running: tuple[Call, ...] = ()) -> list[tuple[float, str]]:
        return [(row["at"], row["text"]) for row in events("a", [PLACED], running, over)]

    def test_answered(self) -> None:
        """Placed, begun, rang, answered and ended, in this order and by whom."""
        whole = Over(call(rang=101.0, answered=103.5, gateway_out="carrier"), 160.0, "bye")
        self.assertEqual(
            self.texts(whole),
            [
                (99.9, "hand-over to b: 0.80 is above 0.75"),
                (
                    100.0,
                    "INVITE from sip:alice@b to sip:bob@b over TLS from 192.0.2.10:5062, user alice@b by way of a",
                ),
                (101.0, "ringing or early media"),
                (103.5, "answered by gateway carrier"),
                (160.0, "ended by BYE"),
            ],
        )

    def test_attempts(self) -> None:
        """Of several places each that was tried, and what came of it."""
        tried = (
            Tried("sip:bob@192.0.2.20", "", 100.1, 100.5, 486, "", "callee"),
            Tried("sip:4930@192.0.2.9", "carrier", 100.6, 101.0, 408, "no answer", "node"),
            Tried("sip:bob@192.0.2.30", "", 101.1),
        )
        self.assertEqual(
            self.texts(running=(call(tried=tried),))[2:],
            [
                (100.1, "tries sip:bob@192.0.2.20"),
                (100.5, "486 of sip:bob@192.0.2.20"),
                (100.6, "tries sip:4930@192.0.2.9 by gateway carrier"),
                (101.0, "408 of sip:4930@192.0.2.9, no answer"),
                (101.1, "tries sip:bob@192.0.2.30"),
            ],
        )

    def test_password_in_a_uri(self) -> None:
        """It is told to nobody."""
        uri = "sip:bob:s3cret@b"
        told = self.texts(
            Over(call(caller=uri, callee=uri, tried=(Tried(uri, "", 100.1, 100.5, 486),)), 160.0, "failed")
        )
        self.assertNotIn("s3cret", repr(told))
        self.assertIn((100.5, "486 of sip:bob@b"), told)

    def test_in_progress(self) -> None:
        """What has not happened yet is not said."""
        self.assertEqual([at for at, _ in self.texts(running=(call(),))], [99.9, 100.0])

    def test_never_answered(self) -> None:
        """A call that came to nothing has an outline as well, with the status that ended it."""
        self.assertEqual(
            self.texts(Over(call(gateway_in="trunk", user=""), 101.0, "failed 486"))[-1],
            (101.0, "ended: failed 486"),
        )
        self.assertIn(
            "gateway trunk", self.texts(Over(call(gateway_in="trunk", user=""), 101.0, "failed 486"))[1][1]
        )

    def test_why_it_ended(self) -> None:
        """The words of who has ended it follow those of every such end."""
        for reason, text in (
            ("bye", "ended by BYE"),
            ("refused 403 (the caller's preferences)", "ended: refused 403 (the caller's preferences)"),
            (
                "not relayed (SDP line m= (of audio))",
                "ended by the node with BYE to both: what was answered cannot be relayed (SDP line m= (of audio))",
            ),
        ):
            self.assertEqual(self.texts(Over(call(), 160.0, reason))[-1], (160.0, text))


class OutlinesTests(SynchronousTestCase):
    def test_bounded(self) -> None:
        """As many calls as are to be kept, those that ended last among them."""
        outlines = Outlines(100)
        for number in range(1000):
            outlines.add(call(f"c{number}"), 200.0, "bye")
            self.assertLessEqual(len(outlines), 100)
        for number in range(950, 1000):
            [found] = outlines.find(f"c{number}")
            self.assertEqual(
                (found.call.key.call_id, found.ended, found.reason), (f"c{number}", 200.0, "bye")
            )
        self.assertEqual(outlines.find("c0"), ())

    def test_several_with_one_call_id(self) -> None:
        """Forks in front of us, or a caller that uses it again: the latest few, also across generations."""
        outlines = Outlines(2, depth=3)
        for number in range(5):
            outlines.add(call(), 200.0 + number, "bye")
            outlines.add(call(f"other{number}"), 200.0, "bye")
        self.assertEqual([one.ended for one in outlines.find("c1")][-1], 204.0)
        self.assertLessEqual(len(outlines.find("c1")), 3)

    def test_what_is_not_kept(self) -> None:
        """Huge ones, and any at all where none are wanted."""
        outlines = Outlines(10)
        outlines.add(call("x" * 300), 200.0, "bye")
        outlines.add(call(callee="sip:" + "x" * LARGEST), 200.0, "bye")
        self.assertEqual(len(outlines), 0)
        none = Outlines(0)
        none.add(call(), 200.0, "bye")
        self.assertEqual((len(none), none.find("c1")), (0, ()))
