"""Media time-out of one call."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media.activity import Activity, Counted, TimedOut


class ActivityTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.activity = Activity(timeout=60, hold_timeout=600, since=100)

    def test_silence(self) -> None:
        """No packet for the whole time-out ends the call, once."""
        self.assertEqual(self.activity.feed(Counted(0, held=False), 159.9), [])
        self.assertEqual(self.activity.feed(Counted(0, held=False), 160), [TimedOut(60)])
        self.assertEqual(self.activity.feed(Counted(0, held=False), 161), [])

    def test_any_packet_counts(self) -> None:
        """One packet from any side starts the time anew."""
        self.assertEqual(self.activity.feed(Counted(1, held=False), 159), [])
        self.assertEqual(self.activity.feed(Counted(1, held=False), 218), [])
        self.assertEqual(self.activity.feed(Counted(1, held=False), 219), [TimedOut(60)])

    def test_hold(self) -> None:
        """A call on hold may be silent for longer (RFC 3264 section 8.4)."""
        self.assertEqual(self.activity.feed(Counted(0, held=True), 699), [])
        self.assertEqual(self.activity.feed(Counted(0, held=True), 700), [TimedOut(600)])

    def test_signalling_counts(self) -> None:
        """A re-INVITE is a sign of life too."""
        self.activity.moved(150)
        self.assertEqual(self.activity.feed(Counted(0, held=False), 209), [])
        self.assertEqual(self.activity.feed(Counted(0, held=False), 210), [TimedOut(60)])
