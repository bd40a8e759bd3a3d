"""Call records: everybody who is to have them gets them. Those through an outage of the shared database are in test_outage."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.integration.claims import CALLEES, ClaimTestCase
from tests.integration.passed_over import again_if_passed_over
from voipcluster.phone import CallFailed, Phone
from voipcluster.voipctl.records import COLUMNS


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

    @again_if_passed_over
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
        await self.placed({row["node"] for row in rows}, {"a", "b"}, sipp.up, nodes=["a"])
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
        by_sql: list[tuple[str, str, str]] = []
        for name in "ab":
            with closing(sqlite3.connect(self.node(name).state_dir / "voipcluster.db")) as database:
                by_sql += database.execute("SELECT callid, method, to_tag FROM acc WHERE sip_code = '200'")
        for row in rows:
            if row["sip_code"] == "200":
                self.assertRegex(row["to_tag"], "^[0-9]+uas[0-9]+$")  # as uas.xml has it
                self.assertEqual(
                    sorted((method, tag) for call_id, method, tag in by_sql if call_id == row["callid"]),
                    [("BYE", row["to_tag"]), ("INVITE", row["to_tag"])],
                )
            else:
                self.assertEqual(row["to_tag"], "")
        (sounding,) = [one for one in whole if one["src_user"] == "u3@example.com"]
        self.assertEqual(sounding["quality"][0]["kind"], "audio")
        await self.kill(self.node("b"))
        partly = self.node("a").voipctl_program("records", "--csv")
        self.assertEqual(await partly.ended(), 1)
        self.assertIn("node b", partly.output)
        error = self.node("a").voipctl_program("records", "--since", "yesterday")
        self.assertEqual(await error.ended(), 1)
        self.assertEqual(len(error.output.splitlines()), 1)
