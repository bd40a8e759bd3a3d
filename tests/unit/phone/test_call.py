"""Tests of what a phone knows of one call."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.phone.world import ALICE, MEDIA_A, line
from voipcluster.phone.call import Call, CallState
from voipcluster.phone.dialog import Dialog


def call(state: CallState = CallState.CALLING) -> Call:
    return Call(Dialog.outgoing(line("alice", ALICE), "sip:bob@example.com", ()), MEDIA_A, True, state)


class CallTests(SynchronousTestCase):
    def test_over(self) -> None:
        """From our BYE or CANCEL on nothing more is to become of it, answered or not (RFC 3261 section 15)."""
        over = {state for state in CallState if call(state).over}
        self.assertEqual(over, {CallState.ENDING, CallState.ENDED})

    def test_name(self) -> None:
        """It goes by the Call-ID of its dialog, which a redirect keeps (section 8.1.3.4)."""
        one = call()
        before = one.call_id
        self.assertTrue(before.endswith("@192.0.2.10"))
        one.dialog.target = "sip:bob@192.0.2.77"
        self.assertEqual(one.call_id, before)

    def test_two_are_two(self) -> None:
        """Calls with the same facts are not the same call, and their forks are their own."""
        one, other = call(), call()
        other.dialog = one.dialog
        self.assertNotEqual(one, other)
        one.elsewhere.add("fork")
        self.assertEqual(other.elsewhere, set())
