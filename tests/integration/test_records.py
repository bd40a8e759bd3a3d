"""Call records: none is lost while the database is gone or a node is killed, and everybody who is to have them gets them."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.integration.claims import CALLEES, ClaimTestCase
from tests.integration.run_postgres import Postgres, options
from voipcluster.phone import CallFailed, Phone
from voipcluster.voipctl.records import COLUMNS


class SharedDatabaseTests(ClaimTestCase):
    timeout = 240

    async def start_server(self) -> Postgres:
        server = Postgres(self.reactor, self.address(200), self.folder)
        self.at_end(server.end)
        await server.make()
        return server

    async def stored(self, server: Postgres, count: int) -> None:
        """Return once the shared database has so many calls."""

        async def all_there() -> bool:
            ((found,),) = await server.sql("SELECT count(*) FROM acc_cdrs")
            self.assertLessEqual(int(found), count)
            return int(found) == count

        await self.until(all_there, f"{count} calls are in the database", 90)

    async def test_a_database_that_is_gone(self) -> None:
        """
        It crashes under load: calls go on, records wait, and each is there once afterwards. A node that is killed with
        records in its queue, and with a call up, loses none of them either.
        """
        server = await self.start_server()
        await self.start_cluster(*options(server), nodes="ab")
        await self.start_callee()
        users = [f"u{number}" for number in range(8)]
        before = await self.offer(users, self.node("a"), hold=0.2)
        await before.finished(60)
        await self.stored(server, 8)

        long = await self.offer(["long"], self.node("b"), last=103)
        await self.calls_up(1)
        await server.stop()
        for last, node in ((104, "a"), (105, "b")):
            during = await self.offer(
                [f"n{last}-{number}" for number in range(8)], self.node(node), last=last, hold=0.2
            )
            await during.finished(60)
        waiting = 0
        for node in self.cluster.nodes:
            waiting += await self.until(lambda node=node: self._waiting(node), f"records wait at {node.name}")
        self.assertGreater(waiting, 0)
        for node in self.cluster.nodes:
            await self.until(
                lambda node=node: self._all_written(node), f"{node.name} has written its records"
            )
        (served_by,) = {call["node"] for call in await self.calls() if "long" in call["from"]}
        killed = self.node(served_by)
        await self.kill(killed)
        await self.cluster.restart(killed)
        await self.cluster.all_see_all()
        await self.until(self._long_is_up, "the call goes on")
        await server.start()
        await self.stored(server, 24)
        long.hang_up()
        await long.finished(60)
        await self.stored(server, 25)

        rows = await server.sql("SELECT callid, duration, sip_code, node FROM acc_cdrs")
        self.assertEqual(len({row[0] for row in rows}), 25)
        self.assertEqual({row[2] for row in rows}, {"200"})
        self.assertLessEqual({row[3] for row in rows}, {"a", "b"})
        ((outcomes,),) = await server.sql("SELECT count(*) FROM acc")
        self.assertEqual(int(outcomes), 50)
        ((tried,),) = await server.sql(
            "SELECT count(*) FROM acc_attempts WHERE sip_code = '200' AND target <> ''"
        )
        self.assertEqual(int(tried), 25)
        for node in self.cluster.nodes:
            self.assertNotIn(server.password, node.log.read_text())

    async def _all_written(self, node: Any) -> bool:
        return await self.metric(node, "call_records_unwritten") == 0

    async def _long_is_up(self) -> bool:
        return any("long" in call["from"] for call in await self.calls())

    async def _waiting(self, node: Any) -> int:
        return int(await self.metric(node, "call_record_rows_waiting", consumer="database"))


class Billing(Resource):
    """A web server that is told about calls: it refuses for a while, and notes what it took."""

    isLeaf = True

    def __init__(self, secret: bytes) -> None:
        super().__init__()
        self._secret = secret
        self.refusing = True
        self.asked = 0
        self.calls: list[dict[str, Any]] = []

    def render_POST(self, request: Any) -> bytes:
        self.asked += 1
        body = request.content.read()
        wanted = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        if self.refusing or request.getHeader("x-voipcluster-signature") != f"sha256={wanted}":
            request.setResponseCode(503)
            return b"closed"
        self.calls += json.loads(body)["records"]
        return b""


class NodeRecordTests(ClaimTestCase):
    async def test_a_webhook(self) -> None:
        """It gets each call, signed, and again until it has taken it."""
        key = self.folder / "webhook-key"
        key.write_bytes(b"k3y\n")
        key.chmod(0o600)
        billing = Billing(b"k3y")
        port = self.reactor.listenTCP(8099, Site(billing), interface=self.address(200))
        self.at_end(lambda: Deferred.fromCoroutine(self._close(port)))
        url = f"http://{self.address(200)}:8099/calls"
        await self.start_cluster(
            "--set", f"records.webhook={url}", "--set", f"records.webhook_secret_file={key}", nodes="ab"
        )
        await self.start_callee()
        sipp = await self.offer(["u1", "u2", "u3"], self.node("b"), hold=0.2)
        await sipp.finished(60)
        await self.until(lambda: billing.asked >= 2, "it is asked, and again")
        billing.refusing = False
        await self.until(lambda: len(billing.calls) >= 3, "it was told about all calls", 60)
        self.assertEqual(
            {call["src_user"] for call in billing.calls}, {f"u{n}@example.com" for n in (1, 2, 3)}
        )
        self.assertEqual(len({call["uid"] for call in billing.calls}), 3)

    async def _close(self, port: Any) -> None:
        await port.stopListening()

    async def test_voipctl_records(self) -> None:
        """Calls of all nodes as a table, CSV and JSON: answered ones, and those that nobody answered."""
        await self.start_cluster(nodes="ab", each={"a": ("--set", "limits.calls=1")})
        await self.start_callee()
        sipp = await self.offer(["u1", "u2", "u3"], self.node("a"), hold=0.2)
        await sipp.finished(60)
        alice = self.phone("u1")
        await alice.register()
        for callee in ("nobody", "u2"):
            with self.assertRaises(CallFailed):
                await alice.call(f"{callee}@example.com")
        eve = Phone(
            self.reactor, "eve", "elsewhere.example", "", self.node("a").hop("UDP"), self.address(110), "UDP"
        )
        self.at_end(eve.stop)
        with self.assertRaises(CallFailed):
            await eve.call("nobody@example.com")

        async def all_there() -> list[dict[str, str]]:
            rows = list(csv.DictReader(io.StringIO(await self.node("b").voipctl("records", "--csv"))))
            return rows if len(rows) == 6 else []

        rows = await self.until(all_there, "the records are written")
        self.assertEqual(tuple(rows[0]), COLUMNS)
        self.assertEqual(Counter(row["sip_code"] for row in rows), {"200": 3, "404": 2, "480": 1})
        self.assertEqual({row["node"] for row in rows}, {"a", "b"})
        (stranger,) = [row for row in rows if "eve@" in row["caller"]]
        self.assertRegex(stranger["cause"], "^refused 404")
        self.assertEqual((stranger["attempts"], stranger["ended_by"]), ("0", "node"))
        tried = list(
            csv.DictReader(io.StringIO(await self.node("b").voipctl("records", "--attempts", "--csv")))
        )
        self.assertEqual({row["attempt"] for row in tried}, {"1"})
        self.assertEqual([(row["sip_code"], row["ended_by"]) for row in tried], [("200", "caller")] * 3)
        self.assertTrue(all(self.address(CALLEES) in row["target"] for row in tried))
        table = await self.node("a").voipctl("records", "--user", "u3@example.com")
        self.assertEqual(len(table.splitlines()), 2)
        whole = json.loads(await self.node("a").voipctl("records", "--json", "--since", "1h"))
        self.assertEqual(len(whole), 6)
        (sounding,) = [one for one in whole if one["src_user"] == "u3@example.com"]
        self.assertEqual(sounding["quality"][0]["kind"], "audio")
        await self.kill(self.node("b"))
        partly = self.node("a").voipctl_program("records", "--csv")
        self.assertEqual(await partly.ended(), 1)
        self.assertIn("node b", partly.output)
        error = self.node("a").voipctl_program("records", "--since", "yesterday")
        self.assertEqual(await error.ended(), 1)
        self.assertEqual(len(error.output.splitlines()), 1)
