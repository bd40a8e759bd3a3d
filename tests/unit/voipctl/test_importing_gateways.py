"""C{voipctl import --dispatcher}: gateways of another server."""

from __future__ import annotations

import argparse
import sqlite3
import tomllib
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import look_into
from voipcluster.errors import UsageError
from voipcluster.services.admin import MAX_REQUEST
from voipcluster.voipctl import importing

LIST = """
1 sip:192.0.2.1:5060 0 10 weight=50;duid=a;socket=udp:192.0.2.200:5060
1 sip:192.0.2.2;transport=tcp 36 5 maxload=30
2 sip:192.0.2.1:5060 0 0
"""


class Node:
    """Takes gateways and users, and refuses C{bad} ones."""

    def __init__(self) -> None:
        self.gateways: dict[str, Any] = {}
        self.users: list[Any] = []
        self.asked: list[tuple[str, bool]] = []
        self.bad = ""

    def ask(self, command: str, **given: Any) -> Any:
        self.asked.append((command, given["dry"]))
        rows = given.get("gateways", given.get("users"))
        assert len(repr(rows)) < MAX_REQUEST, "longer than a request may be"
        if any(row[0] == self.bad for row in rows):
            raise UsageError(f"gateway {self.bad} exists already, with other options")
        if not given["dry"]:
            if command == "gateway-import":
                self.gateways |= dict(rows)
            else:
                self.users += rows
        return {"added": len(rows), "replaced": 0, "same": 0}


class ImportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = Node()

    def file(self, text: str) -> str:
        path = Path(self.mktemp())
        path.write_text(text, "utf-8")
        return str(path)

    def run_import(self, *words: str) -> str:
        parser = argparse.ArgumentParser()
        importing.add_arguments(parser)
        return importing.run(self.node, parser.parse_args(["kamailio", *words]))

    def refusal(self, text: str, *more: str) -> str:
        source = self.file(text)
        error = str(self.assertRaises(UsageError, self.run_import, "--dispatcher", source, *more))
        self.assertEqual((self.node.gateways, self.node.users, len(error.splitlines())), ({}, [], 1))
        return error.replace(source, "FILE")

    def test_a_list(self) -> None:
        """A gateway for each server, whatever sets it is in; what the attributes say, and which of them say nothing here."""
        told = self.run_import("--dispatcher", self.file(LIST))
        self.assertEqual(
            self.node.gateways,
            {
                "a": {"servers": ["192.0.2.1:5060"], "transport": "udp", "enabled": True},
                "set1-192.0.2.2": {
                    "servers": ["192.0.2.2"], "transport": "tcp", "enabled": False, "channels": 30, "probe": 0,
                },
            },
        )  # fmt: skip
        self.assertIn("2 gateways: 2 added", told)
        self.assertIn("attributes that mean nothing here: socket", told)

    def test_routes(self) -> None:
        """They are proposed as the file has them: a set is a group, and what was tried first there is tried first here."""
        told = self.run_import("--dispatcher", self.file(LIST))
        routes = tomllib.loads(told[told.index("# set 1") :])["route"]
        self.assertEqual([route.keys() & {"prefix"} for route in routes], [set()] * 3)
        self.assertEqual(
            told.count('# prefix = "+49..."        fill in: of the numbers that set 1 is for'), 2
        )
        self.assertEqual(
            [(route["gateway"], route["priority"], route["weight"]) for route in routes],
            [("a", 0, 50), ("set1-192.0.2.2", 1, 1), ("a", 0, 1)],
        )

    def test_routes_need_a_prefix(self) -> None:
        """As they are proposed, a file with them has a mistake: nobody sends every number to a carrier unawares."""
        told = self.run_import("--dispatcher", self.file(LIST))
        path = self.file(told[told.index("# set 1") :])
        errors, _ = look_into(path, ["planned"])
        self.assertEqual([error.partition(": ")[2] for error in errors], ["route.prefix: is missing"] * 3)

    def test_sets_that_are_disabled(self) -> None:
        """Nothing is proposed for them, and that is said; all gateways are there, to be enabled."""
        told = self.run_import("--dispatcher", self.file(f"{LIST}3 sip:192.0.2.9 4\n3 sip:192.0.2.8 1\n"))
        self.assertIn("no routes for set 3: all destinations are disabled there", told)
        self.assertIn("# set 2", told)
        self.assertNotIn("# set 3", told)
        self.assertEqual(len(self.node.gateways), 4)
        told = self.run_import("--dispatcher", self.file("3 sip:192.0.2.9 4\n5 sip:192.0.2.8 1\n"))
        self.assertEqual(
            told.splitlines()[1:], ["no routes for sets 3, 5: all destinations are disabled there"]
        )

    def test_nothing_is_changed(self) -> None:
        """With --dry-run; and what is wrong with the gateways is said before a user is changed."""
        source = self.file(LIST)
        told = self.run_import("--dispatcher", source, "--dry-run")
        self.assertIn("nothing was changed", told)
        self.assertEqual((self.node.gateways, self.node.asked), ({}, [("gateway-import", True)]))
        users = self.file("username,domain,password\nal,a.b,pw\n")
        self.node.bad = "a"
        self.assertIn("gateway a exists", self.refusal(LIST, "--subscriber", users))
        self.node.bad = ""
        told = self.run_import("--dispatcher", source, "--subscriber", users)
        self.assertEqual((len(self.node.users), len(self.node.gateways)), (1, 2))
        self.assertIn("1 user: 1 added", told)

    def test_what_is_wrong(self) -> None:
        """One line with file and line."""
        for text, error in (
            ("1 sip:192.0.2.1\n1 tel:+49", "FILE:2: 'tel:+49' is no SIP URI"),
            ("# nothing\n", "FILE: no destinations"),
            (
                "1 sip:192.0.2.1 0 0 duid=a\n1 sip:192.0.2.2 0 0 duid=a",
                "FILE:2: a is the name of another destination already, at FILE:1",
            ),
        ):
            self.assertEqual(self.refusal(text), error)
        error = str(self.assertRaises(UsageError, self.run_import, "--dispatcher", "/nowhere/d.list"))
        self.assertEqual(error, "/nowhere/d.list: No such file or directory")
        self.assertIn("--dispatcher", str(self.assertRaises(UsageError, self.run_import)))

    def test_what_the_node_refuses(self) -> None:
        """With file and line, too, of the very gateway."""
        self.node.bad = "a"
        text = "1 sip:192.0.2.1 0 0 duid=a-b\n1 sip:192.0.2.2 0 0 duid=a\n"
        self.assertEqual(self.refusal(text), "FILE:2: gateway a exists already, with other options")

    def test_a_database(self) -> None:
        path = self.mktemp()
        with sqlite3.connect(path) as connection:
            connection.execute(
                "CREATE TABLE dispatcher "
                "(id INTEGER, setid INTEGER, destination TEXT, flags INTEGER, priority INTEGER, attrs TEXT)"
            )
            connection.execute("INSERT INTO dispatcher VALUES (1, 3, 'sip:gw.example.com', 8, 0, NULL)")
        self.run_import("--dispatcher", f"sqlite:///{path}")
        self.assertEqual(self.node.gateways["set3-gw.example.com"]["servers"], ["gw.example.com"])
        with sqlite3.connect(path) as connection:
            connection.execute("INSERT INTO dispatcher VALUES (2, 3, 'gw', 8, 0, '')")
        connection.close()
        self.node.gateways.clear()
        error = str(self.assertRaises(UsageError, self.run_import, "--dispatcher", f"sqlite:///{path}"))
        self.assertIn("row 2: 'gw' is no SIP URI", error)
        self.assertEqual(self.node.gateways, {})

    def test_very_many(self) -> None:
        """In requests that the node takes."""
        text = "".join(f"1 sip:host-{number}.{'x' * 60}.example.com\n" for number in range(300))
        self.run_import("--dispatcher", self.file(text))
        self.assertEqual(len(self.node.gateways), 300)
