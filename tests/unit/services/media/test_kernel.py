"""Lines in the kernel: handed over, counted, given back, refreshed and mended."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.media.fakes import FakeReaders, FakeSocket
from tests.unit.net.nft.fakes import FakeNftables, FakeTable
from tests.unit.net.nft.test_elements import SIX
from voipcluster.media.offload import Crossing
from voipcluster.media.passage import FIRST_PAUSE
from voipcluster.media.target import Address
from voipcluster.net.nft.counters import CounterReading
from voipcluster.net.nft.elements import stream_key
from voipcluster.net.nft.table import LIFETIME, NftTable
from voipcluster.net.rtp import RtpPort
from voipcluster.services.media.kernel import FIRST_LOOK, PERIOD, TOGETHER, KernelRelay
from voipcluster.services.media.kernel_line import Handed, KernelLine

NAME = "voipcluster_x"


def crossings(number: int) -> tuple[Crossing, Crossing]:
    """Both directions of the line whose relay ports begin with that number."""
    near, far = Address("192.0.2.1", number), Address("192.0.2.1", number + 2)
    alice, bob = Address("198.51.100.7", 4000), Address("203.0.113.9", 5000)
    return Crossing(alice, near, far, bob), Crossing(bob, far, near, alice)


def ignore(port: RtpPort, datagram: bytes, source: Address) -> None:
    raise AssertionError("nothing arrives")


class KernelRelayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.nftables, self.readers = Clock(), FakeNftables(), FakeReaders()
        self.warnings: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)
        self.relay = self.started()

    def observe(self, event: dict[str, Any]) -> None:
        if event.get("log_namespace", "").endswith("KernelRelay"):
            self.warnings.append(event["text"])

    def started(self) -> KernelRelay:
        self.table = NftTable(NAME, 0x52, 1000, self.nftables.connect, self.nftables.fill)
        self.table.open()
        self.reading: Any = CounterReading(NAME, self.readers, self.clock.seconds, self.nftables.connect)
        return KernelRelay(self.clock, self.table, self.reading, frozenset({4}))

    def tearDown(self) -> None:
        self.relay.close()
        self.assertEqual((self.readers.readers, self.nftables.sockets), ([], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def handed(self, number: int = 30000) -> tuple[Handed, ...]:
        return tuple(Handed(one, RtpPort(FakeSocket(*one.entry), ignore)) for one in crossings(number))

    def line(self, number: int = 30000) -> KernelLine:
        line = self.relay.line("call tag")
        line.update(self.handed(number))
        return line

    def turn(self, seconds: float = PERIOD) -> None:
        """Let time pass, and the reactor read what the kernel says."""
        self.clock.advance(seconds)
        for _ in range(50):
            for reader in list(self.readers.readers):
                reader.doRead()

    def traffic(self, taken: int, left: int | None = None) -> None:
        """So many packets of 200 octets in each stream, of which so many get out."""
        self.nftables.packet(NAME, "stream4", taken, 200 * taken)
        self.nftables.packet(NAME, "sport", taken if left is None else left)

    def relayed(self) -> list[Crossing]:
        return [one.crossing for one in self.table.relayed()]

    def test_handed_over_and_taken_back(self) -> None:
        """Both directions in one transaction, and out again; the call's name stands beside them."""
        before = self.nftables.generation
        line = self.line()
        self.assertEqual(self.nftables.generation, before + 1)
        self.assertEqual(self.relayed(), list(crossings(30000)))
        self.assertEqual({one.label for one in self.table.relayed()}, {"call tag"})
        self.assertEqual(len(self.relay), 1)
        line.update(line.handed)
        self.assertEqual(self.nftables.generation, before + 1)
        line.update(())
        line.update(())
        self.assertEqual((self.relayed(), len(self.relay)), ([], 0))
        self.turn()

    def test_taken_back_when_a_stream_has_run_out(self) -> None:
        """What is left of it does not stand in the way of the next line at the same ports."""
        line = self.line()
        self.nftables.tables[NAME].maps["stream4"].clear()
        line.update(())
        self.assertEqual(set(self.nftables.tables[NAME].maps["sport"]), set())
        self.line()
        self.assertEqual(self.relayed(), list(crossings(30000)))
        self.assertEqual(self.warnings, [])

    def test_counts(self) -> None:
        """What the kernel relayed is counted at the port that it came to, without headers of IP and UDP."""
        line = self.line()
        self.traffic(10)
        self.turn(FIRST_LOOK)
        port = line.handed[0].port
        self.assertEqual((port.packets, port.octets), (10, 10 * 172))
        self.assertEqual(self.relay.packets, 20)
        self.traffic(100)
        self.turn()
        self.assertEqual(port.packets, 110)
        self.assertAlmostEqual(self.relay.rate, 200 / PERIOD)

    def test_last_counts(self) -> None:
        """What came between the last look and the end is counted too."""
        line = self.line()
        ports = [one.port for one in line.handed]
        self.traffic(10)
        self.turn()
        self.traffic(7)
        line.update(())
        self.assertEqual([port.packets for port in ports], [17, 17])
        self.assertEqual(self.relay.packets, 34)
        self.turn()
        self.assertEqual(self.relay.rate, 0.0)

    def test_on_demand(self) -> None:
        """Who asks is told when the next reading has ended."""
        line = self.line()
        self.traffic(10)
        done = self.relay.counted()
        self.assertNoResult(done)
        self.turn(0)
        self.successResultOf(done)
        self.assertEqual(line.handed[0].port.packets, 10)

    def test_moved(self) -> None:
        """Other addresses replace the former ones in one transaction."""
        line = self.line()
        before = self.nftables.generation
        first, _ = line.handed
        moved = tuple(
            Handed(one, handed.port)
            for one, handed in zip(
                (first.crossing._replace(source=Address("198.51.100.8", 9)), line.handed[1].crossing), line.handed, strict=True
            )
        )  # fmt: skip
        line.update(moved)
        self.assertEqual(self.nftables.generation, before + 1)
        self.assertEqual(set(self.relayed()), {one.crossing for one in moved})

    def test_ip_version_that_is_not_forwarded(self) -> None:
        """Its lines stay with the sockets."""
        line = self.relay.line("call tag")
        line.update((Handed(SIX, RtpPort(FakeSocket(*SIX.entry), ignore)),))
        self.assertEqual((line.handed, self.relayed()), ((), []))

    def test_nothing_gets_out(self) -> None:
        """A foreign firewall drops what is forwarded: all goes back to the sockets, soon, and one warning says why."""
        first, second = self.line(), self.line(30004)
        handed = first.handed
        self.traffic(15, 0)
        self.turn(FIRST_LOOK)
        self.assertEqual((first.handed, second.handed, self.relayed()), ((), (), []))
        self.assertEqual(len(self.warnings), 1)
        self.assertIn("policy drop", self.relay.trouble)
        third = self.line(30008)
        self.assertEqual(third.handed, ())
        self.turn(FIRST_PAUSE)
        self.assertEqual(self.relay.trouble, "")
        first.update(handed)
        self.assertEqual(first.handed, handed)

    def test_one_line_does_not_get_out(self) -> None:
        """Only it goes back, and it is not tried again as long as its addresses are the same."""
        good, bad = self.line(), self.line(30004)
        self.traffic(10)
        self.turn()
        handed = bad.handed
        self.traffic(50, 0)
        for one in crossings(30000):
            key = next(
                key
                for key, e in self.nftables.tables[NAME].maps["sport"].items()
                if int.from_bytes(key, "little") & 0xFFFF == one.entry.port
            )
            sport = self.nftables.tables[NAME].maps["sport"]
            sport[key] = sport[key]._replace(packets=sport[key].packets + 50)
        self.turn()
        self.assertEqual((len(good.handed), bad.handed), (2, ()))
        bad.update(handed)
        self.assertEqual(bad.handed, ())
        bad.update(self.handed(30004))
        self.assertEqual(len(bad.handed), 2)

    def test_refreshed(self) -> None:
        """While a line lives, the kernel is told so; its counts go on."""
        line = self.line()
        self.traffic(10)
        self.turn()
        before = self.nftables.generation
        self.turn(LIFETIME / 3)
        self.turn()
        self.assertGreater(self.nftables.generation, before)
        self.assertEqual([one.packets for one in self.table.relayed()], [10, 10])
        self.traffic(5)
        self.turn()
        self.turn()
        self.assertEqual(line.handed[0].port.packets, 15)

    def test_many_streams(self) -> None:
        """Where reading takes long, what has left is read each third time, and readings are farther apart."""
        line = self.line()
        self.traffic(10)
        self.turn()
        asked: list[list[str]] = []
        read = self.reading.read

        def long_reading(maps: list[str]) -> Any:
            asked.append(maps)
            done = read(maps)
            self.reading.spent = 0.05
            return done

        self.reading.read = long_reading
        for _ in range(6):
            self.traffic(100)
            self.turn(10.0)
            self.reading.spent = 0.05
        self.assertEqual(
            ["sport" in maps for maps in asked].count(True), 3, "and the first one, before it took long"
        )
        self.assertEqual((line.handed[0].port.packets, len(line.handed)), (610, 2))

    def test_ruleset_is_flushed(self) -> None:
        """Another program sweeps everything away: the table is made anew, with all lines, and one warning says so."""
        line, other = self.line(), self.line(30004)
        self.traffic(10)
        self.turn()
        self.nftables.tables.clear()
        self.turn()
        self.assertEqual(len(self.relayed()), 4)
        self.traffic(10)
        self.turn()
        self.turn()
        self.assertEqual((line.handed[0].port.packets, other.handed[1].port.packets), (20, 20))
        self.nftables.tables.clear()
        self.turn()
        self.assertEqual(len(self.relayed()), 4)
        self.assertEqual(len(self.warnings), 1)

    def test_flushed_before_a_line_changes(self) -> None:
        """So it is when the next line comes, or one ends, before anybody has looked."""
        line = self.line()
        self.nftables.tables.clear()
        other = self.line(30004)
        self.assertEqual(len(self.relayed()), 4)
        self.nftables.tables.clear()
        line.update(())
        self.assertEqual((line.handed, len(other.handed)), ((), 2))
        self.turn()
        self.assertEqual(set(self.relayed()), set(crossings(30004)))

    def test_an_element_is_deleted(self) -> None:
        """A part that is missing is put back, and the rest stays."""
        self.line()
        self.traffic(10)
        self.turn()
        self.nftables.tables[NAME].maps["daddr4"].popitem()
        self.nftables.tables[NAME].maps["stream4"].popitem()
        self.turn()
        self.turn()
        self.assertEqual(set(self.relayed()), set(crossings(30000)))

    def test_a_reading_that_hides_an_element(self) -> None:
        """When calls end while the maps are read, others are not shown: that is no damage, and is counted the next time."""
        line = self.line()
        self.line(30004)
        self.traffic(10)
        self.turn()
        before = self.nftables.generation
        self.traffic(5)
        for hidden in (line, None, line):
            self.nftables.hidden = set() if hidden is None else {stream_key(hidden.handed[0].crossing)}
            self.turn()
        self.assertEqual((self.warnings, self.nftables.generation), ([], before))
        self.nftables.hidden.clear()
        self.turn()
        self.assertEqual(line.handed[0].port.packets, 15)

    def test_no_table_any_more(self) -> None:
        """When it cannot be made anew all lines go back to the sockets, and the reason is kept."""
        line = self.line()
        self.nftables.tables.clear()
        self.nftables.fill = lambda commands: (_ for _ in ()).throw(OSError(0, "no such thing"))
        self.table._fill = self.nftables.fill
        self.turn()
        self.assertEqual((line.handed, len(self.relay)), ((), 0))
        self.assertIn("no such thing", self.relay.trouble)
        self.assertEqual(self.line(30004).handed, ())
        line.update(())

    def test_restarted(self) -> None:
        """The next process finds what was left, takes up what it knows without a gap, and ends the rest."""
        self.line()
        self.line(30004)
        self.traffic(10)
        self.relay.close(keep=True)
        self.relay = self.started()
        self.assertEqual({one.label for one in self.relay.unclaimed()}, {"call tag"})
        self.assertEqual(len(self.relay.unclaimed()), 4)
        before = self.nftables.generation
        handed = self.handed()
        handed[0].port.packets, handed[0].port.octets = 8, 8 * 172  # of the journal
        line = self.relay.line("call tag")
        line.update(handed)
        self.assertEqual(self.nftables.generation, before)
        self.assertEqual(self.relay.discard_unclaimed(), 2)
        self.assertEqual(self.relayed(), list(crossings(30000)))
        self.turn()
        self.assertEqual([(port.packets, port.octets) for _, port in handed], [(10, 1720), (10, 1720)])
        self.traffic(5)
        line.update(())
        self.assertEqual([port.packets for _, port in handed], [15, 15])
        self.turn()

    def test_much_that_nobody_takes_up(self) -> None:
        """It is deleted together, and when something of it is not there any more the rest is deleted all the same."""
        for number in range(30000, 30000 + 4 * TOGETHER, 4):
            self.line(number)
        self.relay.close(keep=True)
        self.relay = self.started()
        before = self.nftables.generation
        self.nftables.tables[NAME].maps["stream4"].popitem()
        self.assertEqual(self.relay.discard_unclaimed(), 2 * TOGETHER)
        self.assertEqual(self.relayed(), [])
        self.assertEqual(self.nftables.generation, before + 1 + TOGETHER - 1 + 4, "four of one map by map")
        self.assertEqual(self.warnings, [])

    def test_taken_up_before_it_ends(self) -> None:
        """What an earlier process handed over long ago is refreshed soon, for its time in the kernel went on."""
        self.line()
        self.traffic(10)
        self.relay.close(keep=True)
        for expires, refreshed in ((LIFETIME - 60, False), (LIFETIME / 4, True)):
            self.table.open()
            self.table.found = [evolve(one, expires=expires) for one in self.table.found]
            self.reading = CounterReading(NAME, self.readers, self.clock.seconds, self.nftables.connect)
            self.relay = KernelRelay(self.clock, self.table, self.reading, frozenset({4}))
            self.relay.line("call tag").update(self.handed())
            before = self.nftables.generation
            self.turn()
            self.assertEqual(self.nftables.generation > before, refreshed)
            self.assertEqual([one.packets for one in self.table.relayed()], [10, 10])
            self.relay.close(keep=True)

    def test_restarted_with_another_call(self) -> None:
        """What carries another call's name is not taken up, but replaced."""
        self.line()
        self.traffic(10)
        self.relay.close(keep=True)
        self.relay = self.started()
        line = self.relay.line("other tag")
        line.update(self.handed())
        self.assertEqual([one.label for one in self.table.relayed()], ["other tag", "other tag"])
        self.assertEqual((self.relay.discard_unclaimed(), len(self.relayed())), (0, 2))
        self.turn()
        self.assertEqual(line.handed[0].port.packets, 0)

    def test_restarted_behind_a_phone_that_moved(self) -> None:
        """What the journal did not hear of any more is replaced, as it cannot stand beside what it says."""
        self.line()
        self.relay.close(keep=True)
        self.relay = self.started()
        before = Address("198.51.100.7", 4444)
        there, back = self.handed()
        handed = (
            there._replace(crossing=there.crossing._replace(source=before)),
            back._replace(crossing=back.crossing._replace(target=before)),
        )
        line = self.relay.line("call tag")
        line.update(handed)
        self.assertEqual(self.relayed(), [one.crossing for one in handed])
        self.assertEqual((line.handed, self.relay.discard_unclaimed(), self.warnings), (handed, 0, []))

    def test_refused(self) -> None:
        """A line that nftables does not take stays with the sockets, and one warning says so."""
        self.nftables.tables[NAME].maps["dport"] = {}
        self.line()
        table: FakeTable = self.nftables.tables[NAME]
        key = next(iter(table.maps["dport"]))
        port = table.maps["dport"][key]
        other = self.relay.line("call tag")
        other.update(
            tuple(Handed(one._replace(target=Address("203.0.113.9", 7)), p) for one, p in self.handed())
        )
        self.assertEqual(other.handed, ())
        self.assertEqual(table.maps["dport"][key], port)
        self.assertEqual(len(self.warnings), 1)

    def test_end(self) -> None:
        """Nothing is left, and who waits for counts is not left waiting."""
        line = self.line()
        done = self.relay.counted()
        self.relay.close()
        self.successResultOf(done)
        self.assertEqual(self.nftables.tables, {})
        line.update(())
        self.successResultOf(self.relay.counted())
        self.relay = self.started()
