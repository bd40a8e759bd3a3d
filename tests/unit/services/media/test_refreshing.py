"""What the kernel relays is kept alive: all of it, in pieces that others need not wait for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.media.fakes import FakeSocket
from voipcluster.media.offload import Crossing
from voipcluster.media.target import Address
from voipcluster.net.nft.table import LIFETIME
from voipcluster.net.rtp import RtpPort
from voipcluster.services.media.kernel_line import Handed, KernelLine
from voipcluster.services.media.refreshing import AT_ONCE, PAUSE, Refreshing


class Applied:
    """A table that keeps what was begun anew, and counts two packets each time; C{refuses} some."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.refuses: set[str] = set()

    def apply(
        self,
        add: Sequence[tuple[Crossing, str]],
        remove: Sequence[Crossing] = (),
        counted: Mapping[Crossing, tuple[int, int]] | None = None,
    ) -> dict[Crossing, tuple[int, int]]:
        ((crossing, label),) = add
        assert [crossing] == list(remove) and counted is not None
        if label in self.refuses:
            raise OSError(2, "No such file or directory")
        self.labels.append(label)
        return {crossing: (counted[crossing][0] + 2, 0)}


class RefreshingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.table = Clock(), Applied()
        self.lines: dict[KernelLine, None] = {}
        self.credited: list[int] = []
        self.warnings: list[str] = []
        self.refreshing = Refreshing(
            self.clock, self.table, self.lines, self.credited.append, self.warnings.append
        )
        self.addCleanup(self.refreshing.close)

    def add(self, count: int) -> list[str]:
        """So many lines that begin now; gives their labels."""
        labels = [str(len(self.lines) + n) for n in range(count)]
        for label in labels:
            near = Address("192.0.2.1", 30000 + 2 * int(label))
            crossing = Crossing(Address("198.51.100.7", 4000), near, near, Address("203.0.113.9", 5000))
            line = KernelLine(lambda line, handed: None, label)
            sock: Any = FakeSocket(*near)
            line.handed = (Handed(crossing, RtpPort(sock, lambda port, datagram, source: None)),)
            line.since = self.clock.seconds()
            self.lines[line] = None
        return labels

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.refreshing.look()

    def test_in_time(self) -> None:
        """Nothing is refreshed before a third of its life is over, everything then, and its counts go on."""
        labels = self.add(2)
        self.pass_time(LIFETIME / 3)
        self.assertEqual(self.table.labels, [])
        self.pass_time(1)
        self.assertEqual((self.table.labels, self.credited), (labels, [2, 2]))
        self.pass_time(LIFETIME / 3)
        self.assertEqual(self.table.labels, labels)

    def test_many(self) -> None:
        """As many as there can be, all due at once: a few in each turn, and all of them long before they end."""
        labels = self.add(16_000)
        self.pass_time(LIFETIME / 3 + 1)
        self.assertEqual(self.table.labels, labels[:AT_ONCE])
        self.refreshing.look()
        self.assertEqual(len(self.table.labels), AT_ONCE, "a reading meanwhile does not hasten it")
        turns = 0
        while self.clock.getDelayedCalls():
            before = len(self.table.labels)
            self.clock.advance(PAUSE)
            self.assertLessEqual(len(self.table.labels) - before, AT_ONCE)
            turns += 1
        self.assertEqual(self.table.labels, labels)
        self.assertLess(turns * PAUSE, LIFETIME / 6)

    def test_refused(self) -> None:
        """A line that cannot be refreshed is told of, tried again later, and keeps none from its turn."""
        labels = self.add(3 * AT_ONCE)
        self.table.refuses = set(labels[: AT_ONCE - 1])
        self.pass_time(LIFETIME / 3 + 1)
        while self.clock.getDelayedCalls() and len(self.table.labels) < len(labels) - AT_ONCE + 1:
            self.clock.advance(PAUSE)
        self.assertEqual(self.table.labels, labels[AT_ONCE - 1 :])
        self.assertIn("No such file", self.warnings[0])
        self.table.refuses = set()
        self.pass_time(3)
        self.clock.pump([PAUSE] * 3)
        self.assertEqual(sorted(self.table.labels), sorted(labels))

    def test_all_refused(self) -> None:
        """Where nothing can be refreshed it waits for the next reading, and does not spin."""
        self.table.refuses = set(self.add(2 * AT_ONCE))
        self.pass_time(LIFETIME / 3 + 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closed(self) -> None:
        """Nothing goes on behind the end."""
        self.add(2 * AT_ONCE)
        self.pass_time(LIFETIME / 3 + 1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.refreshing.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
