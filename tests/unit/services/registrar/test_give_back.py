"""Registrations that another node holds and did not name."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import PeerError
from voipcluster.services.registrar.give_back import GiveBack
from voipcluster.sip.location import Binding


def binding(number: int) -> Binding:
    return Binding(
        aor=f"u{number}@h", contact=f"sip:{number}@h", expires_at=2.0, registered_at=1.0, call_id="c", cseq=1
    )


ONE, TWO, THREE = (binding(number) for number in (1, 2, 3))


class GiveBackTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gone: set[Binding] = set()
        self.offers: list[tuple[Binding, Deferred[bool]]] = []
        self.not_taken: list[Binding] = []
        self.give_back = GiveBack(lambda one: one not in self.gone, self.offer, self.not_taken.append)

    def offer(self, one: Binding) -> Deferred[bool]:
        answer: Deferred[bool] = Deferred()
        self.offers.append((one, answer))
        return answer

    def answer(self, result: bool | PeerError) -> Binding:
        one, answer = self.offers.pop(0)
        self.assertEqual(self.offers, [], "one at a time")
        if isinstance(result, bool):
            answer.callback(result)
        else:
            answer.errback(result)
        return one

    def test_one_after_the_other(self) -> None:
        """Each is offered; what its node does not want is told."""
        self.give_back.begin("b", [ONE, TWO, THREE])
        self.assertEqual([self.answer(taken) for taken in (True, False, True)], [ONE, TWO, THREE])
        self.assertEqual((self.offers, self.not_taken), ([], [TWO]))

    def test_what_is_told_anew(self) -> None:
        """It is not offered, and not ended when it came while an offer was under way."""
        self.gone.add(TWO)
        self.give_back.begin("b", [ONE, TWO])
        self.gone.add(ONE)
        self.answer(False)
        self.assertEqual((self.offers, self.not_taken), ([], []))

    def test_the_link_is_down(self) -> None:
        """What could not be told is told when the link is up; nothing is told twice at once."""
        self.give_back.begin("b", [ONE, TWO])
        self.answer(PeerError("not reachable", 503))
        self.assertEqual(self.offers, [])
        for _ in range(2):
            self.give_back.go_on("b")
        self.assertEqual([self.answer(True), self.answer(True)], [ONE, TWO])
        self.give_back.go_on("b")
        self.give_back.go_on("c")
        self.assertEqual(self.offers, [])

    def test_another_snapshot(self) -> None:
        """It counts, whatever is under way."""
        self.give_back.begin("b", [ONE, TWO])
        self.give_back.begin("b", [THREE])
        self.assertEqual([self.answer(True), self.answer(True)], [ONE, THREE])
        self.assertEqual(self.offers, [])

    def test_no_member_any_more(self) -> None:
        """Nothing more is offered to it."""
        self.give_back.begin("b", [ONE, TWO])
        self.give_back.forget("b")
        self.answer(True)
        self.assertEqual(self.offers, [])
