"""Answers as text and as JSON, and what is said beside them."""

from __future__ import annotations

import json

from tests.unit.fake_node import BINDING, CALL, GATEWAY, STATUS
from tests.unit.voipctl.cli_case import ALICE, CliCase


class ShowingTests(CliCase):
    def test_a_list_that_is_cut(self) -> None:
        """It says how many there are; as JSON it stays JSON, and that goes to standard error."""
        self.client.answers["status"] = {**STATUS, "registrations": 100_000}
        self.assertEqual(
            self.shown("registrations", "--limit", "1").splitlines()[-1],
            "... 1 of 100,000 registrations; --limit 0 shows all",
        )
        status, out, err = self.run_main("registrations", "--limit", "1", "--json")
        self.assertEqual((status, json.loads(out)), (0, [BINDING]))
        self.assertEqual(err, "... 1 of 100,000 registrations; --limit 0 shows all\n")
        self.assertEqual(self.run_main("registrations", "--limit", "-1")[0], 2)

    def test_calls_of_a_node_that_is_silent(self) -> None:
        """What is there is shown, as a table and as JSON; that something is missing is told, and is the exit status."""
        self.client.silent = ["b\x1b"]
        told = "voipctl: the calls of node b? are missing: node b? is not reachable\n"
        for argv in (("calls",), ("calls", "--json")):
            status, out, err = self.run_main(*argv)
            self.assertEqual((status, err), (1, told))
            self.assertIn(CALL["call_id"], out)
        self.client.answers["calls"] = []
        self.assertEqual(self.run_main("calls")[:2], (1, "there are no calls at the nodes that answered\n"))
        self.assertEqual(self.run_main("calls", "--json")[:2], (1, "[]\n"))

    def test_gateways_without_a_node_that_is_silent(self) -> None:
        """What the others count is shown, and who is missing is told."""
        self.client.answers["gateways"] = [{**GATEWAY, "silent": ["b"]}]
        self.client.answers["gateway-show"] = {**GATEWAY, "silent": ["b"]}
        told = "voipctl: what node b counts is missing: node b is not reachable\n"
        for argv in (("gateway", "list"), ("gateway", "show", "x"), ("gateway", "list", "--json")):
            status, out, err = self.run_main(*argv)
            self.assertEqual((status, err), (1, told))
            self.assertIn(GATEWAY["name"], out)

    def test_empty_lists(self) -> None:
        """In the place of a table without rows there are words; programs get an empty list."""
        for command, none in (
            ("calls", "there are no calls"),
            ("registrations", "there are no registrations"),
        ):
            self.client.answers[command] = []
            self.assertEqual(self.shown(command), f"{none}\n")
            self.assertEqual(self.shown(command, "--json"), "[]\n")
        self.assertEqual(self.shown("registrations", "x@a.b"), "x@a.b is not registered\n")

    def test_json(self) -> None:
        """With --json, the answer is printed as it came."""
        self.assertEqual(json.loads(self.shown("--json", "status")), STATUS)
        self.assertEqual(json.loads(self.shown("--json", "calls")), [CALL])
        self.assertEqual(json.loads(self.shown("calls", "--json")), [CALL])
        self.assertEqual(json.loads(self.shown("user", "list", "--json")), [ALICE])
        self.assertEqual(json.loads(self.shown("--json", "user", "list")), [ALICE])
