"""Our registration with a trunk (RFC 3261 section 10.2): challenged, refreshed, refused, moved to another node, taken back."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.registering import (
    AGAIN,
    EXPIRED,
    EXPIRES,
    FIRST_RETRY,
    LAST_RETRY,
    MOST_RETRY_AFTER,
    Answered,
    Effect,
    Gone,
    Line,
    Registering,
    Send,
    State,
    Told,
    Unanswered,
    owner,
    register_request,
)
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.sip.challenges import Identity
from voipcluster.sip.digest import ha1, parse_answer, proves
from voipcluster.sip.message import Request, Response, parse
from voipcluster.sip.outgoing import reply

CONTACT = "<sip:voip@192.0.2.1:5060>"
OTHERS = ("<sip:voip@192.0.2.2:5060>", "<sip:voip@192.0.2.3:5060>")
LINE = Line(
    "sip:trunk.example",
    "sip:voip@trunk.example",
    CONTACT,
    Identity("voip", "secret"),
    "call-1",
    "tag1",
    OTHERS,
)
VIA = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"


def challenge(nonce: str, more: str = "") -> tuple[str, str]:
    return ("WWW-Authenticate", f'Digest realm="trunk.example", nonce="{nonce}", qop="auth"{more}')


class OwnerTests(SynchronousTestCase):
    def test_owner(self) -> None:
        """The first by name: every node that sees the same ones comes to the same answer without asking."""
        self.assertEqual(owner(["c", "a", "b"]), "a")
        self.assertEqual(owner([]), "")


class RegisteringTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.drawn = 0.0
        self.machine = Registering(LINE, lambda: self.drawn, lambda: "fresh")
        self.timers: dict[str, IDelayedCall] = {}
        self.sent: list[Request] = []
        self.told: list[Told | Gone] = []

    def tearDown(self) -> None:
        self.obey(self.machine.leave())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def obey(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case SetTimer(name, delay):
                    self._stop(name)
                    self.timers[name] = self.clock.callLater(delay, self._fired, name)
                case CancelTimer(name):
                    self._stop(name)
                case Send(number, headers):
                    self.sent.append(register_request(self.machine.line, number, headers, VIA))
                case _:
                    self.told.append(effect)

    def _stop(self, name: str) -> None:
        call = self.timers.pop(name, None)
        if call is not None:
            call.cancel()

    def _fired(self, name: str) -> None:
        del self.timers[name]
        self.obey(self.machine.feed(TimerFired(name)))

    def answer(self, status: int, *headers: tuple[str, str]) -> None:
        response = parse(reply(self.sent[-1], status, to_tag="far", headers=headers).to_bytes())
        assert isinstance(response, Response)
        self.obey(self.machine.feed(Answered(response)))

    def accept(self, expires: int = 600) -> None:
        self.answer(200, ("Contact", f"{CONTACT};expires={expires}"))

    def begin(self) -> None:
        self.obey(self.machine.begin())

    def run_to(self, seconds: float) -> None:
        while self.clock.seconds() < seconds:
            self.clock.advance(min(1.0, seconds - self.clock.seconds()))

    def delay(self, name: str = AGAIN) -> float:
        return self.timers[name].getTime() - self.clock.seconds()

    def test_request(self) -> None:
        """What section 10.2 wants: registrar without user, the same address in From and To, Contact and Expires."""
        self.begin()
        [request] = self.sent
        self.assertEqual((request.method, request.uri), ("REGISTER", "sip:trunk.example"))
        self.assertEqual(request.get("to"), "<sip:voip@trunk.example>")
        self.assertEqual(request.get("from"), "<sip:voip@trunk.example>;tag=tag1")
        self.assertEqual((request.get("expires"), request.cseq), (str(EXPIRES), (1, "REGISTER")))
        parse(request.to_bytes())

    def test_route(self) -> None:
        """An outbound proxy stands in Route."""
        made = register_request(LINE, 7, (), VIA, "<sip:192.0.2.9;lr>")
        self.assertEqual((made.get("route"), made.cseq[0]), ("<sip:192.0.2.9;lr>", 7))

    def test_taken_over(self) -> None:
        """The first one takes back what the other nodes may have registered; refreshes do not repeat that."""
        self.begin()
        taken = [CONTACT, *(f"{other};expires=0" for other in OTHERS)]
        self.assertEqual(self.sent[0].get_all("contact"), taken)
        self.answer(401, challenge("n1"))
        self.assertEqual(self.sent[1].get_all("contact"), taken)
        self.accept()
        self.run_to(450.0)
        self.assertEqual(self.sent[2].get_all("contact"), [CONTACT])

    def test_challenged(self) -> None:
        """401 is answered with a proof, under the next number of the same Call-ID (22.2)."""
        self.begin()
        self.answer(401, challenge("n1"))
        request = self.sent[-1]
        given = parse_answer(request.get("authorization") or "")
        self.assertTrue(proves(given, ha1("MD5", "voip", "trunk.example", "secret"), "REGISTER"))
        self.assertEqual((request.cseq[0], request.call_id), (2, "call-1"))
        self.accept(600)
        self.assertEqual(self.told, [Told(True, "registered for 600 s")])

    def test_refreshed(self) -> None:
        """Before it ends, with time left to try again; an expired nonce costs one round trip."""
        self.begin()
        self.answer(401, challenge("n1"))
        self.accept(600)
        self.assertEqual(self.delay(), 450.0)
        self.run_to(450.0)
        self.assertIsNone(self.sent[-1].get("authorization"))
        self.answer(401, challenge("n2"))
        self.answer(401, challenge("n3", ", stale=true"))
        self.accept(600)
        self.assertTrue(self.machine.registered)
        self.assertEqual([request.cseq[0] for request in self.sent], [1, 2, 3, 4, 5])

    def test_jitter(self) -> None:
        """Nodes and trunks that started together do not refresh together, and never later than without it."""
        self.drawn = 0.99
        self.begin()
        self.accept(600)
        self.assertAlmostEqual(self.delay(), 450.0 * (1 - 0.099))

    def test_wrong_password(self) -> None:
        """The second challenge for the same realm ends it: it is not asked again for minutes, so that we are not locked out."""
        self.begin()
        self.answer(401, challenge("n1"))
        self.answer(401, challenge("n2"))
        self.assertEqual(
            self.told, [Told(False, "the user name or password is wrong for realm 'trunk.example'")]
        )
        self.assertEqual((len(self.sent), self.delay()), (2, LAST_RETRY))
        self.run_to(LAST_RETRY)
        self.assertEqual(len(self.sent), 3)

    def test_refused(self) -> None:
        """What the trunk will not have is its operator's to see."""
        for status, text in ((403, "403 Forbidden"), (404, "404 Not Found"), (302, "302 Moved Temporarily")):
            self.setUp()
            self.begin()
            self.answer(status)
            self.assertEqual(self.told, [Told(False, f"REGISTER is answered with {text}")])
            self.assertEqual(self.delay(), LAST_RETRY)
            self.obey(self.machine.leave())

    def test_too_brief(self) -> None:
        """423: what it wants is asked for at once, and from then on (10.2.8)."""
        self.begin()
        self.answer(423, ("Min-Expires", "1800"))
        self.assertEqual(self.sent[-1].get("expires"), "1800")
        self.accept(1800)
        self.run_to(1800 * 0.75)
        self.assertEqual(self.sent[-1].get("expires"), "1800")

    def test_too_brief_for_ever(self) -> None:
        """Who wants ever more, or says nothing sensible, has refused."""
        for wanted in (lambda number: str(1000 * number), lambda number: "x", lambda number: "1"):
            self.setUp()
            self.begin()
            for number in range(1, 10):
                if self.machine.state is State.ASKING:
                    self.answer(423, ("Min-Expires", wanted(number)))
            self.assertEqual(
                [told.why for told in self.told], ["REGISTER is answered with 423 Interval Too Brief"]
            )
            self.obey(self.machine.leave())

    def test_not_there(self) -> None:
        """Silence and 5xx: soon again, less and less often, with jitter."""
        self.begin()
        delays = []
        for number in range(9):
            if number % 2:
                self.answer(500)
            else:
                self.obey(self.machine.feed(Unanswered("no answer")))
            delays.append(self.delay())
            self.run_to(self.timers[AGAIN].getTime())
        expected = [min(FIRST_RETRY * 2**n, LAST_RETRY) for n in range(9)]
        self.assertEqual(delays, expected)
        self.accept()
        self.obey(self.machine.feed(TimerFired(AGAIN)))
        self.drawn = 0.5
        self.answer(503)
        self.assertEqual(self.delay(), FIRST_RETRY * 0.75)

    def test_retry_after(self) -> None:
        """What the trunk asks for is waited for (20.33), but not for ever."""
        self.begin()
        self.answer(503, ("Retry-After", "120 (maintenance);duration=3600"))
        self.assertEqual(self.delay(), 120.0)
        self.run_to(120.0)
        self.answer(503, ("Retry-After", "999999"))
        self.assertEqual(self.delay(), MOST_RETRY_AFTER)

    def test_refresh_fails(self) -> None:
        """What is left of the registration runs on while it is tried again; then it is gone, and said so."""
        self.begin()
        self.accept(600)
        self.run_to(450.0)
        self.obey(self.machine.feed(Unanswered("no answer")))
        self.assertEqual(self.told[-1], Told(True, "registered, but not refreshed: no answer"))
        self.run_to(455.0)
        self.accept(600)
        self.assertEqual(self.delay(EXPIRED), 600.0)
        self.run_to(905.0)
        while self.machine.registered:
            self.obey(self.machine.feed(Unanswered("no answer")))
            self.clock.advance(self.delay())
        self.assertEqual(self.told[-1], Told(False, "the registration has expired"))
        self.assertEqual(self.machine.state, State.ASKING)

    def test_what_is_granted(self) -> None:
        """Our Contact's time; where a trunk wrote it anew or names none, the only one there is, Expires, or what we asked for."""
        for headers, granted in (
            ((("Contact", f"{OTHERS[0]};expires=5, {CONTACT};expires=300"),), 300),
            ((("Contact", CONTACT), ("Expires", "200")), 200),
            ((("Contact", "<sip:voip@203.0.113.9:1024>;expires=100"),), 100),
            ((("Expires", "90"),), 90),
            ((), EXPIRES),
            ((("Contact", "<tel:+1>;expires=80"),), 80),
            ((("Contact", '"broken'),), EXPIRES),
            ((("Contact", f"{CONTACT};expires=99999999999"), ("Expires", "70")), EXPIRES),
        ):
            self.setUp()
            self.begin()
            self.answer(200, *headers)
            self.assertEqual(self.told, [Told(True, f"registered for {granted} s")], headers)
            self.obey(self.machine.leave())

    def test_nothing_granted(self) -> None:
        """A 200 that keeps others and not us, or us for no time, is no registration."""
        for contact in (f"{OTHERS[0]};expires=5, {OTHERS[1]};expires=6", f"{CONTACT};expires=0"):
            self.setUp()
            self.begin()
            self.answer(200, ("Contact", contact))
            self.assertFalse(self.machine.registered)
            self.assertIn("no time", self.told[0].why)
            self.obey(self.machine.leave())

    def test_other_node(self) -> None:
        """Another node registers now: nothing is sent, not even when a timer or an answer comes late."""
        self.begin()
        self.accept()
        self.obey(self.machine.leave())
        self.assertEqual((self.timers, self.machine.registered), ({}, False))
        self.obey(self.machine.feed(TimerFired(AGAIN)))
        self.accept()
        self.assertEqual((len(self.sent), self.machine.registered), (1, False))
        self.begin()
        self.assertEqual(len(self.sent[-1].get_all("contact")), 3)

    def test_begun_twice(self) -> None:
        """Whoever is at it already does not start again."""
        self.begin()
        self.begin()
        self.accept()
        self.begin()
        self.assertEqual(len(self.sent), 1)

    def test_taken_back(self) -> None:
        """A node that stops takes its Contact back, also against a challenge (10.2.2), and waits no longer than for that."""
        self.begin()
        self.accept()
        self.obey(self.machine.remove())
        self.assertEqual((self.sent[-1].get("expires"), self.sent[-1].get_all("contact")), ("0", [CONTACT]))
        self.answer(401, challenge("n1"))
        self.assertEqual(self.sent[-1].get("expires"), "0")
        self.assertTrue(self.sent[-1].has("authorization"))
        self.assertNotIn(Gone(), self.told)
        self.answer(200)
        self.assertEqual((self.told[-1], self.timers), (Gone(), {}))

    def test_taken_back_in_vain(self) -> None:
        """Whatever is the answer, or none: it is over."""
        for end in (lambda: self.answer(500), lambda: self.obey(self.machine.feed(Unanswered("no")))):
            self.setUp()
            self.begin()
            self.accept()
            self.obey(self.machine.remove())
            end()
            self.assertEqual((self.told[-1], self.machine.state), (Gone(), State.OFF))

    def test_nothing_to_take_back(self) -> None:
        """Who is not registered has nothing to say."""
        self.obey(self.machine.remove())
        self.assertEqual((self.told, self.sent), ([Gone()], []))
