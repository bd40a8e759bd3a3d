"""What came and was not read."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.net.udp import Backlog
from voipcluster.services.sip.unread import DATAGRAM, Unread


class UnreadTests(SynchronousTestCase):
    def test_lost_and_waiting(self) -> None:
        """Of all sockets, since the last time; what waited and was read in between is taken off again."""
        sockets = [Backlog(), Backlog()]
        subject = Unread(lambda: sockets)
        self.assertEqual(subject(), 0)
        sockets[:] = [Backlog(10 * DATAGRAM, 1 << 20, 5), Backlog(DATAGRAM, 1 << 20, 0)]
        self.assertEqual(subject(), 16)
        self.assertEqual(subject(), 0)
        sockets[:] = [Backlog(0, 1 << 20, 7), Backlog(0, 1 << 20, 0)]
        self.assertEqual(subject(), 2 - 11)
