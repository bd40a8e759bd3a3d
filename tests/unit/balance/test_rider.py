"""The quick part of a report, as it rides on hand-overs."""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.decision import Own
from voipcluster.balance.report import NOTHING
from voipcluster.balance.rider import Riders
from voipcluster.balance.state import NodeState
from voipcluster.balance.workload import Workload
from voipcluster.errors import PeerError
from voipcluster.seal import Sealer

KEY = bytes(range(32))
OWN = Own(Workload(cpu=0.5), NodeState.SHED, delay=0.25, arrival_rate=100.0, capacity=200.0, weight=0.5)


class RiderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.riders = Riders(KEY)

    def assertRefused(self, node: str, text: str) -> None:
        self.assertRaises(PeerError, self.riders.open, node, text)

    def test_round_trip(self) -> None:
        """What goes in comes out, as text that a URI parameter and a header can hold."""
        text = self.riders.seal("b", 2**52, 3, 7, OWN)
        self.assertRegex(text, r"^[A-Za-z0-9_-]{40,110}$")
        rider = self.riders.open("b", text)
        self.assertEqual((rider.epoch, rider.after, rider.seq, rider.state), (2**52, 3, 7, NodeState.SHED))
        self.assertEqual(
            (rider.value, rider.delay, rider.arrival_rate, rider.capacity, rider.weight),
            (0.5, 0.25, 100.0, 200.0, 0.5),
        )

    def test_nothing_and_not_known(self) -> None:
        """A capacity of nothing is that at the other end, too, in 32 bits, and not the 0 of one that is not known."""
        for capacity in (0.0, NOTHING):
            text = self.riders.seal("b", 1, 1, 1, Own(Workload(), capacity=capacity))
            self.assertEqual(self.riders.open("b", text).capacity, capacity)

    def test_bounded(self) -> None:
        """A node that is beyond all bounds says the bound."""
        text = self.riders.seal("b", 1, 1, 1, Own(Workload(cpu=1e9), delay=1e9))
        self.assertEqual(self.riders.open("b", text).delay, 3600.0)

    def test_of_another_node(self) -> None:
        """It is good for the node that it was made for only, and for a node of this cluster."""
        text = self.riders.seal("b", 1, 1, 1, OWN)
        self.assertRefused("c", text)
        self.assertRefused("b", Riders(bytes(32)).seal("b", 1, 1, 1, OWN))
        self.assertRefused("b", text[:-1] + ("A" if text[-1] != "A" else "B"))
        self.assertRefused("b", "")

    def test_impossible(self) -> None:
        """Another format, a state of a later version, and numbers that cannot be, are refused although signed."""
        sealer, layout = Sealer(KEY, b"rider"), struct.Struct("!BQQIB5f")
        good = (1, 1, 1, 1, 0, 0.5, 0.0, 0.0, 0.0, 1.0)
        self.riders.open("b", sealer.seal(layout.pack(*good), b"b"))
        for at, wrong in ((0, 2), (4, 9), (5, float("nan")), (6, -1.0), (7, float("inf")), (9, 2.0)):
            fields = [*good[:at], wrong, *good[at + 1 :]]
            self.assertRefused("b", sealer.seal(layout.pack(*fields), b"b"))
        self.assertRefused("b", sealer.seal(b"short", b"b"))
