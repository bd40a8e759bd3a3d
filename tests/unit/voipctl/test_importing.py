"""C{voipctl import}: what is read, what is refused, and that nothing is changed by half."""

from __future__ import annotations

import argparse
import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.services.admin import MAX_REQUEST
from voipcluster.voipctl import importing

MD5 = hashlib.md5(b"alice:example.com:s3cret").hexdigest()
SHA_256 = hashlib.sha256(b"alice:example.com:s3cret").hexdigest()


class Node:
    """Takes users; refuses C{bad} ones, or everything after C{breaks} requests that change something."""

    def __init__(self) -> None:
        self.users: dict[tuple[str, str], tuple[str, str]] = {}
        self.asked: list[tuple[bool, list[Any]]] = []
        self.bad = ""
        self.breaks = 10**9

    def ask(self, command: str, **given: Any) -> Any:
        assert command == "user-import"
        self.asked.append((given["dry"], given["users"]))
        for name, domain, *_ in given["users"]:
            if name == self.bad:
                raise UsageError(f"{self.bad} is no user name")
            if domain == "other.org":
                raise UsageError("other.org is not a domain of this cluster; cluster.domain is a.b")
            if name == "there":
                raise UsageError(f"user there@{domain} exists already, with another password")
        if sum(1 for dry, _ in self.asked if not dry) > self.breaks:
            raise UsageError("the node stops")
        if not given["dry"]:
            self.users.update({(name, domain): (md5, sha) for name, domain, md5, sha in given["users"]})
        return {"added": len(given["users"]), "replaced": 0, "same": 0}


class ImportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = Node()

    def file(self, text: str) -> str:
        path = Path(self.mktemp())
        path.write_text(text, "utf-8")
        return str(path)

    def run_import(self, source: str, *more: str) -> str:
        parser = argparse.ArgumentParser()
        importing.add_arguments(parser)
        return importing.run(self.node, parser.parse_args(["kamailio", "--subscriber", source, *more]))

    def refusal(self, text: str) -> str:
        source = self.file(text)
        error = str(self.assertRaises(UsageError, self.run_import, source))
        self.assertEqual((self.node.users, len(error.splitlines())), ({}, 1))
        return error.replace(source, "FILE")

    def test_passwords_and_digests(self) -> None:
        """A password becomes both digests; of a digest there is MD5 only, and that is told."""
        told = self.run_import(
            self.file(
                f"id,username,domain,password,ha1\n1,alice,Example.com,s3cret,\n2,bob,example.com,,{MD5.upper()}\n"
            )
        )
        self.assertEqual(
            self.node.users, {("alice", "example.com"): (MD5, SHA_256), ("bob", "example.com"): (MD5, "")}
        )
        self.assertIn("2 users: 2 added", told)
        self.assertIn("1 of them has a digest for MD5 only", told)

    def test_a_digest_by_sha_256(self) -> None:
        """It is told apart by its length, and its user needs no more."""
        told = self.run_import(self.file(f"username,domain,ha1\nalice,example.com,{SHA_256.upper()}\n"))
        self.assertEqual((self.node.users, told.count("\n")), ({("alice", "example.com"): ("", SHA_256)}, 0))

    def test_columns_that_are_no_texts(self) -> None:
        """Numbers as user names, and octets as digests."""
        path = self.mktemp()
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE subscriber (username INTEGER, domain TEXT, ha1 BLOB)")
            connection.execute("INSERT INTO subscriber VALUES (4711, 'example.com', ?)", (MD5.encode(),))
        connection.close()
        self.run_import(f"sqlite:///{path}")
        self.assertEqual(self.node.users, {("4711", "example.com"): (MD5, "")})

    def test_other_domains(self) -> None:
        """Who is left out with --domain is named, with his line; of many there are the first ones."""
        rows = f"alice,example.com,{MD5}\nbob,Example.com,{MD5}\nharry,10.0.0.5,{MD5}\n"
        told = self.run_import(self.file(f"username,domain,ha1\n{rows}"), "--domain", "example.com")
        self.assertEqual(told.splitlines()[-1], "1 of another domain left out: harry@10.0.0.5 (line 4)")
        self.assertEqual(len(self.node.users), 2)
        more = "".join(f"u{n},{n}.org,{MD5}\n" for n in range(9))
        told = self.run_import(self.file(f"username,domain,ha1\n{rows}{more}"), "--domain", "10.0.0.5")
        self.assertTrue(told.startswith("1 user: 1 added"), told)
        self.assertIn("1 of them has a digest for MD5 only", told)
        self.assertIn("11 of other domains left out: alice@example.com (line 2), ", told)
        self.assertTrue(told.endswith("u2@2.org (line 7), 6 more"), told)
        self.assertNotIn("left out", self.run_import(self.file(f"username,domain,ha1\n{rows}")))

    def test_what_mysql_prints(self) -> None:
        """Tabs, and a mark in front as some programs write it."""
        self.run_import(self.file(f"\ufeffusername\tdomain\tha1\nalice\ta.b\t{MD5}\n\n"))
        self.assertEqual(list(self.node.users), [("alice", "a.b")])

    def test_a_database(self) -> None:
        path = self.mktemp()
        with sqlite3.connect(path) as connection:
            connection.execute(
                "CREATE TABLE subscriber (id INTEGER, username TEXT, domain TEXT, ha1 TEXT, ha1b TEXT)"
            )
            connection.execute("INSERT INTO subscriber VALUES (1, 'alice', 'example.com', ?, 'x')", (MD5,))
        connection.close()
        self.run_import(f"sqlite:///{path}")
        with sqlite3.connect(path) as connection:
            connection.execute("INSERT INTO subscriber VALUES (2, 'harry', '10.0.0.5', ?, 'x')", (MD5,))
        connection.close()
        told = self.run_import(f"sqlite:///{path}", "--domain", "example.com")
        self.assertIn("1 of another domain left out: harry@10.0.0.5 (row 2)", told)
        self.assertEqual(self.node.users, {("alice", "example.com"): (MD5, "")})
        for bad, words in (
            (f"sqlite:///{self.mktemp()}", "no table subscriber"),
            ("nonsense://u:s3cret@h/d", "nonsense"),
            ("mysql+nodriver://u:s3cret@h/d", "mysql"),
        ):
            error = str(self.assertRaises(UsageError, self.run_import, bad))
            self.assertIn(words, error)
            self.assertNotIn("s3cret", error)
            self.assertEqual(len(error.splitlines()), 1)

    def test_bad_files(self) -> None:
        """The first mistake, with its line."""
        for text, words in (
            ("", "FILE:1: names no column domain, username"),
            ("username,domain\na,b\n", "FILE:1: names no column ha1 or password"),
            (f"username,domain,ha1\nalice,a.b,{MD5}\nbob,a.b\n", "FILE:3: 2 values, but 3 columns"),
            ("username,domain,ha1\nalice,a.b,xyz\n", "FILE:2: alice@a.b has no password"),
            (f"username,domain,ha1\n,a.b,{MD5}\n", "FILE:2: no username"),
            (
                f"username,domain,ha1\nal,a.b,{MD5}\nal,A.B,{MD5}\n",
                "FILE:3: al@a.b is there twice, first at FILE:2",
            ),
            ("username,domain,ha1\n", "FILE: no users"),
        ):
            self.assertIn(words, self.refusal(text))
        self.assertIn("No such file", str(self.assertRaises(UsageError, self.run_import, self.mktemp())))

    def test_nothing_by_half(self) -> None:
        """A user whom the node refuses is found before anybody is added."""
        rows = "".join(f"u{n},a.b,{MD5}\n" for n in range(200))
        self.node.bad = "u150"
        self.assertIn("u150", self.refusal("username,domain,ha1\n" + rows))
        self.assertTrue(all(dry for dry, _ in self.node.asked))

    def test_what_the_node_refuses(self) -> None:
        """With file and line, too; and what to do about users of another domain."""
        head = "username,domain,ha1\n"
        self.assertEqual(
            self.refusal(f"{head}u1,a.b,{MD5}\nu2,Other.org,{MD5}\nu3,other.org,{MD5}\n"),
            "FILE:3: other.org is not a domain of this cluster; cluster.domain is a.b; "
            "--domain DOMAIN takes only the users of one",
        )
        self.assertEqual(
            self.refusal(f"{head}u1,a.b,{MD5}\nthere,a.b,{MD5}\n"),
            "FILE:3: user there@a.b exists already, with another password",
        )

    def test_told_where_it_broke_off(self) -> None:
        rows = "".join(f"u{n},a.b,{MD5}\n" for n in range(100))
        self.node.breaks = 1
        error = str(self.assertRaises(UsageError, self.run_import, self.file("username,domain,ha1\n" + rows)))
        self.assertIn(f"{importing.MOST_AT_ONCE} users were imported", error)

    def test_requests_are_bounded(self) -> None:
        """Long names do not make a request longer than the admin socket takes."""
        name, domain = 120 * "\u00fc", 200 * "d"
        rows = "".join(f"{name}{n},{domain}.example,s3cret\n" for n in range(100))
        self.run_import(self.file("username,domain,password\n" + rows))
        self.assertEqual(len(self.node.users), 100)
        for _, users in self.node.asked:
            self.assertLess(len(json.dumps(users)), MAX_REQUEST - 200)

    def test_dry_run_and_one_domain(self) -> None:
        source = self.file(f"username,domain,ha1\nalice,a.b,{MD5}\nbob,c.d,{MD5}\n")
        self.assertIn("nothing was changed", self.run_import(source, "--dry-run"))
        self.assertEqual(self.node.users, {})
        self.run_import(source, "--domain", "c.d")
        self.assertEqual(list(self.node.users), [("bob", "c.d")])
        self.assertRaises(UsageError, self.run_import, source, "--domain", "e.f")
