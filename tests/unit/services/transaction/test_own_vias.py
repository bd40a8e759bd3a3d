"""Responses that have to be checked before they are anybody's."""

from __future__ import annotations

from tests.unit.services.transaction.test_transactions import ALICES, OURS, TO_BOB, TransactionCase
from tests.unit.sip.messages import response


class OwnViasTests(TransactionCase):
    def test_via_of_somebody_else(self) -> None:
        """A response with our branch whose topmost Via names another host or port is dropped (section 18.1.2)."""
        self.invite()
        for sent_by in ("192.0.2.10:5060", "192.0.2.9:5061", "192.0.2.99:5060", "proxy.example.com:5060"):
            self.receive(response(180, vias=[OURS.replace("192.0.2.9:5060", sent_by), ALICES]), TO_BOB)
        self.assertEqual((self.user.heard, self.service.stray_responses), ([], 4))
        for via in (OURS, OURS.replace(":5060", ""), OURS.replace("SIP/2.0", "SIP / 2.0"), OURS + ";x", OURS):
            self.receive(response(180, vias=[via, ALICES]), TO_BOB)
        self.receive(response(486), TO_BOB)
        self.assertEqual([status for _, status in self.user.heard], [180] * 5 + [486])
        self.wait(33)

    def test_failure_with_an_impossible_number(self) -> None:
        """A failure with a CSeq above 2**31 - 1 is dropped, though the branch is ours (RFC 4475 section 3.1.2.5)."""
        self.invite()
        self.receive(response(503, cseq="9292394834772304023312 INVITE"), TO_BOB)
        self.assertEqual((self.user.heard, self.service.stray_responses), ([], 1))
        self.receive(response(503), TO_BOB)
        self.assertEqual([status for _, status in self.user.heard], [503])
        self.wait(33)

    def test_few_spellings(self) -> None:
        """How ours begins is learned, and only so many ways of it: a peer that writes it anew each time fills no memory."""
        self.invite()
        for number in range(40):
            via = OURS.replace("SIP/2.0/UDP ", "SIP/2.0/UDP" + " " * (number + 1))
            self.receive(response(180, vias=[via, ALICES]), TO_BOB)
        self.assertEqual(len(self.user.heard), 40)
        self.assertLessEqual(len(self.service._own_vias), 16)
        self.receive(response(486), TO_BOB)
        self.wait(33)
