"""Servers that take part in overload control, as a client sees them."""

from __future__ import annotations

from tests.unit.services.transaction.test_transactions import BOB, FROM_ALICE, OURS, TO_BOB, TransactionCase
from tests.unit.sip.messages import VIA, request, response
from voipcluster.services.transaction.downstream import MOST, Downstreams, DownstreamTransaction
from voipcluster.sip.message import Response

LOSS = ';oc=100;oc-algo="loss";oc-validity=500;oc-seq=1.0'


def said(params: str = LOSS, status: int = 200, cseq: str = "7 INVITE") -> Response:
    return response(status, vias=(OURS + params, VIA), cseq=cseq)


class DownstreamsTests(TransactionCase):
    def setUp(self) -> None:
        super().setUp()
        self.downstreams = Downstreams(self.clock.seconds, lambda: 0.5)

    def send(self, method: str = "INVITE") -> None:
        wire = request(method, via=OURS).to_bytes()
        self.client = self.service.send_request(
            wire, method, "z9hG4bKours", TO_BOB, self.user, 5, self.downstreams
        )
        self.assertIsInstance(self.client, DownstreamTransaction)

    def test_nobody_has_said_anything(self) -> None:
        """Who never answers with oc is sent to as ever, and nothing is kept of it (RFC 7339 section 6)."""
        self.send()
        self.receive(said(""))
        self.assertEqual(self.downstreams.records, {})
        self.assertTrue(self.downstreams.admits(BOB, request()))

    def test_what_a_response_says(self) -> None:
        """It holds for that address and port, for its validity (section 5.5); the response goes its way."""
        self.send()
        self.receive(said())
        self.assertEqual(self.user.heard, [(5, 200)])
        self.assertFalse(self.downstreams.admits(BOB, request()))
        self.assertTrue(self.downstreams.admits((BOB[0], 5070), request()))
        self.wait(0.55)
        self.assertTrue(self.downstreams.admits(BOB, request()))
        self.assertEqual(self.downstreams.held_back, 1)

    def test_a_provisional_response_counts(self) -> None:
        """Any response may say it (section 5.2)."""
        self.send()
        self.receive(said(status=100))
        self.assertFalse(self.downstreams.admits(BOB, request()))
        self.receive(said("", status=486))
        self.assertFalse(self.downstreams.admits(BOB, request()))
        self.wait(33)

    def test_an_ack_is_never_held_back(self) -> None:
        self.downstreams.heard(BOB, said())
        self.assertTrue(self.downstreams.admits(BOB, request("ACK", to_tag="b")))

    def test_dialogs_and_emergencies_are_held_back_last(self) -> None:
        """Section 5.10.1; what a stranger says of himself in Resource-Priority does not count (RFC 4412 section 4.7)."""
        self.downstreams = Downstreams(self.clock.seconds, lambda: 0.5, lambda flow: flow == FROM_ALICE)
        self.downstreams.heard(BOB, said(LOSS.replace("100", "50")))
        priority = request(headers=["Resource-Priority: ets.0"])
        for protected in (request("BYE", to_tag="b1"), request(uri="urn:service:sos"), priority):
            self.assertTrue(self.downstreams.admits(BOB, protected, FROM_ALICE), protected.to_bytes())
        routine = request(headers=["Resource-Priority: dsn.routine"])
        for reducible in (request(), request("MESSAGE"), routine):
            self.assertFalse(self.downstreams.admits(BOB, reducible, FROM_ALICE), reducible.to_bytes())
        self.assertFalse(self.downstreams.admits(BOB, priority, TO_BOB))
        self.assertFalse(self.downstreams.admits(BOB, priority))

    def test_a_silent_server_is_left_alone(self) -> None:
        """Behind two time-outs it is probed, and served as ever with its first answer (section 5.9)."""
        self.downstreams.heard(BOB, said(LOSS.replace("=100", "=0")))
        for _ in range(2):
            self.send("INVITE")
            self.wait(32.2)
        self.assertEqual(self.user.heard, [(5, "timed out")] * 2)
        self.wait(1)
        self.assertEqual([self.downstreams.admits(BOB, request()) for _ in range(2)], [True, False])
        self.downstreams.heard(BOB, said("", status=404))
        self.assertTrue(all(self.downstreams.admits(BOB, request()) for _ in range(5)))

    def test_nobody_fills_the_table(self) -> None:
        for number in range(MOST + 5):
            self.clock.advance(0.001)
            self.downstreams.heard(("192.0.2.2", number), said())
        self.assertEqual(len(self.downstreams.records), MOST)
        self.assertNotIn(("192.0.2.2", 0), self.downstreams.records)
