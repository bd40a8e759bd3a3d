"""Tests of calls that come in, and of requests within calls: RFC 3261 sections 9.2, 12.2.2, 13.3, 14.2 and 15.1.2."""

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.phone.world import ALICE, BOB_URI, MEDIA_A, MEDIA_B, Pair
from voipcluster.address import Hop
from voipcluster.phone.call import CallState
from voipcluster.phone.events import Ended, Incoming, MediaAt, Up
from voipcluster.phone.sdp import Audio, describe, read_audio
from voipcluster.sip.message import Request, Response
from voipcluster.sip.outgoing import build_request


class CalleeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pair = Pair()
        self.alice, self.bob = self.pair.alice, self.pair.bob

    def tearDown(self) -> None:
        for party in (self.alice, self.bob):
            for call in list(party.agent.calls.values()):
                party.obey(party.agent.hang_up(call))
        self.pair.settle()
        self.pair.advance(70, 1.0)
        self.assertEqual(self.pair.clock.getDelayedCalls(), [])

    def dial(self) -> tuple[Any, Any]:
        ours, effects = self.alice.agent.call(BOB_URI, MEDIA_A)
        self.alice.obey(effects)
        self.pair.settle()
        return ours, self.bob.agent.calls[ours.call_id]

    def within(self, call: Any, method: str, body: bytes = b"", seq: int | None = None) -> Response:
        """Send a request in Alice's dialog to Bob; gives his answer."""
        headers = [("Contact", "<sip:alice@192.0.2.10:5099>"), ("Content-Type", "application/sdp")]
        request = call.dialog.request(
            self.alice.agent.line,
            method,
            branch=f"w{len(self.bob.told)}{seq}",
            seq=seq,
            headers=headers,
            body=body,
        )
        self.bob.receive(request, Hop("UDP", *ALICE))
        return self.bob.take()[0]

    def test_both_ends(self) -> None:
        """Both are up with the media of the other, and a BYE of either ends it for both."""
        ours, theirs = self.pair.call()
        call_id = ours.call_id
        self.assertEqual(self.alice.told[-2:], [MediaAt(call_id, Audio(*MEDIA_B)), Up(call_id)])
        expected: list[Any] = [
            Incoming(call_id, "sip:alice@example.com"),
            MediaAt(call_id, Audio(*MEDIA_A)),
            Up(call_id),
        ]
        self.assertEqual(self.bob.told, expected)
        self.bob.obey(self.bob.agent.hang_up(theirs))
        self.pair.settle()
        self.assertEqual(self.alice.told[-1], Ended(call_id, 200, "BYE received"))
        self.assertEqual(self.bob.told[-1], Ended(call_id, 200, "OK"))

    def test_answer_is_repeated_until_its_ack(self) -> None:
        """A lost ACK makes the callee repeat its 200 after T1, 2*T1 ... (13.3.1.4)."""
        _, theirs = self.dial()
        lost = []
        self.pair.lose = lambda message: (
            isinstance(message, Request) and message.method == "ACK" and not lost.append(1)
        )
        self.bob.obey(self.bob.agent.accept(theirs, MEDIA_B))
        self.pair.settle()
        self.pair.advance(4)
        self.assertEqual(len(lost), 4)  # at 0, 0.5, 1.5 and 3.5 s
        self.assertIs(theirs.state, CallState.ANSWERED)
        self.pair.lose = lambda message: False
        self.pair.advance(4)
        self.assertIs(theirs.state, CallState.UP)

    def test_no_ack_ever(self) -> None:
        """Without an ACK for 64*T1 the callee hangs up (13.3.1.4)."""
        ours, theirs = self.dial()
        self.pair.lose = lambda message: isinstance(message, Request) and message.method == "ACK"
        self.bob.obey(self.bob.agent.accept(theirs, MEDIA_B))
        self.pair.settle()
        self.pair.advance(33)
        self.assertNotIn(Up(ours.call_id), self.bob.told)
        self.assertEqual(self.bob.told[-1], Ended(ours.call_id, 200, "OK"))

    def test_cancelled(self) -> None:
        """A CANCEL gets its 200, the INVITE 487, and nothing rings on (9.2)."""
        ours, theirs = self.dial()
        self.alice.obey(self.alice.agent.hang_up(ours))
        self.pair.settle()
        self.assertEqual(self.bob.told[-1].status, 487)
        self.assertEqual(self.alice.told[-1], Ended(ours.call_id, 487, "Request Terminated"))
        self.assertEqual(self.bob.agent.accept(theirs, MEDIA_B), [])

    def test_cancel_comes_too_late(self) -> None:
        """A CANCEL after the answer changes nothing (9.2)."""
        ours, _ = self.dial()
        invite = ours.invite
        theirs = self.bob.agent.calls[ours.call_id]
        self.bob.obey(self.bob.agent.accept(theirs, MEDIA_B))
        via = [("Via", str(invite.top_via))]
        named = [(name, invite.get(name.lower()) or "") for name in ("From", "To", "Call-ID")]
        self.bob.sent.clear()
        self.bob.receive(
            build_request("CANCEL", invite.uri, [*via, *named, ("CSeq", "1 CANCEL")]), Hop("UDP", *ALICE)
        )
        self.assertEqual(self.bob.take()[0].status, 200)
        self.assertIs(theirs.state, CallState.ANSWERED)

    def test_cancel_of_nothing(self) -> None:
        """A CANCEL that matches no INVITE gets 481 (9.2)."""
        ours, _ = self.dial()
        invite = ours.invite
        named = [(name, invite.get(name.lower()) or "") for name in ("From", "To", "Call-ID")]
        via = [("Via", "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKother")]
        self.bob.receive(
            build_request("CANCEL", invite.uri, [*via, *named, ("CSeq", "1 CANCEL")]), Hop("UDP", *ALICE)
        )
        self.assertEqual(self.bob.take()[0].status, 481)

    def test_same_call_twice(self) -> None:
        """The call over a second way gets 482 (8.2.2.2)."""
        ours, _ = self.dial()
        again = ours.dialog.request(
            self.alice.agent.line, "INVITE", branch="second", seq=1, body=ours.invite.body
        )
        self.bob.receive(again, Hop("UDP", *ALICE))
        self.assertEqual(self.bob.take()[0].status, 482)

    def test_no_common_codec(self) -> None:
        """An offer without PCMU gets 488 (13.3.1.3)."""
        _, effects = self.alice.agent.call(BOB_URI, MEDIA_A)
        self.alice.obey(effects)
        invite, _ = self.alice.take()
        invite.body = invite.body.replace(b"RTP/AVP 0", b"RTP/AVP 9")
        self.bob.receive(invite, Hop("UDP", *ALICE))
        self.assertEqual(self.bob.sent[0][0].status, 488)
        self.pair.settle()

    def test_offer_in_the_answer(self) -> None:
        """An INVITE without an offer gets ours in the 200, and its answer comes in the ACK (13.2.1)."""
        line = self.alice.agent.line
        dialog = self.alice.agent.call(BOB_URI, MEDIA_A)[0].dialog
        self.alice.agent.calls.clear()
        dialog.target = BOB_URI
        headers = [("Contact", line.contact_value)]
        self.bob.receive(dialog.request(line, "INVITE", branch="i", headers=headers), Hop("UDP", *ALICE))
        theirs = self.bob.agent.calls[dialog.call_id]
        self.bob.obey(self.bob.agent.accept(theirs, MEDIA_B))
        answer = self.bob.take_all()[-1]
        self.assertEqual(read_audio(answer.body), Audio(*MEDIA_B))
        dialog.confirm(answer)
        seq = dialog.local_seq
        ack = dialog.request(line, "ACK", branch="j", seq=seq, body=describe(*MEDIA_A, 1))
        self.bob.receive(ack, Hop("UDP", *ALICE))
        self.assertEqual(self.bob.told[-2:], [MediaAt(dialog.call_id, Audio(*MEDIA_A)), Up(dialog.call_id)])

    def test_record_route_is_copied(self) -> None:
        """The 180 and the 200 carry the Record-Route of the INVITE, in its order (12.1.1)."""
        _, effects = self.alice.agent.call(BOB_URI, MEDIA_A)
        self.alice.obey(effects)
        invite, _ = self.alice.take()
        routes = ["<sip:192.0.2.2;lr>", "<sip:192.0.2.1;lr>"]
        named = [
            (key.title(), value)
            for key in invite.keys
            for value in [invite.get(key) or ""]
            if key != "content-length"
        ]
        named += [("Record-Route", route) for route in routes]
        self.bob.receive(build_request("INVITE", invite.uri, named, invite.body), Hop("UDP", *ALICE))
        theirs = self.bob.agent.calls[invite.call_id]
        self.bob.obey(self.bob.agent.accept(theirs, MEDIA_B))
        for response in self.bob.take_all():
            self.assertEqual(response.values("record-route"), routes)
        self.assertEqual(theirs.dialog.routes, tuple(routes))
        theirs.dialog.routes = ()  # nobody is there to be hung up through

    def test_held(self) -> None:
        """An offer to send only is answered with recvonly, and the media are told (14.2, RFC 3264 section 6.1)."""
        ours, theirs = self.pair.call()
        response = self.within(ours, "INVITE", describe(*MEDIA_A, 2, "sendonly"))
        self.assertIn(b"a=recvonly", response.body)
        self.assertEqual(self.bob.told[-1], MediaAt(ours.call_id, Audio(*MEDIA_A, receiving=False)))
        self.assertEqual(theirs.dialog.target, "sip:alice@192.0.2.10:5099")
        ack = ours.dialog.request(self.alice.agent.line, "ACK", branch="a", seq=2)
        self.bob.receive(ack, Hop("UDP", *ALICE))

    def test_out_of_order(self) -> None:
        """A number that is not higher gets 500 (12.2.2)."""
        ours, _ = self.pair.call()
        self.assertEqual(self.within(ours, "INFO", seq=1).status, 500)
        self.assertEqual(self.within(ours, "INFO").status, 200)

    def test_unknown_call(self) -> None:
        """A request within a call that we do not have gets 481, one with foreign tags too (12.2.2)."""
        ours, _ = self.pair.call()
        real = ours.dialog.remote
        ours.dialog.remote = "<sip:bob@example.com>;tag=guessed"
        self.assertEqual(self.within(ours, "BYE").status, 481)
        ours.dialog.remote = real

    def test_other_methods(self) -> None:
        """OPTIONS is answered with what we take, the rest refused with 405 (11.2, 8.2.1)."""
        ours, _ = self.pair.call()
        self.assertEqual(self.within(ours, "OPTIONS").status, 200)
        refused = self.within(ours, "SUBSCRIBE")
        self.assertEqual(refused.status, 405)
        self.assertIn("INVITE", refused.get("allow") or "")

    def test_rejected(self) -> None:
        """A refusal reaches the caller."""
        ours, theirs = self.dial()
        self.bob.obey(self.bob.agent.reject(theirs))
        self.pair.settle()
        self.assertEqual(self.alice.told[-1], Ended(ours.call_id, 486, "Busy Here"))

    def test_lossy_network(self) -> None:
        """With four of ten messages lost a call comes up and ends (section 17)."""
        luck = random.Random(3)
        self.pair.lose = lambda message: luck.random() < 0.4
        ours, effects = self.alice.agent.call(BOB_URI, MEDIA_A)
        self.alice.obey(effects)
        self.pair.advance(8)
        theirs = self.bob.agent.calls[ours.call_id]
        self.bob.obey(self.bob.agent.accept(theirs, MEDIA_B))
        self.pair.advance(20)
        self.assertEqual((ours.state, theirs.state), (CallState.UP, CallState.UP))
        self.alice.obey(self.alice.agent.hang_up(ours))
        self.pair.advance(40)
        self.assertEqual((ours.state, theirs.state), (CallState.ENDED, CallState.ENDED))
