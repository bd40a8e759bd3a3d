"""Each way in which an offer and its answer travel (RFC 3264, RFC 3261 section 13.2.1, RFC 3311, RFC 6337)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media.offer_answer import (
    Answered,
    Confirmed,
    Effect,
    Exchange,
    MessagePassed,
    OfferAnswer,
    Offered,
    Repeated,
    RolledBack,
    Side,
)

A, B = Side.CALLER, Side.CALLEE


class OfferAnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.call = OfferAnswer()

    def feed(
        self, sender: Side, what: str, cseq: int = 1, status: int | None = None, tag: str | None = "b"
    ) -> list[Effect]:
        """C{what} is a method, with C{+} behind it when the message has a description."""
        return self.call.feed(MessagePassed(sender, what.rstrip("+"), status, cseq, what.endswith("+"), tag))

    def established(self) -> None:
        self.feed(A, "INVITE+", tag=None)
        self.feed(B, "INVITE+", status=200)
        self.feed(A, "ACK")

    def test_offer_in_invite_answer_in_200(self) -> None:
        """RFC 6337 section 2.1, pattern 1."""
        first = Exchange(A, 1)
        self.assertEqual(self.feed(A, "INVITE+", tag=None), [Offered(first, A)])
        self.assertEqual(self.feed(B, "INVITE", status=100), [])
        self.assertEqual(self.feed(B, "INVITE", status=180), [])
        self.assertEqual(self.feed(B, "INVITE+", status=200), [Answered(first, A, "b", early=False)])
        self.assertEqual(self.feed(A, "ACK"), [])

    def test_offer_in_200_answer_in_ack(self) -> None:
        """RFC 6337 section 2.1, pattern 2; RFC 3665 section 3.6."""
        first = Exchange(A, 1)
        self.assertEqual(self.feed(A, "INVITE", tag=None), [])
        self.assertEqual(self.feed(B, "INVITE", status=180), [])
        self.assertEqual(self.feed(B, "INVITE+", status=200), [Offered(first, B)])
        self.assertEqual(self.feed(B, "INVITE+", status=200), [Offered(first, B)], "a copy of the 2xx")
        self.assertEqual(self.feed(A, "ACK+"), [Answered(first, B, "b", early=False)])
        self.assertEqual(self.feed(A, "ACK+"), [Repeated(first)])
        self.assertEqual(self.feed(B, "INVITE+", status=200), [Repeated(first)])

    def test_a_changed_copy_takes_no_offer_over(self) -> None:
        """Once the 2xx has offered, an INVITE of the same CSeq with a description is no second offer (RFC 3264 section 4)."""
        first = Exchange(A, 1)
        self.feed(A, "INVITE", tag=None)
        self.feed(B, "INVITE+", status=200)
        self.assertEqual(self.feed(A, "INVITE+", tag=None), [Repeated(first)])
        self.assertEqual(self.feed(A, "ACK+"), [Answered(first, B, "b", early=False)])

    def test_ack_without_the_answer(self) -> None:
        """An offer in 200 that the ACK does not answer is void."""
        self.feed(A, "INVITE")
        self.feed(B, "INVITE+", status=200)
        self.assertEqual(self.feed(A, "ACK"), [RolledBack(Exchange(A, 1))])

    def test_offer_in_reliable_1xx_answer_in_prack(self) -> None:
        """RFC 6337 section 2.1, pattern 4; the 2xx has no description then."""
        first = Exchange(A, 1)
        self.feed(A, "INVITE")
        self.assertEqual(self.feed(B, "INVITE+", status=183), [Offered(first, B)])
        self.assertEqual(self.feed(A, "PRACK+", 2), [Answered(first, B, "b", early=False)])
        self.assertEqual(self.feed(B, "PRACK", 2, status=200), [])
        self.assertEqual(self.feed(B, "INVITE+", status=183), [Repeated(first)])
        self.assertEqual(self.feed(B, "INVITE", status=200), [])

    def test_early_answer_then_200_with_and_without_body(self) -> None:
        """183 with the answer, then the same in 200, or nothing there (RFC 3261 section 13.2.1)."""
        first = Exchange(A, 1)
        self.feed(A, "INVITE+")
        self.assertEqual(self.feed(B, "INVITE+", status=183), [Answered(first, A, "b", early=True)])
        self.assertEqual(self.feed(B, "INVITE", status=180), [])
        self.assertEqual(self.feed(B, "INVITE", status=200), [Confirmed(first, A, "b")])
        self.assertEqual(self.feed(B, "INVITE", status=200), [], "a copy of the 2xx")
        self.assertEqual(self.feed(B, "INVITE+", status=200), [Answered(first, A, "b", early=False)])

    def test_forks(self) -> None:
        """Early answers of two forks; the 2xx of one wins, a later 2xx of the other changes nothing."""
        first = Exchange(A, 1)
        self.feed(A, "INVITE+", tag=None)
        self.assertEqual(self.feed(B, "INVITE+", status=183, tag="x"), [Answered(first, A, "x", early=True)])
        self.assertEqual(self.feed(B, "INVITE+", status=183, tag="y"), [Answered(first, A, "y", early=True)])
        self.assertEqual(self.feed(B, "INVITE", status=200, tag="x"), [Confirmed(first, A, "x")])
        self.assertEqual(self.feed(B, "INVITE+", status=200, tag="y"), [Repeated(first)])
        self.assertEqual(self.feed(B, "INVITE", status=200, tag="y"), [])
        self.assertEqual(self.feed(B, "INVITE+", status=183, tag="y"), [Repeated(first)])

    def test_retransmitted_offer(self) -> None:
        """A copy of the INVITE, or its other branch, is the same offer."""
        self.assertEqual(self.feed(A, "INVITE+"), [Offered(Exchange(A, 1), A)])
        self.assertEqual(self.feed(A, "INVITE+"), [Offered(Exchange(A, 1), A)])
        self.feed(B, "INVITE+", status=200)
        self.assertEqual(self.feed(A, "INVITE+"), [Repeated(Exchange(A, 1))])

    def test_reinvite_either_way(self) -> None:
        """Both sides may offer again; their CSeq numbers do not mix (RFC 3261 section 14)."""
        self.established()
        self.assertEqual(self.feed(B, "INVITE+", 1), [Offered(Exchange(B, 1), B)])
        self.assertEqual(self.feed(A, "INVITE+", 1, 200), [Answered(Exchange(B, 1), B, "b", early=False)])
        self.feed(B, "ACK", 1)
        self.assertEqual(self.feed(A, "INVITE+", 2), [Offered(Exchange(A, 2), A)])
        self.assertEqual(self.feed(B, "INVITE+", 2, 200), [Answered(Exchange(A, 2), A, "b", early=False)])

    def test_refused_reinvite(self) -> None:
        """A final response above 299 leaves the session as it was (RFC 3261 section 14.1)."""
        self.established()
        for cseq, status in ((2, 488), (3, 491), (4, 302), (5, 603)):
            self.feed(A, "INVITE+", cseq)
            self.assertEqual(self.feed(B, "INVITE", cseq, status), [RolledBack(Exchange(A, cseq))])
            self.assertEqual(self.feed(B, "INVITE", cseq, status), [])

    def test_refusal_after_early_answer(self) -> None:
        """An early answer goes with the refusal, unless a PRACK made it firm (RFC 6141 section 3)."""
        self.established()
        self.feed(A, "INVITE+", 2)
        self.feed(B, "INVITE+", 2, 183)
        self.assertEqual(self.feed(B, "INVITE", 2, 487), [RolledBack(Exchange(A, 2))])
        self.feed(A, "INVITE+", 3)
        self.feed(B, "INVITE+", 3, 183)
        self.feed(A, "PRACK", 4)
        self.assertEqual(self.feed(B, "INVITE", 3, 487), [])

    def test_update_either_way(self) -> None:
        """Offer in UPDATE, answer in its 200, before and after the call is answered (RFC 3311 section 5)."""
        self.feed(A, "INVITE+")
        self.feed(B, "INVITE+", status=183)
        self.feed(A, "PRACK", 2)
        self.assertEqual(self.feed(A, "UPDATE+", 3), [Offered(Exchange(A, 3), A)])
        self.assertEqual(self.feed(B, "UPDATE+", 3, 200), [Answered(Exchange(A, 3), A, "b", early=False)])
        self.assertEqual(self.feed(B, "UPDATE+", 3, 200), [Repeated(Exchange(A, 3))])
        self.assertEqual(self.feed(B, "UPDATE+", 1), [Offered(Exchange(B, 1), B)])
        self.assertEqual(self.feed(A, "UPDATE", 1, 504), [RolledBack(Exchange(B, 1))])
        self.assertEqual(self.feed(B, "INVITE", status=200), [Confirmed(Exchange(A, 1), A, "b")])

    def test_update_without_description(self) -> None:
        """A session refresh is no offer (RFC 4028), also when the 200 has a description nobody asked for."""
        self.established()
        self.assertEqual(self.feed(A, "UPDATE", 2), [])
        self.assertEqual(self.feed(B, "UPDATE+", 2, 200), [])

    def test_update_without_an_answer(self) -> None:
        """A 2xx to an offer in UPDATE that has no answer voids the offer."""
        self.established()
        self.feed(A, "UPDATE+", 2)
        self.assertEqual(self.feed(B, "UPDATE", 2, 200), [RolledBack(Exchange(A, 2))])

    def test_new_offer_in_prack(self) -> None:
        """A PRACK may carry a new offer when the first is answered; the answer is in its 200 (RFC 3262 section 5)."""
        self.feed(A, "INVITE+")
        self.feed(B, "INVITE+", status=183)
        self.assertEqual(self.feed(A, "PRACK+", 2), [Offered(Exchange(A, 2), A)])
        self.assertEqual(self.feed(B, "PRACK+", 2, 200), [Answered(Exchange(A, 2), A, "b", early=False)])

    def test_glare(self) -> None:
        """Both offer at once and both get 491 (RFC 3261 section 14.1): each refusal ends its own offer."""
        self.established()
        self.feed(A, "INVITE+", 2)
        self.feed(B, "INVITE+", 2)
        self.assertEqual(self.feed(B, "INVITE", 2, 491), [RolledBack(Exchange(A, 2))])
        self.assertEqual(self.feed(A, "INVITE", 2, 491), [RolledBack(Exchange(B, 2))])

    def test_second_try_with_credentials(self) -> None:
        """401, then the INVITE again with the next CSeq (RFC 3261 section 22.2)."""
        self.feed(A, "INVITE+")
        self.assertEqual(self.feed(B, "INVITE", status=407), [RolledBack(Exchange(A, 1))])
        self.assertEqual(self.feed(A, "INVITE+", 2), [Offered(Exchange(A, 2), A)])

    def test_unanswered_offer_that_is_replaced(self) -> None:
        """A side that offers anew gave up its former offer (RFC 3264 section 4)."""
        self.established()
        self.feed(A, "UPDATE+", 2)
        self.assertEqual(self.feed(A, "INVITE+", 3), [RolledBack(Exchange(A, 2)), Offered(Exchange(A, 3), A)])

    def test_messages_outside_the_negotiation(self) -> None:
        """Descriptions elsewhere, and responses to nothing, mean nothing here."""
        self.assertEqual(self.feed(B, "INVITE+", 7, 200), [])
        self.established()
        for method in ("INFO+", "OPTIONS+", "BYE+", "MESSAGE+"):
            self.assertEqual(self.feed(A, method, 2), [])
            self.assertEqual(self.feed(B, method, 2, 200), [])
        self.feed(A, "INVITE+", 3)
        self.assertEqual(self.feed(B, "UPDATE+", 3, 200), [], "a response names its method too")

    def test_nothing_piles_up(self) -> None:
        """A long call with many refreshes keeps a handful of exchanges."""
        self.established()
        for cseq in range(2, 100):
            self.feed(A, "UPDATE+" if cseq % 2 else "INVITE+", cseq)
            self.feed(B, "UPDATE+" if cseq % 2 else "INVITE+", cseq, 200)
        self.assertLessEqual(len(self.call._exchanges), 2)
