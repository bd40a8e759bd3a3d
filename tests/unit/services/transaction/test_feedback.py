"""The server transaction of a client that takes part; what it says is tested in test_overload."""

from __future__ import annotations

from tests.unit.services.transaction.test_transactions import ALICE, FROM_ALICE, TransactionCase
from tests.unit.sip.messages import request
from voipcluster.balance.feedback import OverloadServer, Upstream
from voipcluster.services.transaction.feedback import FeedbackTransaction
from voipcluster.sip.message import Request
from voipcluster.sip.outgoing import reply
from voipcluster.sip.values import Via


class FeedbackTransactionTests(TransactionCase):
    def setUp(self) -> None:
        super().setUp()
        self.upstream = OverloadServer().upstream(ALICE, ("loss",), 0.0)

        def taking_part(request: Request, via: Via, flow: object) -> Upstream:
            return self.upstream

        self.service.taking_part = taking_part

    def test_its_timers_are_those_of_any(self) -> None:
        """A failure of INVITE is repeated until the ACK comes, each time with what is said then (section 17.2.1)."""
        self.receive(request(via="SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKalice1;oc"), FROM_ALICE)
        incoming = self.user.incoming[-1]
        self.assertIsInstance(incoming, FeedbackTransaction)
        incoming.accept()
        incoming.answer(486)
        self.wait(1.6)
        sent = [data for _, _, data in self.network.log]
        self.assertEqual(len(sent), 3)
        self.assertTrue(all(data.count(b";oc=0;") == 1 for data in sent))
        self.receive(request("ACK"))
        self.wait(5.2)
        self.assertEqual(len(self.service), 0)

    def test_what_another_one_answered(self) -> None:
        """A forwarded 200 has it in the Via that is on top by then, and stays for 64*T1 (RFC 6026 section 7.1)."""
        self.receive(request(via="SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKalice1;oc"), FROM_ALICE)
        incoming = self.user.incoming[-1]
        incoming.accept()
        incoming.respond(200, reply(request(), 200, to_tag="b").to_bytes())
        ((_, _, data),) = self.network.log
        self.assertIn(b"branch=z9hG4bKalice1;oc=0;", data)
        self.assertEqual(self.service.answered, {("INVITE", 200): 1})
        self.wait(31)
        self.assertEqual(len(self.service.servers), 1)
