"""Attempt by attempt: how users with preferences are reached (RFC 5359 sections 2.7 to 2.13)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.diversion import Diversion, Past, Why
from voipcluster.sip.preferences import Preferences, read
from voipcluster.sip.reaching import UNREACHED, Attempt, Reaching, Turned
from voipcluster.sip.uri import parse_uri

BOB, CAROL, DAVE, OUT = (f"sip:{name}@example.com" for name in ("bob", "carol", "dave", "out"))
FAR = "sip:far@elsewhere.example"
NOTHING = Past((), 0)


def aor_of(uri: str) -> str | None:
    parsed = parse_uri(uri)
    return parsed.aor() if parsed.host == "example.com" else None


class ReachingCase(SynchronousTestCase):
    def reaching(
        self,
        *,
        caller: str = "alice@example.com",
        before: Past = NOTHING,
        stays: bool = False,
        **texts: dict[str, str],
    ) -> Reaching:
        """@param texts: preferences by user."""
        known: dict[str, Preferences] = {
            f"{user}@example.com": read(user, "example.com", given) for user, given in texts.items()
        }
        return Reaching(known.get, aor_of, (caller,), before, stays)

    def by(self, who: str, why: Why, to: str, place: int = 1) -> Diversion:
        return Diversion(who, why, to, place)


class ForwardingTests(ReachingCase):
    def test_always(self) -> None:
        """The phones do not ring; when the other one fails, so does the call (2.7)."""
        reaching = self.reaching(bob={"forward.always": "carol"})
        diversions = (self.by(BOB, Why.UNCONDITIONAL, CAROL),)
        self.assertEqual(reaching.start(BOB), Attempt(CAROL, 0.0, diversions, "bob@example.com"))
        self.assertIsNone(reaching.failed(486))

    def test_busy(self) -> None:
        """Only a busy phone sends the call there (2.8)."""
        bob = {"forward.busy": "carol"}
        reaching = self.reaching(bob=bob)
        self.assertEqual(reaching.start(BOB), Attempt(BOB))
        self.assertEqual(
            reaching.failed(486), Attempt(CAROL, 0.0, (self.by(BOB, Why.BUSY, CAROL),), "bob@example.com")
        )
        self.assertIsNone(reaching.failed(486))
        for status in (408, 480, UNREACHED, 488, 404, 401):
            reaching = self.reaching(bob=bob)
            reaching.start(BOB)
            self.assertIsNone(reaching.failed(status), status)

    def test_no_answer(self) -> None:
        """The phones ring for so many seconds, 20 when nothing is said (2.9)."""
        for more, seconds in (({}, 20.0), ({"forward.no-answer-after": "7"}, 7.0)):
            for status in (408, 480, 487):
                reaching = self.reaching(bob={"forward.no-answer": FAR, **more})
                self.assertEqual(reaching.start(BOB), Attempt(BOB, seconds))
                diversions = (self.by(BOB, Why.NO_ANSWER, FAR),)
                self.assertEqual(reaching.failed(status), Attempt(FAR, 0.0, diversions, "bob@example.com"))

    def test_unregistered(self) -> None:
        """No phone, or none that can be reached; without a place of its own that is like no answer."""
        both = {"forward.no-answer": "carol", "forward.unregistered": FAR}
        for bob, there in ((both, FAR), ({"forward.no-answer": "carol"}, CAROL)):
            for status in (UNREACHED, 430, 503):
                reaching = self.reaching(bob=bob)
                reaching.start(BOB)
                diversions = (self.by(BOB, Why.UNAVAILABLE, there),)
                self.assertEqual(reaching.failed(status), Attempt(there, 0.0, diversions, "bob@example.com"))

    def test_once(self) -> None:
        """What is tried last does not lead to what else there is: a busy mailbox ends it."""
        reaching = self.reaching(bob={"forward.busy": FAR, "forward.no-answer": "carol"})
        reaching.start(BOB)
        self.assertIsInstance(reaching.failed(408), Attempt)
        self.assertIsNone(reaching.failed(486))

    def test_silent(self) -> None:
        """Whoever does not want it told is heard in each attempt."""
        step = self.reaching(bob={"forward.always": "carol", "forward.silent": "yes"}).start(BOB)
        assert isinstance(step, Attempt)
        self.assertTrue(step.silent)


class FindMeTests(ReachingCase):
    def test_one_after_the_other(self) -> None:
        """Each place has its seconds; what comes of the last one decides what is done then (2.12)."""
        reaching = self.reaching(bob={"find-me": "carol 5, me 6, dave 7", "forward.busy": FAR})
        self.assertEqual(
            reaching.start(BOB), Attempt(CAROL, 5.0, (self.by(BOB, Why.FOLLOW_ME, CAROL),), "bob@example.com")
        )
        self.assertEqual(reaching.failed(408), Attempt(BOB, 6.0))
        self.assertEqual(
            reaching.failed(UNREACHED),
            Attempt(DAVE, 7.0, (self.by(BOB, Why.FOLLOW_ME, DAVE, 2),), "bob@example.com"),
        )
        self.assertEqual(
            reaching.failed(486), Attempt(FAR, 0.0, (self.by(BOB, Why.BUSY, FAR, 3),), "bob@example.com")
        )
        self.assertIsNone(reaching.failed(408))


class ChainTests(ReachingCase):
    def test_who_is_called_instead_has_preferences_too(self) -> None:
        """Bob's calls go to Carol, and hers to Dave when she does not answer; all of it is told, in order."""
        reaching = self.reaching(
            bob={"forward.always": "carol"},
            carol={"forward.no-answer": "dave", "forward.no-answer-after": "9"},
        )
        first = self.by(BOB, Why.UNCONDITIONAL, CAROL)
        self.assertEqual(reaching.start(BOB), Attempt(CAROL, 9.0, (first,)))
        self.assertEqual(
            reaching.failed(408),
            Attempt(DAVE, 0.0, (first, self.by(CAROL, Why.NO_ANSWER, DAVE)), "carol@example.com"),
        )
        self.assertIsNone(reaching.failed(408))

    def test_back_to_the_one_before(self) -> None:
        """When all that Carol wants has failed, Bob's next place is tried."""
        reaching = self.reaching(bob={"find-me": "carol 5, me 6"}, carol={"forward.busy": "dave"})
        reaching.start(BOB)
        step = reaching.failed(486)
        assert isinstance(step, Attempt)
        self.assertEqual((step.uri, step.seconds), (DAVE, 5.0))
        self.assertEqual(reaching.failed(486), Attempt(BOB, 6.0))

    def test_the_shorter_time_counts(self) -> None:
        """Bob gives Carol five seconds: her no-answer place, which comes later, is none of his."""
        reaching = self.reaching(bob={"find-me": "carol 5"}, carol={"forward.no-answer": "dave"})
        step = reaching.start(BOB)
        assert isinstance(step, Attempt)
        self.assertEqual((step.uri, step.seconds), (CAROL, 5.0))
        self.assertIsNone(reaching.failed(408))

    def test_round_and_round(self) -> None:
        """Bob's calls go to Carol, and hers to Bob: 482 when nobody's phone rings at all."""
        reaching = self.reaching(bob={"forward.always": "carol"}, carol={"forward.always": "bob"})
        self.assertEqual(reaching.start(BOB), Turned(482))

    def test_a_loop_leaves_the_next_place(self) -> None:
        """A place that leads back is passed over."""
        reaching = self.reaching(bob={"find-me": "carol 5, me 6"}, carol={"forward.always": "bob"})
        self.assertEqual(reaching.start(BOB), Attempt(BOB, 6.0))

    def test_loops_through_others(self) -> None:
        """Who has forwarded this call before, here or elsewhere, does not do it again (RFC 5806)."""
        before = Past(("tel:+4930", BOB), 2)
        self.assertEqual(
            self.reaching(before=before, bob={"forward.always": "carol"}).start(BOB), Turned(482)
        )
        reaching = self.reaching(before=before, bob={"forward.busy": "carol"})
        self.assertEqual(reaching.start(BOB), Attempt(BOB))
        self.assertIsNone(reaching.failed(486))

    def test_not_for_ever(self) -> None:
        """Five times in all, counted with what came before us."""
        chain = {f"u{n}": {"forward.always": f"u{n + 1}"} for n in range(6)}
        self.assertEqual(self.reaching(**chain).start("sip:u0@example.com"), Turned(480))
        step = self.reaching(**chain).start("sip:u1@example.com")
        assert isinstance(step, Attempt)
        self.assertEqual((step.uri, len(step.diversions)), ("sip:u6@example.com", 5))
        before = Past((FAR,), 5)
        self.assertEqual(
            self.reaching(before=before, bob={"forward.always": "carol"}).start(BOB), Turned(480)
        )


