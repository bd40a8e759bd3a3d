"""Tests of the phone's registration, and of answered challenges."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.phone.world import ALICE, PROXY, Party, line
from voipcluster.phone.agent import UserAgent
from voipcluster.phone.events import Registered, RegistrationFailed, SendFailed
from voipcluster.sip.digest import ha1, parse_answer, proves

OURS = "<sip:alice@192.0.2.10:5060>"
CHALLENGE = 'Digest realm="example.com", nonce="n{}", qop="auth", algorithm={}'


class RegistrationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.party = Party(self.clock, UserAgent(line("alice", ALICE)))
        self.party.obey(self.party.agent.register())

    def tearDown(self) -> None:
        self.clock.advance(5)  # timer K of what was answered
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.getTime() < 100], [])

    def accept(self, expires: int = 600, *headers: tuple[str, str]) -> None:
        request, _ = self.party.take()
        self.party.answer(request, 200, headers=[("Contact", f"{OURS};expires={expires}"), *headers])

    def test_request(self) -> None:
        """REGISTER is for the domain, names the address of record and our contact (10.2)."""
        request, hop = self.party.take()
        self.assertEqual((request.method, request.uri, hop), ("REGISTER", "sip:example.com", PROXY))
        self.assertEqual(request.get("contact"), OURS)
        self.party.answer(request, 403)
        self.assertEqual(self.party.told, [RegistrationFailed(403, "Forbidden")])

    def test_refreshed_in_time(self) -> None:
        """What was granted is asked for again before it ends, with the same Call-ID and a higher number (10.2.4)."""
        first, _ = self.party.sent[0]
        self.accept(100)
        self.assertEqual(self.party.told, [Registered(100)])
        self.clock.advance(88)
        self.assertEqual(self.party.sent, [])
        self.clock.advance(1)
        again, _ = self.party.sent[0]
        self.assertEqual((again.call_id, again.cseq), (first.call_id, (2, "REGISTER")))
        self.accept(3600)

    def test_service_route_is_followed(self) -> None:
        """The next call takes the way that the registrar named (RFC 3608 section 5)."""
        self.accept(3600, ("Service-Route", "<sip:192.0.2.2;lr>"))
        self.assertEqual(self.party.agent.line.service_route, ("<sip:192.0.2.2;lr>",))

    def test_challenge_is_answered(self) -> None:
        """The first algorithm that we know is used, with the right proof (RFC 8760 section 2.4)."""
        request, _ = self.party.take()
        offered = [
            ("WWW-Authenticate", CHALLENGE.format(1, name)) for name in ("SHA-512-256", "SHA-256", "MD5")
        ]
        self.party.answer(request, 401, headers=offered)
        again, _ = self.party.sent[0]
        given = parse_answer(again.get("authorization") or "")
        self.assertEqual((given.algorithm, given.nonce, given.uri), ("SHA-256", "n1", "sip:example.com"))
        self.assertTrue(proves(given, ha1("SHA-256", "alice", "example.com", "secret"), "REGISTER"))
        self.assertEqual(again.cseq, (2, "REGISTER"))
        self.accept(3600)

    def test_wrong_password_ends(self) -> None:
        """A challenge that comes again is a refusal (22.2)."""
        for number in range(2):
            request, _ = self.party.take()
            self.party.answer(request, 401, headers=[("WWW-Authenticate", CHALLENGE.format(number, "MD5"))])
        self.assertEqual(self.party.sent, [])
        self.assertEqual(self.party.told, [RegistrationFailed(401, "Unauthorized")])

    def test_too_brief(self) -> None:
        """After a 423 the registrar's own minimum is asked for (10.3 step 7)."""
        request, _ = self.party.take()
        self.party.answer(request, 423, headers=[("Min-Expires", "1800")])
        self.assertEqual(self.party.sent[0][0].get("expires"), "1800")
        self.accept(1800)

    def test_nobody_answers(self) -> None:
        """After 64*T1 without an answer it is 408 (17.1.2.2)."""
        self.clock.pump([0.5] * 64)
        self.assertEqual(self.party.told, [RegistrationFailed(408, "No answer", answered=False)])
        self.assertGreater(len(self.party.take_all()), 8)

    def test_a_refresh_fails(self) -> None:
        """It is told and tried again, after pauses that grow to half an hour and are drawn (RFC 5626 section 4.5)."""
        self.accept(100)
        self.party.take_all()
        for pause in (30.0, 60.0, 120.0, *(240.0, 480.0, 960.0, 1800.0, 1800.0)):
            self.clock.advance(self.party.timers["refresh"].getTime() - self.clock.seconds())
            self.party.take()
            self.party.obey(self.party.agent.feed(SendFailed(PROXY, "refused")))
            self.assertEqual(self.party.told[-1], RegistrationFailed(503, "refused", False, pause))
            self.assertEqual(self.party.timers["refresh"].getTime() - self.clock.seconds(), pause)
        self.clock.advance(1800)
        self.accept(100)
        self.assertEqual(self.party.told[-1], Registered(100))
        self.clock.advance(89)
        self.party.take()
        self.party.obey(self.party.agent.feed(SendFailed(PROXY, "refused")))
        self.assertEqual(self.party.told[-1].again, 30.0)
        self.party.obey(self.party.agent.register(0))
        self.party.take()
        self.party.obey(self.party.agent.feed(SendFailed(PROXY, "refused")))
        self.assertIsNone(self.party.told[-1].again, "what is taken back is not asked for again")
        self.assertNotIn("refresh", self.party.timers)

    def test_pauses_are_drawn(self) -> None:
        """From half of the pause to the whole of it."""
        self.party.agent = UserAgent(line("alice", ALICE), draw=lambda: 0.0)
        self.party.take_all()
        self.party.obey(self.party.agent.register())
        self.accept(100)
        self.party.obey(self.party.agent.register())
        request, _ = self.party.take()
        self.party.answer(request, 500)
        self.assertEqual(self.party.told[-1], RegistrationFailed(500, "Server Internal Error", True, 15.0))
        self.party.timers["refresh"].cancel()

    def test_nobody_listens(self) -> None:
        """A transport error is 503 (8.1.3.1), and only for what goes to that hop."""
        self.party.obey(self.party.agent.feed(SendFailed(PROXY._replace(port=9), "refused")))
        self.assertEqual(self.party.told, [])
        self.party.obey(self.party.agent.feed(SendFailed(PROXY, "refused")))
        self.assertEqual(self.party.told, [RegistrationFailed(503, "refused", answered=False)])

    def test_taken_back(self) -> None:
        """Expires 0 removes the contact, and nothing is refreshed (10.2.2)."""
        self.accept(600)
        self.party.obey(self.party.agent.register(0))
        request, _ = self.party.take()
        self.assertEqual(request.get("expires"), "0")
        self.party.answer(request, 200)
        self.assertEqual(self.party.told[-1], Registered(0))
        self.assertNotIn("refresh", self.party.timers)
