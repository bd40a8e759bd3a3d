"""Tests of calls that the phone makes: RFC 3261 sections 8.1.3.4, 9.1, 13.2 and 15.1.1."""

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.phone.world import ALICE, MEDIA_A, PROXY, Party, line
from voipcluster.address import Hop
from voipcluster.phone.agent import UserAgent
from voipcluster.phone.events import Ended, MediaAt, Ringing, Up
from voipcluster.phone.sdp import Audio, describe

ANSWER = describe("192.0.2.99", 30000, 1)
CONTACT = ("Contact", "<sip:bob@192.0.2.20>")
SDP = ("Content-Type", "application/sdp")


class CallerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.party = Party(self.clock, UserAgent(line("alice", ALICE)))
        self.call, effects = self.party.agent.call("sip:bob@example.com", MEDIA_A)
        self.party.obey(effects)
        self.invite, self.hop = self.party.take()

    def tearDown(self) -> None:
        self.clock.pump([1.0] * 40)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(
            (len(self.party.agent.requests), len(self.party.agent.requests.transactions)), (0, 0)
        )

    def accepted(self, tag: str = "b", *more: tuple[str, str]) -> None:
        self.party.answer(self.invite, 200, tag=tag, headers=[CONTACT, SDP, *more], body=ANSWER)

    def hang_up(self) -> None:
        self.party.obey(self.party.agent.hang_up(self.call))

    def ended_by_bye(self) -> None:
        bye, _ = self.party.take()
        self.assertEqual(bye.method, "BYE")
        self.party.answer(bye, 200)
        self.assertEqual(self.party.told[-1], Ended(self.call.call_id, 200, "OK"))

    def test_established(self) -> None:
        """Ringing, up with the far end's media, an ACK on the route of the 200, hung up with BYE."""
        self.party.answer(self.invite, 180)
        self.accepted("b", ("Record-Route", "<sip:192.0.2.2:5070;lr>"))
        ack, hop = self.party.take()
        self.assertEqual((ack.method, ack.uri, ack.cseq), ("ACK", "sip:bob@192.0.2.20", (1, "ACK")))
        self.assertNotEqual(ack.top_via.branch, self.invite.top_via.branch)
        self.assertEqual(hop, Hop("UDP", "192.0.2.2", 5070))
        call_id = self.call.call_id
        expected: list[Any] = [Ringing(call_id), MediaAt(call_id, Audio("192.0.2.99", 30000)), Up(call_id)]
        self.assertEqual(self.party.told, expected)
        self.hang_up()
        self.ended_by_bye()

    def test_copies_of_the_answer(self) -> None:
        """Each copy of the 200 gets the same ACK again (13.2.2.4)."""
        self.accepted()
        self.accepted()
        first, second = self.party.take_all()
        self.assertEqual(first.to_bytes(), second.to_bytes())
        self.assertEqual(self.party.told.count(Up(self.call.call_id)), 1)
        self.hang_up()
        self.ended_by_bye()

    def test_second_fork_is_hung_up(self) -> None:
        """A second far end gets its ACK and a BYE of its own; the call goes on with the first (13.2.2.4)."""
        self.accepted("b")
        self.party.take_all()
        self.accepted("other")
        ack, bye = self.party.take_all()
        self.assertEqual([(m.method, m.to_tag) for m in (ack, bye)], [("ACK", "other"), ("BYE", "other")])
        self.party.answer(bye, 200)
        self.accepted("other")
        self.assertEqual([m.method for m in self.party.take_all()], ["ACK"])
        self.hang_up()
        self.assertEqual(self.party.sent[0][0].to_tag, "b")
        self.ended_by_bye()

    def test_refused(self) -> None:
        """A refusal ends the call, its ACK goes the way of the INVITE (17.1.1.3)."""
        self.party.answer(self.invite, 486)
        ack, hop = self.party.take()
        self.assertEqual((ack.method, ack.top_via.branch, hop), ("ACK", self.invite.top_via.branch, PROXY))
        self.assertEqual(self.party.told, [Ended(self.call.call_id, 486, "Busy Here")])

    def test_redirected(self) -> None:
        """A 302 is followed to the host of its Contact, without the routes that led to the first one (8.1.3.4)."""
        self.call.dialog.routes = ("<sip:192.0.2.1;lr>",)
        self.party.answer(self.invite, 302, headers=[("Contact", "<sip:bob@192.0.2.3:5070>")])
        ack, _ = self.party.take()
        again, hop = self.party.take()
        self.assertEqual((ack.method, again.method, again.uri), ("ACK", "INVITE", "sip:bob@192.0.2.3:5070"))
        self.assertEqual((hop, again.values("route")), (Hop("UDP", "192.0.2.3", 5070), []))
        self.assertEqual((again.call_id, again.cseq[0]), (self.invite.call_id, 2))
        self.assertEqual(self.call.redirected, 1)
        self.party.answer(again, 404)

    def test_redirected_in_circles(self) -> None:
        """Redirection ends after five (8.1.3.4: a client keeps from loops)."""
        request = self.invite
        for _ in range(6):
            self.party.answer(request, 302, headers=[("Contact", "<sip:bob@192.0.2.3>")])
            request = self.party.take_all()[-1]
        self.assertEqual(request.method, "ACK")
        self.assertEqual(self.party.told, [Ended(self.call.call_id, 302, "Moved Temporarily")])

    def test_challenged(self) -> None:
        """A 407 is answered with Proxy-Authorization for the URI that was asked for (22.3)."""
        challenge = 'Digest realm="example.com", nonce="n", algorithm=MD5'
        self.party.answer(self.invite, 407, headers=[("Proxy-Authenticate", challenge)])
        _, again = self.party.take_all()
        self.assertIn('uri="sip:bob@example.com"', again.get("proxy-authorization"))
        self.assertEqual((again.cseq, again.body), ((2, "INVITE"), self.invite.body))
        self.party.answer(again, 603)

    def test_cancelled(self) -> None:
        """Hung up while it rings, the INVITE is cancelled, and 487 ends the call (9.1)."""
        self.party.answer(self.invite, 180)
        self.hang_up()
        cancel, hop = self.party.take()
        self.assertEqual(
            (cancel.method, cancel.top_via.branch, hop), ("CANCEL", self.invite.top_via.branch, self.hop)
        )
        self.party.answer(cancel, 200)
        self.assertEqual(self.party.sent, [], "the answer to the CANCEL is none to the INVITE")
        self.party.answer(self.invite, 487)
        self.assertEqual(self.party.told[-1], Ended(self.call.call_id, 487, "Request Terminated"))

    def test_cancel_waits_for_a_provisional_answer(self) -> None:
        """Nothing is cancelled before the other side is known to have the INVITE (9.1)."""
        self.hang_up()
        self.assertEqual(self.party.sent, [])
        self.party.answer(self.invite, 100)
        cancel, _ = self.party.take()
        self.assertEqual(cancel.method, "CANCEL")
        self.party.answer(cancel, 200)
        self.party.answer(self.invite, 487)

    def test_cancel_and_answer_cross(self) -> None:
        """An answer on its way when we cancelled is acknowledged and hung up (9.1)."""
        self.party.answer(self.invite, 180)
        self.hang_up()
        cancel, _ = self.party.take()
        self.accepted()
        self.assertEqual(self.party.take()[0].method, "ACK")
        self.party.answer(cancel, 481)
        self.ended_by_bye()
        self.assertNotIn(Up(self.call.call_id), self.party.told)

    def test_cancel_without_an_end(self) -> None:
        """A cancelled INVITE that nobody answers is given up after 64*T1 (9.1)."""
        self.party.answer(self.invite, 180)
        self.hang_up()
        self.party.answer(self.party.take()[0], 200)
        self.clock.pump([1.0] * 32)
        self.assertEqual(self.party.told[-1], Ended(self.call.call_id, 487, "no answer to CANCEL"))
        self.party.answer(self.invite, 487)

    def test_nobody_answers(self) -> None:
        """Without any answer it is over after 64*T1 (17.1.1.2)."""
        self.clock.pump([0.5] * 64)
        self.assertEqual(self.party.told, [Ended(self.call.call_id, 408, "No answer")])

    def test_bye_is_not_known(self) -> None:
        """A 481 to our BYE ends the call as well (15.1.1)."""
        self.accepted()
        self.party.take_all()
        self.hang_up()
        bye, _ = self.party.take()
        self.party.answer(bye, 481)
        self.assertEqual(self.party.told[-1].status, 200)