class ScreeningTests(ReachingCase):
    def test_incoming(self) -> None:
        """Refused with 403 or 603, brought to the voicemail, or let through (2.13)."""
        bob = {
            "voicemail": "out", "forward.always": "carol",
            "screen.incoming": "allow:boss, deny:mallory@example.com, decline:*@evil.example, voicemail:+49*",
        }  # fmt: skip
        self.assertEqual(self.reaching(caller="mallory@example.com", bob=bob).start(BOB), Turned(403))
        self.assertEqual(self.reaching(caller="x@evil.example", bob=bob).start(BOB), Turned(603))
        reaching = self.reaching(caller="+49301@gw", bob=bob)
        self.assertEqual(
            reaching.start(BOB), Attempt(OUT, 0.0, (self.by(BOB, Why.DEFLECTION, OUT),), "bob@example.com")
        )
        self.assertIsNone(reaching.failed(486))
        for caller in ("boss@evil.example", "alice@example.com"):
            step = self.reaching(caller=caller, bob=bob).start(BOB)
            assert isinstance(step, Attempt)
            self.assertEqual(step.uri, CAROL)

    def test_screened_by_the_next_one(self) -> None:
        """Whom Carol refuses Bob cannot bring to her; his next place is tried."""
        carol = {"screen.incoming": "decline:alice@example.com"}
        self.assertEqual(self.reaching(bob={"forward.always": "carol"}, carol=carol).start(BOB), Turned(603))
        reaching = self.reaching(bob={"find-me": "carol 5, me 5"}, carol=carol)
        self.assertEqual(reaching.start(BOB), Attempt(BOB, 5.0))

    def test_where_he_may_not_call_he_does_not_forward(self) -> None:
        """Outgoing screening is about calls that a user has others make, too (2.14)."""
        bob = {"forward.always": "+1900555", "screen.outgoing": "deny:+1900*"}
        self.assertEqual(self.reaching(bob=bob).start(BOB), Turned(403))

    def test_no_call(self) -> None:
        """A MESSAGE, or an INVITE for one dialog of one phone, is screened and never forwarded."""
        bob = {"forward.always": "carol", "screen.incoming": "deny:mallory@example.com"}
        self.assertEqual(self.reaching(stays=True, bob=bob).start(BOB), Attempt(BOB))
        self.assertEqual(
            self.reaching(stays=True, caller="mallory@example.com", bob=bob).start(BOB), Turned(403)
        )
        bob = {"forward.always": "carol", "forward.no-answer": "carol"}
        reaching = self.reaching(stays=True, bob=bob)
        self.assertEqual(reaching.start(BOB), Attempt(BOB))
        self.assertIsNone(reaching.failed(408))

    def test_nobody_special(self) -> None:
        """Who has no preferences, and who is not ours, is called as ever."""
        for uri in (CAROL, FAR):
            reaching = self.reaching()
            self.assertEqual(reaching.start(uri), Attempt(uri))
            self.assertIsNone(reaching.failed(486))
