"""Each arrow of RFC 3261 figure 5, with what RFC 6026 section 7.2 changed."""

from __future__ import annotations

from itertools import product

from tests.unit.sip.messages import request, response
from tests.unit.sip.transaction.machine_case import MachineCase
from voipcluster.errors import TransportError
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.sip.message import Request, parse
from voipcluster.sip.transaction.events import (
    CancelSent,
    Finished,
    PassFailure,
    PassResponse,
    PassTimeout,
    ResponseReceived,
    SendFailed,
    SendRequest,
)
from voipcluster.sip.transaction.hop_by_hop import build_ack
from voipcluster.sip.transaction.invite_client import InviteClient, State

INVITE = request(headers=["Route: <sip:192.0.2.8;lr>"]).to_bytes()
RINGING, OK, BUSY = response(180), response(200), response(486)
ERROR = TransportError("gone")
SEND = SendRequest(INVITE)


class InviteClientTests(MachineCase):
    def setUp(self) -> None:
        self.machine = InviteClient(INVITE, reliable=False)
        self.machine.start()

    def test_start(self) -> None:
        """The INVITE is sent, and Timer A runs T1 over UDP (section 17.1.1.2)."""
        self.assertEqual(InviteClient(INVITE, reliable=False).start(), [SEND, SetTimer("A", 0.5)])

    def test_timer_b_starts_with_the_first_timer_a(self) -> None:
        """Over UDP Timer B is started once, T1 after the start, for the rest of 64*T1 (section 17.1.1.2)."""
        self.assertEqual(self.play(TimerFired("A")), [SEND, SetTimer("A", 1.0), SetTimer("B", 31.5)])
        self.assertEqual(self.play(TimerFired("A")), [SEND, SetTimer("A", 2.0)])

    def test_short_start(self) -> None:
        """Over UDP C{start} changes nothing: who carries out its two effects himself need not call it (section 17.1)."""
        long, short = InviteClient(INVITE, reliable=False), InviteClient(INVITE, reliable=False)
        self.assertEqual(long.start(), [SendRequest(INVITE), SetTimer("A", 0.5)])
        self.assertEqual(long, short)

    def test_short_way(self) -> None:
        """C{passes} is the frequent arrows and nothing else: the same state behind it, and the effects that it names."""
        sequences = ((), (RINGING,), (OK,), (BUSY,), (RINGING, OK))
        self.assertPassesIsFeed(
            lambda: InviteClient(INVITE, reliable=False),
            (
                ([*map(ResponseReceived, before), *cancelled], heard)
                for before, cancelled, heard in product(sequences, ((), (CancelSent(),)), (RINGING, OK, BUSY))
            ),
            lambda heard: [PassResponse(heard), *([SetTimer("M", 32.0)] if heard is OK else [])],
        )

    def test_start_reliable(self) -> None:
        """Over TCP nothing is ever sent again, so there is no Timer A, and Timer B runs 64*T1 (section 17.1.1.2)."""
        self.assertEqual(InviteClient(INVITE, reliable=True).start(), [SEND, SetTimer("B", 32.0)])

    def test_timer_a_doubles(self) -> None:
        """Timer A doubles without end: 0.5, 1, 2, ... 32 s (section 17.1.1.2)."""
        effects = [e for _ in range(6) for e in self.machine.feed(TimerFired("A"))]
        delays = [e.delay for e in effects if isinstance(e, SetTimer) and e.name == "A"]
        self.assertEqual(delays, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
        self.assertEqual(self.machine.feed(TimerFired("A"))[0], SEND)

    def test_timer_b(self) -> None:
        """Timer B in Calling: the user learns of the time-out, and the transaction ends (section 17.1.1.2)."""
        effects = self.play(TimerFired("B"))
        self.assertEqual(effects[0], PassTimeout())
        self.assertEqual(effects[-1], Finished())
        self.assertState(State.TERMINATED)

    def test_transport_error_in_calling(self) -> None:
        """A transport error in Calling goes to the user and ends the transaction (section 17.1.4)."""
        effects = self.play(SendFailed(ERROR))
        self.assertEqual((effects[0], effects[-1]), (PassFailure(ERROR), Finished()))
        self.assertState(State.TERMINATED)

    def test_provisional(self) -> None:
        """A 1xx in Calling goes up and stops the retransmissions (section 17.1.1.2)."""
        effects = self.play(ResponseReceived(RINGING))
        self.assertEqual(effects, [CancelTimer("A"), CancelTimer("B"), PassResponse(RINGING)])
        self.assertState(State.PROCEEDING)

    def test_more_provisionals(self) -> None:
        """Each 1xx in Proceeding goes up (figure 5)."""
        self.assertEqual(
            self.play(ResponseReceived(RINGING), ResponseReceived(RINGING)), [PassResponse(RINGING)]
        )

    def test_timers_in_proceeding(self) -> None:
        """A Timer A or B that fires late in Proceeding does nothing (figure 5)."""
        self.play(ResponseReceived(RINGING))
        self.assertEqual(self.play(TimerFired("A")) + self.play(TimerFired("B")), [])

    def test_failure_is_acked(self) -> None:
        """A 300 to 699 is ACKed here and goes up; Timer D is 32 s over UDP (section 17.1.1.2)."""
        effects = self.play(ResponseReceived(BUSY))
        self.assertEqual(effects[0], SendRequest(build_ack(INVITE, BUSY)))
        self.assertIn(PassResponse(BUSY), effects)
        self.assertEqual(effects[-1], SetTimer("D", 32.0))
        self.assertState(State.COMPLETED)

    def test_failure_in_proceeding(self) -> None:
        """The same from Proceeding, where A and B have been stopped before (figure 5)."""
        effects = self.play(ResponseReceived(RINGING), ResponseReceived(BUSY))
        self.assertEqual(
            effects, [SendRequest(build_ack(INVITE, BUSY)), PassResponse(BUSY), SetTimer("D", 32.0)]
        )

    def test_timer_d_reliable(self) -> None:
        """Timer D is 0 over TCP (section 17.1.1.2)."""
        machine = InviteClient(INVITE, reliable=True)
        machine.start()
        self.assertIn(SetTimer("D", 0.0), machine.feed(ResponseReceived(BUSY)))

    def test_ack(self) -> None:
        """The ACK has the INVITE's URI, one Via with its branch, Route, From, Call-ID and CSeq number (section 17.1.1.3)."""
        ack = parse(build_ack(INVITE, BUSY))
        assert isinstance(ack, Request)
        self.assertEqual((ack.method, ack.uri), ("ACK", "sip:bob@example.com"))
        self.assertEqual(ack.values("via"), ["SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKalice1"])
        self.assertEqual(ack.values("route"), ["<sip:192.0.2.8;lr>"])
        self.assertEqual(ack.cseq, (7, "ACK"))
        self.assertEqual((ack.from_tag, ack.to_tag, ack.call_id), ("a1", "b1", "call-1"))

    def test_final_again(self) -> None:
        """A repeated 300 to 699 in Completed gets the same ACK and does not go up (section 17.1.1.2)."""
        effects = self.play(ResponseReceived(BUSY), ResponseReceived(BUSY))
        self.assertEqual(effects, [SendRequest(build_ack(INVITE, BUSY))])

    def test_others_in_completed(self) -> None:
        """A 1xx or 2xx behind the failure is nothing any more (figure 5)."""
        self.assertEqual(self.play(ResponseReceived(BUSY), ResponseReceived(RINGING)), [])
        self.assertEqual(self.play(ResponseReceived(OK)), [])

    def test_transport_error_in_completed(self) -> None:
        """The ACK cannot be sent: the user learns it, the transaction ends (figure 5)."""
        effects = self.play(ResponseReceived(BUSY), SendFailed(ERROR))
        self.assertEqual((effects[0], effects[-1]), (PassFailure(ERROR), Finished()))

    def test_timer_d(self) -> None:
        """Timer D ends the transaction (section 17.1.1.2)."""
        self.assertEqual(self.play(ResponseReceived(BUSY), TimerFired("D"))[-1], Finished())
        self.assertState(State.TERMINATED)

    def test_2xx(self) -> None:
        """A 2xx goes up, and the transaction lives on in Accepted for 64*T1, Timer M (RFC 6026 section 7.2)."""
        effects = self.play(ResponseReceived(OK))
        self.assertEqual(effects[-2:], [PassResponse(OK), SetTimer("M", 32.0)])
        self.assertState(State.ACCEPTED)

    def test_2xx_from_other_forks(self) -> None:
        """Each further 2xx in Accepted goes up (RFC 6026 section 7.2)."""
        other = response(200, to_tag="b2")
        self.assertEqual(self.play(ResponseReceived(OK), ResponseReceived(other)), [PassResponse(other)])

    def test_others_in_accepted(self) -> None:
        """Only 2xx go up in Accepted, and no transport error ends it (RFC 6026 section 7.2)."""
        self.play(ResponseReceived(OK))
        for event in (ResponseReceived(BUSY), ResponseReceived(RINGING), SendFailed(ERROR), TimerFired("B")):
            self.assertEqual(self.play(event), [])

    def test_timer_m(self) -> None:
        """Timer M ends the transaction (RFC 6026 section 7.2)."""
        self.assertEqual(self.play(ResponseReceived(OK), TimerFired("M"))[-1], Finished())
        self.assertEqual(self.play(ResponseReceived(OK)), [])

    def test_cancelled_in_vain(self) -> None:
        """A cancelled INVITE without a final response is given up after 64*T1 (section 9.1)."""
        effects = self.play(ResponseReceived(RINGING), CancelSent())
        self.assertEqual(effects, [SetTimer("X", 32.0)])
        effects = self.play(ResponseReceived(RINGING), TimerFired("X"))
        self.assertEqual((effects[0], effects[-1]), (PassTimeout(), Finished()))
        self.assertState(State.TERMINATED)

    def test_cancelled(self) -> None:
        """The 487 behind a CANCEL comes as any other failure, and the limit of section 9.1 is void."""
        self.play(ResponseReceived(RINGING), CancelSent())
        self.assertIn(CancelTimer("X"), self.play(ResponseReceived(response(487))))
        self.assertEqual(self.play(TimerFired("X")), [])
        self.assertState(State.COMPLETED)

    def test_nothing_is_held(self) -> None:
        """What lingers after the final response does not hold the INVITE (memory of each call)."""
        self.play(ResponseReceived(OK))
        self.assertEqual(self.machine.wire, b"")
        self.play(TimerFired("M"))
        failed = InviteClient(INVITE, reliable=False)
        failed.start()
        failed.feed(ResponseReceived(BUSY))
        self.assertEqual(failed.wire, b"")
