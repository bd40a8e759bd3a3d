"""What the user agent is told and orders."""

from __future__ import annotations

from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.phone.world import PROXY
from voipcluster.phone.events import Answered, Closed, Ended, Ringing, SendFailed, Up


class EventTests(SynchronousTestCase):
    def test_kinds_differ(self) -> None:
        """Two of different kinds with the same content are not equal: a call that rings is not up."""
        self.assertNotEqual(Ringing("c"), Up("c"))
        self.assertEqual(Up("c"), Up("c"))
        self.assertNotEqual(Closed(("b", "INVITE")), ("b", "INVITE"))
        self.assertEqual(len({Ringing("c"), Up("c"), Up("c")}), 2)

    def test_nobody_changes_one(self) -> None:
        """What has happened stays as it was told, for each that it is told to."""
        for event, name in (
            (Ended("c", 200, "OK"), "status"),
            (SendFailed(PROXY, "gone"), "reason"),
            (Answered(("b",), 408, "x", None), "key"),
        ):
            with self.assertRaises(FrozenInstanceError):
                setattr(event, name, None)
