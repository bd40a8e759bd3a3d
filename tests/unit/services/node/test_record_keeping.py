"""What the keeping of records needs of the configuration."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import Config, RecordsOptions
from voipcluster.errors import UsageError
from voipcluster.services.node.record_keeping import RecordKeeping


class RecordKeepingTests(SynchronousTestCase):
    def test_secret(self) -> None:
        """Nothing is signed with a key that is not there, or that others can read."""
        path = Path(self.mktemp())
        for words in ("No such file", "chmod 600"):
            records = RecordsOptions(webhook="http://192.0.2.9/", webhook_secret_file=str(path))
            node = SimpleNamespace(config=Config(records=records))
            error = self.assertRaises(UsageError, RecordKeeping, node, Clock(), None, None)
            self.assertIn(words, str(error))
            path.touch(0o644)
