"""Secrets in files, as the keeping of records needs them."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.services.node.record_keeping import secret_of


class SecretTests(SynchronousTestCase):
    def file(self, content: bytes, mode: int = 0o600) -> str:
        path = Path(self.mktemp())
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)

    def test_read(self) -> None:
        self.assertEqual(secret_of(self.file(b"s3cret\n")), b"s3cret")
        self.assertEqual(secret_of(""), b"")

    def test_troubles(self) -> None:
        """One line that names the file and what to do, and nothing of what is in it."""
        for name, words in (
            (self.file(b"s3cret", 0o644), "chmod 600"),
            (self.file(b" \n"), "empty"),
            (str(Path(self.mktemp())), "No such file"),
        ):
            error = str(self.assertRaises(UsageError, secret_of, name))
            self.assertIn(name, error)
            self.assertIn(words, error)
            self.assertNotIn("s3cret", error)
