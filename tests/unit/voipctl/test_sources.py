"""Tables of other servers, read from a database."""

from __future__ import annotations

import sqlite3

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.voipctl.sources import rows_of_database


class SourceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()
        with sqlite3.connect(self.path) as connection:
            connection.execute("CREATE TABLE things (name TEXT, size INTEGER, more TEXT)")
            connection.execute("INSERT INTO things VALUES ('a', 1, NULL)")
        connection.close()

    def read(self, url: str = "", name: str = "things", needed: tuple[str, ...] = ("name",)) -> list[object]:
        return list(
            rows_of_database(
                url or f"sqlite:///{self.path}", "--things", name, needed, ("name", "more", "other")
            )
        )

    def test_rows(self) -> None:
        """The columns that are wanted and there; what is NULL is an empty text."""
        ((where, row),) = self.read()
        self.assertTrue(where.endswith("row 1"))
        self.assertEqual(row, {"name": "a", "more": ""})

    def test_what_is_wrong(self) -> None:
        """One line, in which no password is."""
        for given, text in (
            ({"name": "nothing"}, "there is no table nothing"),
            ({"needed": ("name", "shape")}, "table things has no column shape"),
            ({"url": "nosuch://u:s3cret@h/d"}, "--things: nosuch://"),
            ({"url": "sqlite:////nowhere/x"}, "unable to open"),
        ):
            error = str(self.assertRaises(UsageError, self.read, **given))
            self.assertIn(text, error)
            self.assertNotIn("s3cret", error)
            self.assertEqual(len(error.splitlines()), 1)
