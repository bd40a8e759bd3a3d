"""What the kernel forwards; the trial packet itself is in tests/integration/test_nft.py."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.nft.fakes import FakeNftables
from voipcluster.net.nft import probe as nft_probe
from voipcluster.net.nft.probe import Kernel, not_forwarded
from voipcluster.net.nft.table import KernelUnavailable, NftTable, table_name


class ForwardingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.four, self.six = Path(self.mktemp()), Path(self.mktemp())
        self.patch(
            nft_probe,
            "FORWARDING",
            {4: ("net.ipv4.ip_forward", self.four), 6: ("net.ipv6.conf.all.forwarding", self.six)},
        )

    def test_forwarded(self) -> None:
        """The sysctl is on."""
        self.four.write_text("1\n")
        self.assertIsNone(not_forwarded(4))

    def test_not_forwarded(self) -> None:
        """The reason names the sysctl."""
        self.six.write_text("0\n")
        self.assertEqual(not_forwarded(6), "net.ipv6.conf.all.forwarding is 0")
        self.assertEqual(not_forwarded(4), "net.ipv4.ip_forward cannot be read (No such file or directory)")

    def test_nothing_is_forwarded(self) -> None:
        """Then no table is made, and what was left is removed; each reason is said once."""
        nftables = FakeNftables()
        kernel = Kernel(nftables.connect, nftables.fill)
        NftTable(table_name("192.0.2.1", 30000), 0x52, 100, nftables.connect, nftables.fill).open()
        nftables.sockets[0].close()
        self.four.write_text("0\n")
        with self.assertRaises(KernelUnavailable) as caught:
            kernel.open(["192.0.2.1", "192.0.2.2"], 30000, 100, 0x52)
        self.assertEqual(str(caught.exception), "net.ipv4.ip_forward is 0")
        self.assertEqual((nftables.tables, nftables.sockets), ({}, []))
