"""Each arrow of RFC 3261 figure 7, with what RFC 6026 section 7.1 changed."""

from __future__ import annotations

from itertools import product

from tests.unit.sip.transaction.machine_case import MachineCase
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.sip.transaction.events import (
    AckReceived,
    Finished,
    PassAck,
    RequestReceived,
    Respond,
    SendResponse,
)
from voipcluster.sip.transaction.invite_server import InviteServer, State

COPY, ACK = RequestReceived(), AckReceived()
RINGING, OK, BUSY = Respond(180, b"180"), Respond(200, b"200"), Respond(486, b"486")


class InviteServerTests(MachineCase):
    def setUp(self) -> None:
        self.machine = InviteServer(reliable=False)

    def test_copy_before_a_response(self) -> None:
        """A copy of the INVITE before any response gets nothing (section 17.2.1)."""
        self.assertEqual(self.play(COPY), [])

    def test_provisional(self) -> None:
        """A 1xx is sent, each copy of the INVITE gets the last one (section 17.2.1)."""
        self.assertEqual(self.play(Respond(100, b"100")), [SendResponse(b"100")])
        self.assertEqual(self.play(RINGING), [SendResponse(b"180")])
        self.assertEqual(self.play(COPY), [SendResponse(b"180")])
        self.assertState(State.PROCEEDING)

    def test_failure(self) -> None:
        """A 300 to 699 is sent; Timer H runs 64*T1, Timer G T1 over UDP (section 17.2.1)."""
        effects = self.play(BUSY)
        self.assertEqual(effects, [SendResponse(b"486"), SetTimer("H", 32.0), SetTimer("G", 0.5)])
        self.assertState(State.COMPLETED)

    def test_failure_reliable(self) -> None:
        """There is no Timer G over TCP, Timer H there is (section 17.2.1)."""
        effects = InviteServer(reliable=True).feed(BUSY)
        self.assertEqual(effects, [SendResponse(b"486"), SetTimer("H", 32.0)])

    def test_allowance(self) -> None:
        """To a stranger a final response is repeated as long as the allowance lasts (S18); copies are answered all the same."""
        self.machine.allowance = 20
        self.play(RINGING, BUSY)  # 2 * 3 for the provisional ones, 3 for this one: 11 are left
        sent = [self.play(TimerFired("G")) for _ in range(5)]
        self.assertEqual([len(effects) for effects in sent], [2, 2, 2, 0, 0])
        self.assertEqual(self.play(COPY), [SendResponse(b"486")])
        self.assertEqual(self.play(TimerFired("H")), [CancelTimer("G"), Finished()])

    def test_timer_g(self) -> None:
        """Timer G sends the failure again and doubles up to T2 (section 17.2.1)."""
        self.play(BUSY)
        for delay in (1.0, 2.0, 4.0, 4.0):
            self.assertEqual(self.play(TimerFired("G")), [SendResponse(b"486"), SetTimer("G", delay)])

    def test_copy_in_completed(self) -> None:
        """A copy of the INVITE gets the failure again (section 17.2.1)."""
        self.assertEqual(self.play(BUSY, COPY), [SendResponse(b"486")])

    def test_timer_h(self) -> None:
        """Without an ACK the transaction ends by Timer H (section 17.2.1)."""
        self.assertEqual(self.play(BUSY, TimerFired("H"))[-1], Finished())
        self.assertState(State.TERMINATED)

    def test_ack(self) -> None:
        """An ACK stops Timers G and H; Timer I is T4 over UDP, 0 over TCP (section 17.2.1)."""
        effects = self.play(BUSY, ACK)
        self.assertEqual(effects, [CancelTimer("G"), CancelTimer("H"), SetTimer("I", 5.0)])
        self.assertState(State.CONFIRMED)
        machine = InviteServer(reliable=True)
        machine.feed(BUSY)
        self.assertIn(SetTimer("I", 0.0), machine.feed(ACK))

    def test_confirmed(self) -> None:
        """Confirmed absorbs more ACKs and copies, and is ended by Timer I (section 17.2.1)."""
        self.play(BUSY, ACK)
        self.assertEqual(self.play(ACK) + self.play(COPY) + self.play(TimerFired("G")), [])
        self.assertEqual(self.play(TimerFired("I"))[-1], Finished())

    def test_another_final_response(self) -> None:
        """Behind a failure no other final response is sent (section 17.2.1)."""
        self.assertEqual(self.play(BUSY, OK) + self.play(BUSY), [])

    def test_2xx(self) -> None:
        """A 2xx is sent and starts Timer L, 64*T1 (RFC 6026 section 7.1)."""
        self.assertEqual(self.play(RINGING, OK), [SendResponse(b"200"), SetTimer("L", 32.0)])
        self.assertState(State.ACCEPTED)

    def test_copy_in_accepted(self) -> None:
        """A copy of the INVITE is absorbed: the UAS repeats its 2xx itself (RFC 6026 section 7.1)."""
        self.assertEqual(self.play(OK, COPY), [])

    def test_more_2xx(self) -> None:
        """Each further 2xx of the user is sent, nothing else is (RFC 6026 section 7.1)."""
        self.assertEqual(self.play(OK, Respond(200, b"other")), [SendResponse(b"other")])
        self.assertEqual(self.play(BUSY) + self.play(RINGING), [])

    def test_ack_in_accepted(self) -> None:
        """An ACK that matches in Accepted is the user's, not absorbed (RFC 6026 section 7.1)."""
        self.assertEqual(self.play(OK, ACK), [PassAck()])
        self.assertState(State.ACCEPTED)

    def test_timer_l(self) -> None:
        """Timer L ends the transaction (RFC 6026 section 7.1)."""
        self.assertEqual(self.play(OK, TimerFired("L"))[-1], Finished())
        self.assertState(State.TERMINATED)

    def test_ack_in_proceeding(self) -> None:
        """An ACK before any final response is nothing (figure 7)."""
        self.assertEqual(self.play(RINGING, ACK), [])

    def test_short_way(self) -> None:
        """C{sends} is the frequent arrows and nothing else: the same state behind it, and the effects that it names."""
        self.assertSendsIsFeed(
            lambda: InviteServer(reliable=False),
            product(((), (RINGING,), (OK,), (BUSY,), (BUSY, ACK)), (RINGING, OK, BUSY)),
            lambda respond: [SetTimer("L", 32.0)] if respond is OK else [],
        )
