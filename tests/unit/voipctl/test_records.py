"""C{voipctl records}: which calls are asked for, and how they are printed."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.store.test_acc import cdr
from voipcluster.errors import UsageError
from voipcluster.voipctl import records

NOW = 1_764_150_000.0


class Nodes:
    """Two nodes, one with more calls than fit into a page; C{silent} ones do not answer."""

    def __init__(self, **pages: list[dict[str, Any]]) -> None:
        self.pages = pages
        self.asked: list[dict[str, Any]] = []
        self.silent: set[str] = set()

    def ask(self, command: str, **given: Any) -> Any:
        if command == "status":
            return {"nodes": [{"name": name} for name in self.pages]}
        self.asked.append(given)
        if given["node"] in self.silent:
            raise UsageError("no answer")
        rows = [row for row in self.pages[given["node"]] if row["id"] > given["after"]][:2]
        return {"rows": rows, "next": rows[-1]["id"] if len(rows) == 2 else None}


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, **cdr(number, NOW - 100 + number), **more}


class RecordsTests(SynchronousTestCase):
    def run_records(self, nodes: Nodes, *argv: str) -> tuple[int, str, str]:
        parser = argparse.ArgumentParser()
        parser.add_argument("--json", action="store_true")
        records.add_arguments(parser)
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        return records.run(nodes, parser.parse_args(argv), NOW), out.getvalue(), err.getvalue()

    def test_all_pages_of_all_nodes(self) -> None:
        nodes = Nodes(a=[row(n) for n in (1, 3, 5)], b=[row(n) for n in (2, 4)])
        status, out, _ = self.run_records(nodes, "--json")
        self.assertEqual(status, 0)
        self.assertEqual([one["callid"] for one in json.loads(out)], ["c1", "c2", "c3", "c4", "c5"])
        self.assertEqual(nodes.asked[0]["since"], NOW - 86_400)
        self.assertEqual(
            [(one["node"], one["after"]) for one in nodes.asked], [("a", 0), ("a", 3), ("b", 0), ("b", 4)]
        )

    def test_a_table(self) -> None:
        _, out, _ = self.run_records(Nodes(a=[row(1, caller="sip:\x1b[2Jalice@example.com")]))
        self.assertIn("c1", out)
        self.assertIn("0:20", out)
        self.assertNotIn("\x1b", out)

    def test_gateways(self) -> None:
        """Are there when some call has one."""
        _, out, _ = self.run_records(
            Nodes(a=[row(1), {**row(2), "gateway_out": "carrier-a", "number": "+4930"}])
        )
        self.assertIn("GATEWAY", out)
        self.assertRegex(out, r"\+4930 +>carrier-a")
        _, out, _ = self.run_records(Nodes(a=[row(1)]))
        self.assertNotIn("GATEWAY", out)

    def test_csv(self) -> None:
        """What came from the network is no formula of a spreadsheet; times are in UTC."""
        hostile = row(1, caller="=cmd|' /C calc'!A0", callee='sip:"x",\n@example.com', mos_caller=None)
        _, out, _ = self.run_records(Nodes(a=[hostile]), "--csv")
        (found,) = csv.DictReader(io.StringIO(out))
        self.assertEqual(tuple(found), records.COLUMNS)
        self.assertEqual(
            (found["caller"], found["callee"]), ("'=cmd|' /C calc'!A0", 'sip:"x",\n@example.com')
        )
        self.assertEqual((found["end_time"], found["mos_caller"]), ("2025-11-26T09:38:21.000Z", ""))

    def test_sql(self) -> None:
        """Each call of all nodes, as a statement."""
        _, out, _ = self.run_records(Nodes(a=[row(1)], b=[row(2)]), "--sql")
        self.assertEqual(out.count("INSERT INTO acc_cdrs (uid, "), 2)
        self.assertTrue(out.endswith("COMMIT;\n"))

    def test_a_node_that_does_not_answer(self) -> None:
        """The others are shown; that something is missing is told, and is the exit status."""
        nodes = Nodes(a=[row(1)], b=[row(2)])
        nodes.silent = {"a"}
        status, out, err = self.run_records(nodes, "--csv")
        self.assertEqual((status, "c2" in out), (1, True))
        self.assertIn("node a", err)
        self.assertRaises(UsageError, self.run_records, nodes, "--node", "a")

    def test_of_a_user(self) -> None:
        nodes = Nodes(
            a=[row(1, src_user="carol@example.com"), row(2, callee="sip:Carol@example.com;x=1")],
            b=[row(3, callee="sip:carola@example.com"), row(4, src_user="")],
        )
        _, out, _ = self.run_records(nodes, "--json", "--user", "carol@example.com")
        self.assertEqual([one["callid"] for one in json.loads(out)], ["c1", "c2"])

    def test_none(self) -> None:
        """It is said, but not to a program."""
        nodes = Nodes(a=[row(1, attempts=0)])
        self.assertEqual(self.run_records(nodes, "--user", "nosuch@a.b"), (0, "no records\n", ""))
        self.assertEqual(self.run_records(nodes, "--attempts"), (0, "no records\n", ""))
        self.assertEqual(self.run_records(nodes, "--attempts", "--json"), (0, "[]\n", ""))
        self.assertEqual(len(self.run_records(nodes, "--attempts", "--csv")[1].splitlines()), 1)

    def test_moments(self) -> None:
        self.assertEqual(records.moment("2h", NOW), NOW - 7200)
        self.assertEqual(records.moment("1764150000", NOW), NOW)
        self.assertEqual(records.moment("2025-11-26T09:40:00+00:00", NOW), NOW)
        for bad in ("yesterday", "-1h", "", "2025-13-01", "9" * 400, "99999999999999999999"):
            self.assertIn("allowed is", str(self.assertRaises(UsageError, records.moment, bad, NOW)), bad)

    def test_what_excludes_each_other(self) -> None:
        for two in (("--csv", "--json"), ("--sql", "--json"), ("--sql", "--attempts")):
            self.assertRaises(UsageError, self.run_records, Nodes(a=[]), *two)
        self.assertRaises(UsageError, self.run_records, Nodes(a=[]), "--since", "1h", "--until", "2h")
        self.assertRaises(UsageError, self.run_records, Nodes(a=[]), "--user", "alice")


class AttemptTests(RecordsTests):
    TRIED = tuple(
        {
            "attempt": number, "target": f"sip:gw{number}", "gateway": f"gw{number}", "start_time": NOW - 50 + number,
            "end_time": NOW, "sip_code": "503", "cause": "failed 503", "ended_by": "callee",
        }
        for number in (1, 2)
    )  # fmt: skip

    def nodes(self) -> Nodes:
        once = row(1, gateway_out="gw0", start_time=NOW - 60)
        several = row(2, attempts=2, tried=list(self.TRIED))
        refused = row(3, attempts=0, target="")
        of_before = {
            name: value for name, value in row(4).items() if name not in ("attempts", "ended_by", "target")
        }
        return Nodes(a=[once, several, refused, of_before])

    def test_each_attempt(self) -> None:
        """Of a call that was tried once it is the call; one that was tried nowhere, or of an older node, has none."""
        status, out, _ = self.run_records(self.nodes(), "--attempts", "--json")
        found = json.loads(out)
        self.assertEqual(status, 0)
        self.assertEqual(
            [
                (one["callid"], one["attempt"], one["target"], one["gateway"], one["sip_code"])
                for one in found
            ],
            [
                ("c1", 1, "sip:bob@192.0.2.2", "gw0", "200"),
                ("c2", 1, "sip:gw1", "gw1", "503"),
                ("c2", 2, "sip:gw2", "gw2", "503"),
            ],
        )
        self.assertEqual(found[0]["visited"], ["a"])

    def test_as_csv(self) -> None:
        _, out, _ = self.run_records(self.nodes(), "--attempts", "--csv")
        rows = list(csv.DictReader(io.StringIO(out)))
        self.assertEqual(tuple(rows[0]), records.ATTEMPTS)
        self.assertEqual([one["attempt"] for one in rows], ["1", "1", "2"])
        self.assertTrue(rows[1]["end_time"].endswith("Z"))

    def test_as_a_table(self) -> None:
        _, out, _ = self.run_records(self.nodes(), "--attempts")
        self.assertEqual(len(out.splitlines()), 4)
        self.assertIn("ENDED BY", out)
