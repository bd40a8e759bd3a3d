"""What the caller hears in the end, by what each branch has brought."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.messages import response
from voipcluster.address import Flow
from voipcluster.sip.message import Response
from voipcluster.sip.proxy.branch import Branch, State
from voipcluster.sip.proxy.events import ForwardResponse, Target
from voipcluster.sip.proxy.outcome import last_word, outcome

PHONE = Target("sip:bob@192.0.2.2", flow=Flow("UDP", ("192.0.2.9", 5060), ("192.0.2.2", 5060)))
NODE = Target("sip:bob@example.com", node="b")


def ended(status: int = 0, target: Target = PHONE, **marks: object) -> Branch:
    branch = Branch(target)
    branch.state = State.ENDED
    branch.final = response(status) if status else None
    for name, value in marks.items():
        setattr(branch, name, value)
    return branch


class LastWordTests(SynchronousTestCase):
    def word(
        self, *branches: Branch, invite: bool = True, cancelled: bool = False, asked: bool = False
    ) -> object:
        word = last_word(branches, invite, cancelled, asked)
        if isinstance(word, ForwardResponse):
            self.assertIs(branches[word.branch].final, word.response)
            return word.response.status, word.branch
        return None if word is None else word.status

    def test_best(self) -> None:
        """The best response goes up with its branch (section 16.7 step 6); one that was given up has none."""
        self.assertEqual(self.word(ended(503), ended(404), ended(500)), (404, 1))
        self.assertEqual(self.word(ended(404, given_up=True), ended(500)), (500, 1))

    def test_cancelled(self) -> None:
        """A caller who gave up hears 487 of us, but for a 6xx."""
        self.assertEqual(self.word(ended(486), ended(487), cancelled=True), 487)
        self.assertEqual(self.word(ended(486), ended(603), cancelled=True), (603, 1))
        self.assertEqual(self.word(cancelled=True), 487)

    def test_ours_alone(self) -> None:
        """503 would keep callers away from this proxy, 430 is between nodes and phones (16.7 step 6, RFC 5626 5.3.1)."""
        self.assertEqual(self.word(ended(503)), 500)
        self.assertEqual(self.word(ended(430)), 480)

    def test_merged(self) -> None:
        """482 where we have sent the request twice is no loop of the caller's (section 8.2.2.2)."""
        self.assertEqual(self.word(ended(482)), (482, 0))
        self.assertEqual(self.word(ended(482), asked=True), 500)
        self.assertEqual(self.word(ended(482), ended(0, NODE)), 500)
        self.assertEqual(self.word(ended(482), ended(486, NODE, given_up=True)), (486, 1))

    def test_no_response(self) -> None:
        """Nobody there, nothing that is of use, nobody reached, or silence (sections 16.8, 16.9, RFC 7339, RFC 4320)."""
        elsewhere = Target("sip:bob@example.net")
        self.assertEqual(self.word(), 480)
        self.assertEqual(self.word(ended(unreachable=True)), 480)
        self.assertEqual(self.word(ended(unreachable=True), ended(0, elsewhere, unreachable=True)), 500)
        self.assertEqual(self.word(ended(unreachable=True, throttled=True)), 503)
        self.assertEqual(self.word(ended(unreachable=True), ended(unusable=502)), 502)
        self.assertEqual(self.word(ended(unreachable=True), ended()), 408)
        self.assertIsNone(self.word(ended(), invite=False))


class OutcomeTests(SynchronousTestCase):
    def test_status(self) -> None:
        """For who diverts: the best of them, else what is wrong with them, else whether they rang (RFC 5806 reasons)."""
        for branches, status in (
            ([ended(486), ended(404)], 486),
            ([ended(486, given_up=True), ended(unusable=502)], 502),
            ([ended(rang_out=True)], 408),
            ([ended(heard=True)], 408),
            ([ended(unreachable=True)], 0),
            ([], 0),
        ):
            self.assertEqual(outcome(branches), status)
        self.assertIsInstance(ended(486).final, Response)
