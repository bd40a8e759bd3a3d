"""Which path is taken, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.media.fakes import FakeReaders
from tests.unit.net.nft.fakes import FakeNftables
from tests.unit.services.media.media_case import CALL
from voipcluster.errors import UsageError
from voipcluster.net.nft.probe import Opened
from voipcluster.net.nft.table import KernelUnavailable, NftTable
from voipcluster.services.media.kernel_path import IKernel, NoKernel, Path, PathSettings, choose_path

SETTINGS = PathSettings(relay="auto", hosts=["192.0.2.1", "2001:db8::1"], first_port=30000, pairs=10)


class FakeKernel:
    """Opens a table in memory; with a reason only IPv4 can be relayed."""

    def __init__(self, nftables: FakeNftables, reason: str = "") -> None:
        self._nftables, self._reason = nftables, reason
        self.asked: list[tuple[Sequence[str], int, int, int]] = []
        self.swept: list[tuple[Sequence[str], int]] = []

    def open(self, hosts: Sequence[str], first_port: int, size: int, prefix: int) -> Opened:
        self.asked.append((hosts, first_port, size, prefix))
        table = NftTable("voipcluster_x", prefix, size, self._nftables.connect, self._nftables.fill)
        table.open()
        return Opened(table, frozenset({4}) if self._reason else frozenset({4, 6}), self._reason)

    def sweep(self, hosts: Sequence[str], first_port: int) -> None:
        self.swept.append((hosts, first_port))


class ChoiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.nftables, self.readers = FakeNftables(), FakeReaders()
        self.half = FakeKernel(self.nftables, "net.ipv6.conf.all.forwarding is 0")
        self.events: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: dict[str, object]) -> None:
        if event.get("log_namespace") == "voipcluster.services.media.kernel_path":
            self.events.append(str(event["log_format"]).format(**event))

    def choose(self, relay: str = "auto", kernel: IKernel | None = None) -> Path:
        settings = evolve(SETTINGS, relay=relay)
        self.machine = FakeKernel(self.nftables)
        return choose_path(settings, Clock(), self.readers, kernel or self.machine)

    def test_kernel(self) -> None:
        """The kernel is asked once, for as many elements as ports can make, and one line says so."""
        path = self.choose()
        assert path.kernel is not None
        self.addCleanup(path.kernel.close)
        self.assertEqual(self.machine.asked, [(["192.0.2.1", "2001:db8::1"], 30000, 104, 0x52)])
        self.assertEqual(path.reason, "")
        self.assertEqual(self.events, ["media is relayed in the kernel, by the nftables table voipcluster_x"])
        line = path.line_maker(CALL)()
        assert line is not None
        self.assertEqual(line.label, "c1@example.com tag-a")

    def test_falls_back(self) -> None:
        """Auto: one line says why the kernel does not relay, and the reason is kept."""
        path = self.choose(kernel=NoKernel())
        self.assertEqual(path, Path(None, "there is no kernel here"))
        self.assertEqual(self.events, ["media is relayed in user space: there is no kernel here"])
        self.assertIsNone(path.line_maker(CALL)())

    def test_kernel_or_nothing(self) -> None:
        """Who asks for the kernel gets it, or one line that says why not."""
        with self.assertRaises(UsageError) as caught:
            self.choose("kernel", NoKernel())
        text = 'media.relay is "kernel", but the kernel cannot relay: there is no kernel here'
        self.assertEqual(str(caught.exception), text)

    def test_one_ip_version(self) -> None:
        """Auto takes what there is; who asks for the kernel gets all of it, or is told what is missing."""
        path = self.choose(kernel=self.half)
        assert path.kernel is not None
        self.assertEqual(path.reason, "net.ipv6.conf.all.forwarding is 0")
        self.assertEqual(len(self.events), 2)
        path.kernel.close()
        with self.assertRaisesRegex(UsageError, "forwarding is 0"):
            self.choose("kernel", self.half)
        self.assertEqual((self.nftables.tables, self.nftables.sockets), ({}, []))

    def test_not_asked_for(self) -> None:
        """User space, and no relay at all, take nothing of the kernel, and leave nothing there."""
        for relay in ("userspace", "off"):
            self.assertEqual(self.choose(relay), Path())
            self.assertEqual(self.machine.asked, [])
            self.assertEqual(self.machine.swept, [(["192.0.2.1", "2001:db8::1"], 30000)])

    def test_error_class(self) -> None:
        """What makes the kernel impossible is the operator's to read."""
        self.assertTrue(issubclass(KernelUnavailable, UsageError))
