"""The URL of the shared database; the database itself is in the integration tests, with a real server."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.store.shared import database_url


class UrlTests(SynchronousTestCase):
    def test_with_a_password(self) -> None:
        """It is in the URL that the driver gets, and in no text of it."""
        url = database_url("postgresql://voip@db.example.com:5433/calls", "s3cret")
        self.assertEqual((url.drivername, url.password, url.port), ("postgresql+psycopg", "s3cret", 5433))
        self.assertNotIn("s3cret", str(url))

    def test_over_a_socket(self) -> None:
        url = database_url("postgresql:///calls?host=/run/postgresql", "")
        self.assertEqual((url.database, url.host, url.query["host"]), ("calls", None, "/run/postgresql"))

    def test_bad_ones(self) -> None:
        """One line, without the password that somebody put there."""
        for bad in ("mysql://a@b/c", "postgresql://a@b", "postgresql://a:s3cret@b/c", "://", "x"):
            error = str(self.assertRaises(UsageError, database_url, bad, ""))
            self.assertNotIn("\n", error)
            self.assertNotIn("s3cret", error)
