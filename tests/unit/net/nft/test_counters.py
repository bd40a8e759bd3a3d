"""Counters, read piece by piece between other things that the reactor does."""

from __future__ import annotations

import errno

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.media.fakes import FakeReaders
from tests.unit.net.nft.fakes import FakeNftables
from tests.unit.net.nft.test_elements import FOUR, SIX
from voipcluster.net.nft.counters import CounterReading
from voipcluster.net.nft.elements import mark_of
from voipcluster.net.nft.table import NftTable


class CounterReadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.nftables, self.readers = FakeNftables(), FakeReaders()
        self.table = NftTable("voipcluster_x", 0x52, 100, self.nftables.connect, self.nftables.fill)
        self.table.open()
        self.reading = CounterReading("voipcluster_x", self.readers, Clock().seconds, self.nftables.connect)
        self.addCleanup(self.reading.close)

    def test_maps_one_after_the_other(self) -> None:
        """Each turn takes one piece; the counters come by mark."""
        self.table.apply([(FOUR, "c"), (SIX, "c")])
        self.nftables.packet("voipcluster_x", "stream4", 5, 1000)
        self.nftables.packet("voipcluster_x", "sport", 4)
        done = self.reading.read(["stream4", "sport"])
        four, six = mark_of(self.table.base, FOUR), mark_of(self.table.base, SIX)
        for _ in range(4):
            self.reading.doRead()
            self.assertNoResult(done)
        self.reading.doRead()
        counted = self.successResultOf(done)
        self.assertEqual(counted["stream4"], {four: (5, 1000)})
        self.assertEqual({mark: n for mark, (n, _) in counted["sport"].items()}, {four: 4, six: 4})

    def test_again(self) -> None:
        """One reading follows the other; what is not asked for is not read."""
        for _ in range(2):
            done = self.reading.read(["stream6"])
            self.reading.doRead()
            self.assertEqual(self.successResultOf(done), {"stream6": {}})
            self.reading.doRead()

    def test_table_is_gone(self) -> None:
        """The reading fails, and the next one may go well."""
        tables, self.nftables.tables = self.nftables.tables, {}
        done = self.reading.read(["stream4"])
        self.reading.doRead()
        self.assertEqual(self.failureResultOf(done, OSError).value.errno, errno.ENOENT)
        self.nftables.tables = tables
        done = self.reading.read(["stream4"])
        self.reading.doRead()
        self.successResultOf(done)

    def test_close(self) -> None:
        """Nothing is left, and who waits is told."""
        done = self.reading.read(["stream4"])
        self.reading.close()
        self.reading.close()
        self.failureResultOf(done, CancelledError)
        self.assertEqual((self.readers.readers, len(self.nftables.sockets)), ([], 1))
