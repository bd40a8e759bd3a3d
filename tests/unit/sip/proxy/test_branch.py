"""One branch as it begins."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.proxy.branch import Branch, State
from voipcluster.sip.proxy.events import Target


class BranchTests(SynchronousTestCase):
    def test_nothing_heard(self) -> None:
        """It has no response, counts, and is asked for; it is small, for each call has one."""
        branch = Branch(Target("sip:bob@192.0.2.2"))
        self.assertEqual((branch.state, branch.final, branch.unusable), (State.CALLING, None, 0))
        marks = ("heard", "given_up", "stands_by", "unreachable", "throttled", "rang_out")
        self.assertEqual([name for name in marks if getattr(branch, name)], [])
        self.assertFalse(hasattr(branch, "__dict__"))
