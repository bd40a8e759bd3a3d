"""The record of decisions."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.balance.test_codec import EXPLANATION
from voipcluster.balance.explain import ExplainLog


class ExplainLogTests(SynchronousTestCase):
    def test_by_call_id(self) -> None:
        """All decisions about a Call-ID, oldest first; none about one that is not known."""
        log = ExplainLog()
        first, second = evolve(EXPLANATION, hops=0), evolve(EXPLANATION, hops=1)
        log.add(first)
        log.add(second)
        self.assertEqual((log.get("x"), log.get("y")), ((first, second), ()))

    def test_bounded(self) -> None:
        """The Call-ID without a decision for longest is forgotten first, and one Call-ID keeps a few only."""
        log = ExplainLog(capacity=2, depth=3)
        for call_id in ("a", "b", "a", "a", "a", "a", "c"):
            log.add(evolve(EXPLANATION, call_id=call_id))
        self.assertEqual((list(log.call_ids()), len(log.get("a"))), (["a", "c"], 3))
