"""Events and effects of the response context."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.proxy.context import ProxyContext
from voipcluster.sip.proxy.events import (
    Answer,
    BranchTimedOut,
    CancelBranch,
    Ended,
    Located,
    StartBranch,
    Target,
)


class KindsTests(SynchronousTestCase):
    def test_a_target_that_says_nothing(self) -> None:
        """It is as good as the best one (section 16.6: q 1.0), is found by its URI, and may ring until Timer C."""
        target = Target("sip:bob@192.0.2.1")
        self.assertEqual((target.q, target.flow, target.routes), (1000, None, ()))
        self.assertEqual((target.ring, target.answer_within, target.alternatives), (0.0, 0.0, ()))

    def test_kinds_count(self) -> None:
        """Tuples of two kinds are equal, so the context and who carries its orders out look at the kinds."""
        self.assertTrue(Answer(408) == Ended(408) and BranchTimedOut(1) == CancelBranch(1))
        context = ProxyContext(invite=True)
        context.start()
        started = context.feed(Located((Target("sip:bob@192.0.2.1"),)))
        self.assertEqual([one.branch for one in started if type(one) is StartBranch], [0])
        ended = [*context.feed(Located(())), *context.feed(BranchTimedOut(0))]
        self.assertEqual([type(one) for one in ended if type(one) in (Answer, Ended)], [Answer, Ended])
