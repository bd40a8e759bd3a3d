"""Tables of other servers, read from a database."""

from __future__ import annotations

import sqlite3
import sys

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

    def hide(self, name: str) -> None:
        """As if it were not installed."""
        there = sys.modules.get(name)
        self.addCleanup(
            lambda: sys.modules.pop(name, None) if there is None else sys.modules.update({name: there})
        )
        sys.modules[name] = None

    def test_a_driver_that_is_missing(self) -> None:
        """The line names what installs it, for the Python that runs."""
        for scheme, package, module, extra in (
            ("mysql", "PyMySQL", "pymysql", "mysql"),
            ("mariadb+pymysql", "PyMySQL", "pymysql", "mysql"),
            ("postgresql", "psycopg", "psycopg", "postgresql"),
        ):
            self.hide(module)
            error = str(self.assertRaises(UsageError, self.read, f"{scheme}://u:s3cret@h/d"))
            remedy = f"{sys.executable} -m pip install 'voipcluster[{extra}]'"
            self.assertEqual(
                error, f"--things: {scheme}:// needs {package}, which is not installed: {remedy}"
            )

    def test_another_driver_that_is_missing(self) -> None:
        error = str(self.assertRaises(UsageError, self.read, "mysql+nosuch://u:s3cret@h/d"))
        self.assertTrue(error.startswith("--things: mysql+nosuch://: "), error)
        self.assertNotIn("s3cret", error)

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

    def test_an_at_sign_in_a_password(self) -> None:
        """What is behind it is no host, and not shown as one."""
        for url in (
            "mysql://u:pa@s3cret@h/d",
            "mysql://u:pa@s3cret:w0rd@h/d",
            "postgresql://u:s3cret/@s3cret@h/d?x=1",
            "sqlite://u:s3cret@@h/d",
        ):
            error = str(self.assertRaises(UsageError, self.read, url))
            self.assertIn("%40", error)
            self.assertTrue(error.startswith(f"--things: {url.partition(':')[0]}://: "), error)
            self.assertNotIn("s3cret", error)
            self.assertNotIn("w0rd", error)

    def test_a_port_that_is_none(self) -> None:
        error = str(self.assertRaises(UsageError, self.read, "mysql://u:s3cret@h:w0rd/d"))
        self.assertEqual(error, "--things: mysql://: the port is no number")

    def test_options_that_the_driver_does_not_take(self) -> None:
        """One line, whatever the driver raises, in which nothing of a file of passwords is, nor of the options."""
        files = {}
        for name, text in (
            ("headless", b"password = s3cret\n"),
            ("twice", b"[client]\npassword = s3cret\npassword = s3cret\n"),
            ("binary", b"[client]\npassword = s3cret\xff\n"),
        ):
            files[name] = self.mktemp()
            with open(files[name], "wb") as file:
                file.write(text)
        for query, text in (
            ("colour=red", "colour"),
            ("charset=nosuch", "mysql+pymysql://u:***@127.0.0.1:9/d: the driver does not take its options: "),
            ("connect_timeout=soon", "soon"),
            ("password=s3cret", "mysql+pymysql://u:***@127.0.0.1:9/d: "),
            (f"read_default_file={files['headless']}", f"{files['headless']}:1: not a file of options"),
            (f"read_default_file={files['twice']}", f"{files['twice']}:3: not a file of options"),
            (f"read_default_file={files['binary']}", "mysql+pymysql://u:***@127.0.0.1:9/d: "),
        ):
            error = str(self.assertRaises(UsageError, self.read, f"mysql://u:s3cret@127.0.0.1:9/d?{query}"))
            self.assertIn(text, error)
            self.assertNotIn("s3cret", error)
            self.assertEqual(len(error.splitlines()), 1, error)
