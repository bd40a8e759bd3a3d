"""Answers as text for people."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fake_node import BAN, BINDING, CALL, HOP, SOUNDING, STATUS
from voipcluster.voipctl import tables
from voipcluster.voipctl.lists import listing_of


class AnswerTests(SynchronousTestCase):
    def test_node_without_a_report(self) -> None:
        """What a node did not tell is a dash in each column, also for a node of an older version that tells less."""
        nodes = [{"name": "old"}, {"name": "b", "workload": 0.0, "report_age": -1.0, "components": None}]
        for verbose in (False, True):
            text = tables.status({"nodes": nodes}, verbose).splitlines()
            self.assertEqual(text[0], "cluster -")
            self.assertEqual(text[2].split(), ["old"] + ["-"] * 8)
            self.assertEqual(text[3].split()[4:], ["0.00", "-", "-", "-", "-"])

    def test_name_without_a_node(self) -> None:
        """Below the table: names in the sequence of the node that was asked; nothing when each has a node."""
        answer = {"cluster": "x", "node": "a", "nodes": [{"name": "a"}]}
        text = tables.status({**answer, "no_node": ["c", "typo"]}, False).splitlines()
        self.assertEqual(text[3:], ["cluster.sequence of a: no node of the cluster is called c, typo"])
        self.assertEqual(len(tables.status({**answer, "no_node": []}, False).splitlines()), 3)

    def test_media(self) -> None:
        """Below the table: why media is in user space, and what stops it at a restart; nodes with one reason share a line."""
        kept = {"path": "userspace", "reason": "no right", "restart": "waits", "restart_reason": ""}
        stops = {**kept, "reason": "", "restart": "stops", "restart_reason": "nobody {} keeps\nit"}
        medias = (kept, stops, stops, None, {"path": "kernel", "reason": ""})
        nodes = [{"name": name, "media": media} for name, media in zip("abcde", medias, strict=True)]
        self.assertEqual(
            tables.status({"nodes": nodes}, False).splitlines()[-2:],
            ["media in user space at a: no right", "a restart stops media at b, c: nobody {} keeps?it"],
        )

    def test_resources(self) -> None:
        """With C{--verbose} there is a column for each resource that any node measures, in one order."""
        parts = ({"cpu": 0.5}, {"delay": 0.25, "calls": 1.0})
        nodes = [{**node, "components": part} for node, part in zip(STATUS["nodes"], parts, strict=True)]
        titles, one, other = tables.status({"cluster": "c", "nodes": nodes}, True).splitlines()[1:]
        self.assertEqual(titles.split()[-3:], ["CALLS/LIMIT", "CPU", "DELAY"])
        self.assertEqual((one.split()[-3:], other.split()[-3:]), (["-", "0.50", "-"], ["1.00", "-", "0.25"]))

    def test_rates(self) -> None:
        """And one for each rate, where a node says them; the delay in milliseconds."""
        measured = {
            "delay": 0.0123,
            "arrival_rate": 7.25,
            "capacity": 900.0,
            "refusal_rate": 0.0,
            "quota": 0.5,
            "granted": 0.4,
        }
        nodes = [{**STATUS["nodes"][0], "measured": measured}, STATUS["nodes"][1]]
        titles, one, other = tables.status({"cluster": "c", "nodes": nodes}, True).splitlines()[1:]
        self.assertEqual(
            titles.split()[-6:],
            ["DELAY/MS", "ARRIVE/S", "CAPACITY/S", "REFUSED/S", "QUOTA/%", "GRANTED/%"],
        )
        shown = ["12.3", "7.2", "900.0", "0.0", "50.0", "40.0"]
        self.assertEqual((one.split()[-6:], other.split()[-6:]), (shown, ["-"] * 6))

    def test_no_capacity(self) -> None:
        """A capacity that is not known yet is no number; that of a node that can serve nothing is."""
        for capacity, shown in ((0.0, "-"), (0.001, "0.0")):
            nodes = [{**STATUS["nodes"][0], "measured": {"capacity": capacity}}]
            row = tables.status({"cluster": "c", "nodes": nodes}, True).splitlines()[2]
            self.assertEqual(row.split()[-4], shown)

    def test_why_not_the_kernel(self) -> None:
        """Below the nodes: who relays media itself although it might not, one line a reason, safe to print."""
        reasons = (
            None,
            {},
            {"path": "kernel", "reason": ""},
            {"reason": "net.ipv4.ip_forward is 0"},
            "x",
            {"reason": "a\x1b"},
        )
        rows = [{"name": name, "media": media} for name, media in zip("abcdef", reasons, strict=True)]
        rows.append({"name": "g", "media": {"reason": "net.ipv4.ip_forward is 0"}})
        lines = tables.status({"cluster": "c", "nodes": rows}, verbose=False).splitlines()
        self.assertEqual(
            lines[2 + len(rows) :],
            ["media in user space at d, g: net.ipv4.ip_forward is 0", "media in user space at f: a?"],
        )

    def test_shared_database(self) -> None:
        """What is wrong with it is said once, and of one change as of one."""
        database = {"trouble": "the shared database: connection failed", "waiting": 1, "faults": []}
        answer = {**STATUS, "nodes": [{**STATUS["nodes"][0], "database": database}]}
        self.assertEqual(
            tables.status(answer, False).splitlines()[-2:],
            [
                "the shared database is not reached: connection failed (node a)",
                "1 change of accounts or gateways waits for it (node a)",
            ],
        )
        database["waiting"] = 3
        self.assertIn("3 changes of accounts and gateways wait for it", tables.status(answer, False))
        for records, line in (
            (1, "1 call record waits for it (node a)"),
            (7, "7 call records wait for it (node a)"),
        ):
            database["records"] = records
            self.assertEqual(tables.status(answer, False).splitlines()[-1], line)

    def test_records_that_wait(self) -> None:
        """Who takes none is named with why, once for all that say so; what the database's own line says is not repeated."""
        gone = {"to": "webhook", "trouble": "connection refused\x1b", "disk": "", "waiting": 12}
        database = {"to": "database", "trouble": "not reached", "disk": "disk I/O error", "waiting": 3}
        full = {"to": "disk", "trouble": "No space left on device", "disk": "", "waiting": 1}
        nodes = [
            {"name": "a", "records": [gone, full], "database": None},
            {"name": "b", "records": [gone, database], "database": {"trouble": "not reached"}},
            {"name": "c", "records": [database], "database": {"trouble": ""}},
            {"name": "d", "records": []},
            {"name": "e"},
        ]
        lines = tables.status({"cluster": "c", "nodes": nodes}, False).splitlines()[2 + len(nodes) :]
        self.assertEqual(
            lines[1:],
            [
                "the webhook takes no call records: connection refused?; 12 wait (node a, b)",
                "call records cannot be written: No space left on device; 1 waits in memory (node a)",
                "the queue of call records for the database cannot be used: disk I/O error (node b, c)",
                "the database takes no call records: not reached; 3 wait (node c)",
            ],
        )

    def test_registrations_and_bans(self) -> None:
        """Times are left, and a User-Agent with an escape sequence is harmless."""
        table = tables.Registrations()
        text = table.text(list(table(listing_of([BINDING]))))
        self.assertIn("59:59", text)
        self.assertNotIn("\x1b", text)
        self.assertIn("phone?[2J", text)
        self.assertEqual(tables.bans([BAN]).splitlines()[1].split()[-3:], ["wrong", "passwords", "9:15"])

    def test_calls(self) -> None:
        """A call that is older than this version's fields has dashes."""
        text = tables.calls([CALL, {"call_id": "x"}]).splitlines()
        self.assertIn("7:30", text[1].split())
        self.assertEqual(text[2].split(), ["x"] + ["-"] * 10)

    def test_one_call(self) -> None:
        """How each direction of its media arrives, why it ended, and what is not known."""
        text = tables.one_call([SOUNDING])
        head, over, stream = text.split("\n\n")
        self.assertIn("ended", head.splitlines()[1].split())
        self.assertEqual(over, "ended after 1:15: BYE")
        title, titles, there, back = stream.splitlines()
        self.assertEqual(
            title,
            "media 1: audio, RTP/AVP, PCMU/8000; one-way: nothing comes from callee",
        )
        self.assertEqual(titles.split()[-3:], ["MOS", "PHONE'S", "MOS"])
        self.assertEqual(
            " ".join(there.split()),
            "caller callee 500 86000 25 10.2% 5.0 ms 7.0 ms 40.0 ms 70.0 ms 64.1 3.31 4.1",
        )
        self.assertEqual(back.split(), ["callee", "caller", "0", "0", *["-"] * 9])

    def test_packets_of_strangers(self) -> None:
        """Where one side seems silent, packets that came from elsewhere say why."""
        (stream,) = SOUNDING["streams"]
        ways = [{**way, "strangers": 30} for way in stream["directions"]]
        row = {**SOUNDING, "streams": [{**stream, "missing": "", "directions": ways}]}
        title = tables.one_call([row]).split("\n\n")[2].splitlines()[0]
        self.assertTrue(
            title.endswith(
                "nothing comes from either side; 60 packets came from where the relay does not expect them, and were dropped"
            ),
            title,
        )

    def test_one_call_without_media(self) -> None:
        """A call whose media is not relayed, and one of a node that does not tell, say so."""
        self.assertIn("no media is relayed", tables.one_call([{**CALL, "streams": []}]))
        self.assertIn("node b is of an earlier version", tables.one_call([CALL]))

    def test_encrypted(self) -> None:
        """Whose RTCP cannot be read has packets alone."""
        stream = {**SOUNDING["streams"][0], "protected": True, "trouble": None, "held": True}
        self.assertIn(
            "PCMU/8000, on hold; its RTCP is encrypted: only packets are known",
            tables.one_call([{**CALL, "streams": [stream]}]),
        )

    def test_explained(self) -> None:
        """Each hop says what was decided and why; one that served the call itself has no target, and may have no candidates."""
        alone = {**HOP, "chosen": "a", "outcome": "serve", "candidates": [], "leading": None, "share": -1.0}
        text = tables.explain([HOP, alone])
        first, second = text.split("\n\n")
        self.assertTrue(first.startswith("hop 1: a: hand-over to b: first below the gate\n"))
        self.assertEqual([line[2] for line in first.splitlines()[3:]], [" ", "*"])
        self.assertEqual(
            second.splitlines(),
            [
                "hop 2: a: serve: first below the gate",
                "   policy planned, own workload 0.80, gate 0.75, hard limit 0.95, own wait 12 ms",
            ],
        )

    def test_explained_by_nobody(self) -> None:
        """A refusal has nobody chosen, and nothing is marked."""
        text = tables.explain([{**HOP, "chosen": None, "outcome": "refuse", "reason": "all are full\x07"}])
        self.assertTrue(text.startswith("hop 1: a: refuse: all are full?\n"))
        self.assertNotIn("*", text)
