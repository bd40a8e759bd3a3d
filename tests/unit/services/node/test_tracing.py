"""Who looks on at the messages of a node, made from its configuration."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import Config
from voipcluster.errors import UsageError
from voipcluster.net.collector import TcpCollector, UdpCollector
from voipcluster.services.hep.export import HepExport
from voipcluster.services.node.tracing import hep_of


class HepTests(SynchronousTestCase):
    def made(self, **options: Any) -> HepExport | None:
        config = Config()
        node: Any = SimpleNamespace(
            config=evolve(config, hep=evolve(config.hep, **options)), core=SimpleNamespace(node="a")
        )
        tap: Any = None
        return hep_of(node, Clock(), tap, lambda: 0.0)

    def test_none(self) -> None:
        """Without a server there is nothing at all."""
        self.assertIsNone(self.made())

    def test_as_configured(self) -> None:
        """The transport that was asked for."""
        for transport, kind in (("udp", UdpCollector), ("tcp", TcpCollector)):
            made = self.made(server="192.0.2.7:9060", transport=transport)
            assert made is not None
            self.assertIsInstance(made.collector, kind)

    def test_a_key_that_others_can_read(self) -> None:
        """The node does not start, and says what to do."""
        path = Path(self.mktemp())
        path.write_text("s3cret")
        path.chmod(0o644)
        error = self.assertRaises(UsageError, self.made, server="192.0.2.7:9060", auth_key_file=str(path))
        self.assertIn("chmod 600", str(error))
        path.chmod(0o600)
        self.assertIsNotNone(self.made(server="192.0.2.7:9060", auth_key_file=str(path)))
