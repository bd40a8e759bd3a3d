"""The attempts of a call, in the shared database and as voipctl exports them: failing over, forking, and who does not answer."""

from __future__ import annotations

import csv
import io
import json
import socket
from itertools import pairwise
from typing import Any

from tests.integration.claims import CALLERS, ClaimTestCase
from tests.integration.harness import DOMAIN, listens
from tests.integration.passed_over import again_if_passed_over
from tests.integration.run_postgres import Postgres, options
from tests.integration.run_sipp import credentials

GATEWAYS = {"full": 111, "deaf": 112, "good": 113}  # last octets; in the order in which they are tried
SHOWN = ("attempt", "target", "gateway", "sip_code", "cause", "ended_by")


class AttemptsTests(ClaimTestCase):
    @again_if_passed_over
    async def test_attempts(self) -> None:
        """
        A row for each call and one for each of its attempts, at whichever node: with gateway, target, cause, who has ended it
        and when, in PostgreSQL, in CSV and in JSON alike.
        """
        server = Postgres(self.reactor, self.address(200), self.folder)
        self.at_end(server.end)
        await server.make()
        await self.start_cluster(*options(server), *("--config", self._configuration()), nodes="ab")
        await self.add_users("ann", "bob", "carol", "dave")
        await self._over_gateways()
        await self._forked()
        await self._not_answered()

        async def stored() -> bool:
            return await server.sql("SELECT count(*) FROM acc_cdrs") == [["3"]]

        await self.until(stored, "the three calls are in the database")
        tried = await self._in_database(server)
        calls = {row["number"] or row["callee"].partition("@")[0]: row for row in await self._calls(server)}
        over, forked, forwarded = calls["+491123456"], calls["sip:bob"], calls["sip:carol"]
        good = self.address(GATEWAYS["good"])
        self._are(over, tried, [
            (self._at("full"), "full", "503", "failed 503", "callee"),
            (self._at("deaf"), "deaf", "408", "no answer", "node"),
            (self._at("good"), "good", "200", "bye", "caller"),
        ])  # fmt: skip
        self.assertEqual((over["gateway_out"], over["sip_code"]), ("good", "200"))
        await self.placed(over["node"], "b", [over["callid"]], nodes=["b"])
        self.assertIn(good, over["target"] if over["attempts"] == 1 else tried[over["uid"]][-1]["target"])
        self._are(forked, tried, [
            (self.address(120), "", "487", "answered elsewhere", "node"),
            (self.address(121), "", "200", "bye", "caller"),
        ], any_order=True)  # fmt: skip
        self._are(forwarded, tried, [
            (self.address(122), "", "487", "rang too long", "node"),
            (self.address(123), "", "200", "bye", "caller"),
        ])  # fmt: skip
        self.assertEqual((forked["missed"], forwarded["missed"]), (False, False))
        await self._exported(tried)
        await self._filled_again(server)

    def _at(self, gateway: str) -> str:
        return self.address(GATEWAYS[gateway])

    def _configuration(self) -> str:
        lines = ["[numbers]", 'country = "49"', "next_after = 0.5"]
        for name, last in GATEWAYS.items():
            lines += ["[[gateway]]", f'name = "{name}"', 'kind = "pstn"', "probe = 0"]
            lines += [f'servers = ["{self.address(last)}:5060"]']
        for priority, name in enumerate(GATEWAYS, 1):
            lines += ["[[route]]", 'prefix = "+4911"', f'gateway = "{name}"', f"priority = {priority}"]
        path = self.folder / "routes.toml"
        path.write_text("\n".join([*lines, ""]))
        return str(path)

    async def _over_gateways(self) -> None:
        """The first one has no circuit, the second one says nothing, the third one answers."""
        deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(deaf.close)
        deaf.bind((self._at("deaf"), 5060))
        for name, scenario in (("full", "gateway_503"), ("good", "uas")):
            self.sipp(scenario, self._at(name))
            await self.until(lambda name=name: listens(self._at(name), 5060), "sipp listens")
        row = ("ann", credentials("ann", self.passwords["ann"]), "01123456", "40000")
        call = self.sipp("call", self.address(CALLERS), self.node("b").hop(), rows=[row], calls=1, hold=0.0)
        await call.finished(20)

    async def _forked(self) -> None:
        """Two phones of one user ring, at two nodes, and one is answered."""
        ringing = self.phone("bob", host=self.address(120), answer_after=None)
        answering = self.phone("bob", self.node("b"), host=self.address(121), answer_after=None)
        await self.register(ringing, answering)
        for node in self.cluster.nodes:

            async def both(node: Any = node) -> bool:
                return len(await node.ask("registrations", aor=f"bob@{DOMAIN}")) == 2

            await self.until(both, f"{node.name} knows both phones")
        ann = self.phone("ann", host=self.address(130))
        called = ann.call(f"bob@{DOMAIN}")
        await self.until(lambda: ringing.calls and answering.calls, "both ring")
        (at_other,) = answering.calls.values()
        answering.accept(at_other)
        call = await called
        call.hang_up()
        await self.until(lambda: not (ringing.calls or answering.calls or ann.calls), "it is over")

    async def _not_answered(self) -> None:
        """Nobody answers, and the call goes to somebody else."""
        carol = self.phone("carol", host=self.address(122), answer_after=None)
        dave = self.phone("dave", host=self.address(123))
        await self.register(carol, dave)
        await self.reachable("carol", "dave")
        wanted = {"forward.no-answer": "dave", "forward.no-answer-after": "1"}
        await self.primary.ask("user-set", name="carol", domain=DOMAIN, preferences=wanted)
        ann = self.phone("ann", host=self.address(131))
        call = await ann.call(f"carol@{DOMAIN}")
        call.hang_up()
        await self.until(lambda: not (carol.calls or dave.calls or ann.calls), "it is over")

    async def _calls(self, server: Postgres) -> list[dict[str, Any]]:
        return [
            json.loads(text) for (text,) in await server.sql("SELECT row_to_json(acc_cdrs) FROM acc_cdrs")
        ]

    async def _in_database(self, server: Postgres) -> dict[str, list[dict[str, Any]]]:
        """The attempts by call, in their order."""
        found: dict[str, list[dict[str, Any]]] = {}
        for (text,) in await server.sql(
            "SELECT row_to_json(acc_attempts) FROM acc_attempts ORDER BY uid, attempt"
        ):
            row = json.loads(text)
            found.setdefault(row["uid"], []).append(row)
        return found

    def _are(
        self,
        call: dict[str, Any],
        tried: dict[str, list[dict[str, Any]]],
        wanted: list[tuple[str, str, str, str, str]],
        any_order: bool = False,
    ) -> None:
        """These are its attempts: where, gateway, status, cause, who has ended it; their times are within those of the call."""
        rows = tried[call["uid"]]
        self.assertEqual(call["attempts"], len(rows))
        self.assertEqual([row["attempt"] for row in rows], list(range(1, len(rows) + 1)))
        found = [(row["target"], *(row[name] for name in SHOWN[2:])) for row in rows]
        expected = list(wanted)
        if any_order:
            found.sort(key=lambda one: one[2])
            expected.sort(key=lambda one: one[2])
        for (target, *rest), (host, *others) in zip(found, expected, strict=True):
            self.assertIn(f"{host}:", target)
            self.assertEqual(rest, others)
        for row in rows:
            self.assertEqual((row["callid"], row["node"]), (call["callid"], call["node"]))
            self.assertLessEqual(call["start_time"], row["start_time"])
            self.assertLessEqual(row["start_time"], row["end_time"])
            self.assertLessEqual(row["end_time"], call["end_time"])
        answered = next(row for row in rows if row["sip_code"] == "200")
        self.assertEqual(answered["end_time"], call["end_time"])
        if not any_order:
            for before, after in pairwise(rows):
                self.assertLessEqual(before["start_time"], after["start_time"])

    async def _exported(self, tried: dict[str, list[dict[str, Any]]]) -> None:
        """What voipctl exports, of all nodes, is what the database has."""
        a = self.node("a")
        wanted = {(uid, row["attempt"]): row for uid, rows in tried.items() for row in rows}
        texts = list(csv.DictReader(io.StringIO(await a.voipctl("records", "--attempts", "--csv"))))
        values = json.loads(await a.voipctl("records", "--attempts", "--json"))
        for exported in (texts, values):
            found = {(row["uid"], int(row["attempt"])): row for row in exported}
            self.assertEqual((len(exported), found.keys()), (len(wanted), wanted.keys()))
            for key, row in found.items():
                for name in ("callid", "gateway", "target", "sip_code", "cause", "ended_by", "node"):
                    self.assertEqual(row[name], wanted[key][name], name)
        for row in values:
            stored = wanted[row["uid"], row["attempt"]]
            self.assertEqual((row["start_time"], row["end_time"]), (stored["start_time"], stored["end_time"]))
        whole = list(csv.DictReader(io.StringIO(await a.voipctl("records", "--csv"))))
        self.assertEqual(
            {row["uid"]: int(row["attempts"]) for row in whole},
            {uid: len(rows) for uid, rows in tried.items()},
        )
        self.assertEqual(len(whole), len(tried))

    async def _filled_again(self, server: Postgres) -> None:
        """What voipctl prints as SQL fills a gap in the tables with just what was there."""
        tables = {"acc_cdrs": "uid", "acc_tried": "uid, attempt"}

        async def rows() -> list[list[dict[str, Any]]]:
            found = []
            for table, order in tables.items():
                texts = await server.sql(f"SELECT to_jsonb({table}) - 'id' FROM {table} ORDER BY {order}")
                found.append([json.loads("|".join(text)) for text in texts])
            return found

        before = await rows()
        await server.sql(f"DELETE FROM acc_tried; DELETE FROM acc_cdrs WHERE uid <> '{before[0][0]['uid']}'")
        self.assertNotEqual(await rows(), before)
        printed = await self.node("b").voipctl("records", "--sql")
        for _ in range(2):
            await server.script(printed)
            self.assertEqual(await rows(), before)
