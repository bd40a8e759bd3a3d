"""The relay's table: made, taken over, changed, and given up."""

from __future__ import annotations

import errno

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.nft.fakes import FakeNftables, FakeTable
from tests.unit.net.nft.test_elements import FOUR, SIX
from voipcluster.net.nft import wire
from voipcluster.net.nft.elements import Relayed
from voipcluster.net.nft.ruleset import VERSION
from voipcluster.net.nft.socket import NftError
from voipcluster.net.nft.table import KernelUnavailable, NftTable, table_name

NAME = table_name("192.0.2.1", 30000)


class NftTableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.nftables = FakeNftables()

    def table(self, name: str = NAME, prefix: int = 0x52) -> NftTable:
        return NftTable(name, prefix, 100, self.nftables.connect, self.nftables.fill)

    def opened(self, name: str = NAME, prefix: int = 0x52) -> NftTable:
        table = self.table(name, prefix)
        table.open()
        return table

    def refusal(self, table: NftTable) -> str:
        with self.assertRaises(KernelUnavailable) as caught:
            table.open()
        return str(caught.exception)

    def test_name(self) -> None:
        """Address and first port tell relays apart; nft takes letters, digits and underlines."""
        self.assertEqual(NAME, "voipcluster_192_0_2_1_30000")
        self.assertEqual(table_name("2001:DB8::1", 40000), "voipcluster_2001_db8__1_40000")

    def test_made(self) -> None:
        """It is this process's own, and says which marks it uses."""
        table = self.opened()
        made = self.nftables.tables[NAME]
        self.assertTrue(table.owned)
        self.assertEqual((made.flags, made.comment), (6, f"voipcluster {VERSION} marks 0x52000000"))
        self.assertEqual(len(self.nftables.sockets), 1)

    def test_older_kernel(self) -> None:
        """Where tables cannot outlive their owner, it has none."""
        self.nftables.persist = False
        table = self.opened()
        self.assertFalse(table.owned)
        self.assertEqual(self.nftables.tables[NAME].flags, 0)
        table.close()
        self.assertFalse(self.opened().owned)

    def test_several_nodes(self) -> None:
        """Each table has marks of its own."""
        bases = {self.opened(table_name(f"127.0.0.{n}", 30000)).base for n in range(1, 4)}
        self.assertEqual(bases, {0x52000000, 0x52010000, 0x52020000})

    def test_too_many_nodes(self) -> None:
        """Without free marks the kernel cannot relay."""
        for slot in range(256):
            self.nftables.tables[f"x{slot}"] = FakeTable(
                0, f"voipcluster {VERSION} marks 0x52{slot:02x}0000", maps={"m": {}}
            )
        self.assertIn("marks 0x52", self.refusal(self.table()))

    def test_at_the_same_time(self) -> None:
        """A node that chose the same marks a moment earlier is seen: the choice is made again."""

        def other() -> None:
            self.nftables.interfere = lambda: None
            self.opened(table_name("127.0.0.9", 30000))

        self.nftables.interfere = other
        self.assertEqual(self.opened().base, 0x52010000)

    def test_no_peace(self) -> None:
        """It gives up when others never stop."""

        def other() -> None:
            self.nftables.generation += 1

        self.nftables.interfere = other
        self.assertEqual(self.refusal(self.table()), "other programs keep changing nftables")
        self.assertEqual(self.nftables.sockets, [])

    def test_no_right(self) -> None:
        """The reason is a line for the operator, and nothing is left open."""
        self.nftables.denied = errno.EPERM
        self.assertEqual(self.refusal(self.table()), "no right to change nftables (CAP_NET_ADMIN)")
        self.nftables.denied = errno.EPROTONOSUPPORT
        self.assertIn("this kernel has no nftables", self.refusal(self.table()))
        self.nftables.denied = errno.ENOMEM
        self.assertIn("nftables refused", self.refusal(self.table()))
        self.assertEqual(self.nftables.sockets, [])

    def test_rules_are_refused(self) -> None:
        """What nft says is the reason."""

        def fill(commands: str) -> None:
            raise OSError(0, "Error: syntax error, unexpected map")

        table = NftTable(NAME, 0x52, 100, self.nftables.connect, fill)
        self.assertIn("syntax error", self.refusal(table))
        self.assertEqual(self.nftables.tables, {})

    def test_another_process_has_it(self) -> None:
        """Two processes never share a table."""
        self.opened()
        self.assertEqual(self.refusal(self.table()), f"another process has the nftables table {NAME}")

    def test_taken_over(self) -> None:
        """A process finds what the one before it handed over, with counters, and can end it."""
        first = self.opened()
        first.apply([(FOUR, "c tag"), (SIX, "c tag")])
        self.nftables.packet(NAME, "stream4", 10, 2000)
        first.close()
        second = self.opened()
        self.assertEqual((second.base, second.owned), (first.base, True))
        self.assertEqual(
            second.found, [Relayed(FOUR, "c tag", 10, 1720, 0.0), Relayed(SIX, "c tag", 0, 0, 0.0)]
        )
        self.assertEqual(second.apply([], [FOUR, SIX]), {FOUR: (10, 1720), SIX: (0, 0)})
        self.assertEqual(second.relayed(), [])

    def test_taken_over_with_strays(self) -> None:
        """What belongs to nothing is deleted."""
        first = self.opened()
        first.apply([(FOUR, "c tag")])
        first.close()
        self.nftables.tables[NAME].maps["daddr4"].clear()
        self.assertEqual(self.opened().found, [])
        self.assertTrue(all(not elements for elements in self.nftables.tables[NAME].maps.values()))

    def test_rules_of_another_version(self) -> None:
        """The table is made anew, with what was relayed."""
        first = self.opened()
        first.apply([(FOUR, "c tag")])
        first.close()
        self.nftables.tables[NAME].comment = "voipcluster 999 marks 0x52070000"
        second = self.opened()
        self.assertEqual(self.nftables.tables[NAME].comment, f"voipcluster {VERSION} marks 0x52000000")
        self.assertEqual([one.crossing for one in second.relayed()], [FOUR])

    def test_other_marks_are_configured(self) -> None:
        """So it is when C{media.marks} has changed."""
        self.opened().close()
        self.assertEqual(self.opened(prefix=0x10).base, 0x10000000)

    def test_half_made(self) -> None:
        """A table without rules, of a process that died while it made it, is made anew."""
        self.nftables.tables[NAME] = FakeTable(wire.PERSIST, f"voipcluster {VERSION} marks 0x52000000")
        self.opened()
        self.assertTrue(self.nftables.tables[NAME].maps)

    def test_orphans(self) -> None:
        """Tables of nodes that were killed and relay nothing are removed; those that relay, live, or are others' stay."""
        for at, relays in ((1, False), (2, True)):
            dead = self.opened(table_name(f"127.0.0.{at}", 30000))
            if relays:
                dead.apply([(FOUR, "c tag")])
            dead.close()
        self.opened(table_name("127.0.0.3", 30000))
        self.nftables.tables["firewall"] = FakeTable(maps={"m": {}})
        self.opened()
        self.assertEqual(
            sorted(self.nftables.tables),
            ["firewall", "voipcluster_127_0_0_2_30000", "voipcluster_127_0_0_3_30000", NAME],
        )

    def test_one_transaction(self) -> None:
        """A line is handed over as a whole, or not at all."""
        table = self.opened()
        generation = self.nftables.generation
        table.apply([(FOUR, "c tag"), (FOUR._replace(source=FOUR.target), "c tag")])
        self.assertEqual(self.nftables.generation, generation + 1)
        with self.assertRaises(NftError):
            table.apply([(SIX, "c tag")], [SIX])
        self.assertEqual(len(table.relayed()), 2)

    def test_begins_anew(self) -> None:
        """Removed and added in one transaction, the counter goes on from where it is told."""
        table = self.opened()
        table.apply([(FOUR, "c tag")])
        self.nftables.packet(NAME, "stream4", 10, 2000)
        self.assertEqual(table.apply([(FOUR, "c tag")], [FOUR], {FOUR: (9, 1548)}), {FOUR: (10, 1720)})
        (one,) = table.relayed()
        self.assertEqual((one.packets, one.octets), (9, 1548))

    def test_clear(self) -> None:
        """What is left of a direction whose stream has run out goes, map by map; nothing left is fine."""
        table = self.opened()
        table.apply([(FOUR, "c tag"), (SIX, "d tag")])
        self.nftables.tables[NAME].maps["stream4"].clear()
        with self.assertRaises(NftError):
            table.apply([], [FOUR])
        table.clear(FOUR)
        table.clear(FOUR)
        self.assertEqual([one.crossing for one in table.relayed()], [SIX])
        table.apply([(FOUR._replace(target=FOUR.source), "another")])

    def test_sweep(self) -> None:
        """What is left from an earlier process is removed, what a process has is not; not being allowed to is fine."""
        self.table().sweep()
        first = self.opened()
        first.apply([(FOUR, "c tag")])
        self.table().sweep()
        self.assertIn(NAME, self.nftables.tables)
        first.close()
        self.nftables.denied = errno.EPERM
        self.table().sweep()
        self.nftables.denied = 0
        self.assertIn(NAME, self.nftables.tables)
        self.table().sweep()
        self.assertEqual((self.nftables.tables, self.nftables.sockets), ({}, []))

    def test_remove(self) -> None:
        """The table goes; that it had gone already is fine."""
        table = self.opened()
        del self.nftables.tables[NAME]
        table.remove()
        table = self.opened()
        table.remove()
        self.assertEqual((self.nftables.tables, self.nftables.sockets), ({}, []))
