"""A minute without the shared database, with calls and changes of accounts all the time: none is lost, none is there twice."""

from __future__ import annotations

from collections.abc import Sequence

from demo.cluster import Node
from tests.integration.harness import DOMAIN, listens
from tests.integration.run_postgres import Postgres, options
from tests.integration.run_sipp import SCENARIOS, Sipp, credentials
from tests.integration.test_restart_load import LoadCase

GONE = 60.0  # s
KILLED = 25.0  # s after which one of the nodes dies
RATE = 3.0  # answered calls a second at node a; at b there are half as many


class OutageTests(LoadCase):
    timeout = 300
    server: Postgres

    async def test_gone_for_a_minute(self) -> None:
        """
        PostgreSQL dies under load and is back after a minute; one node of two is killed meanwhile, with records in its queue and
        a call up. Calls are put through and accounts changed all the time. Afterwards each call is in the database, once.
        """
        self.server = Postgres(self.reactor, self.address(200), self.folder)
        self.at_end(self.server.end)
        await self.server.make()
        await self.start_cluster(*options(self.server), nodes="ab")
        a, b = self.cluster.nodes
        await self.add_users("to", "load", "busy")
        await self.sipp_callee(["to"], self.address(101))
        await self.sipp_register(["busy"], self.address(102))
        rejecting = self.sipp(self._rejecting(), self.address(102))
        await self.until(lambda: listens(rejecting.host, 5060), "sipp listens")
        await self.reachable("to", "busy")

        answered = [self.load("to", round(RATE * (GONE + 15)), a, 110, rate=RATE)]
        answered.append(self.load("to", round(RATE / 2 * (KILLED - 5)), b, 111, rate=RATE / 2))
        missed = [self.missed(round(GONE / 2), a, 112, rate=0.5)]
        await self.until(
            lambda: answered[0].successful >= 10 and missed[0].successful >= 2, "load is under way"
        )
        await self.until(self._some_are_stored, "records come to the database")
        long = await self._long_call(b, answered)
        begun = self.reactor.seconds()
        await self.server.stop()
        users = await self._change_accounts(answered[0], begun + KILLED, (a, b), "early")
        await answered[1].finished(60)
        await self._is_shown(a)
        waiting = await self._waiting(b)
        await self.kill(b)
        await self.cluster.restart(b)
        await self.cluster.all_see_all()
        await self.until(lambda: self._has_waiting(b, waiting), "what waited waits still")
        await self.until(lambda: self._long_is_at(b), "the long call goes on")
        answered.append(self.load("to", round(RATE / 2 * 30), b, 113, rate=RATE / 2))
        users += await self._change_accounts(answered[0], begun + GONE, (b, a), "late")
        self.assertGreater(answered[0].successful, RATE * GONE * 0.5)
        self.assertGreaterEqual(self.reactor.seconds() - begun, GONE)
        await self.server.start()

        long.hang_up()
        answered.append(long)
        for one in (*answered, *missed):
            await one.finished(60)
        await self._all_there(answered, missed)
        await self._same_accounts(users)
        for node, processes in ((a, 1), (b, 2)):
            log = node.log.read_text()
            self.assertEqual(log.count("database takes no call records, they wait on the disk"), processes)
            self.assertEqual(log.count("database takes call records again"), 1)
            self.assertEqual(await self.metric(node, "call_record_rows_lost_total"), 0)
            self.assertEqual(await self.metric(node, "call_records_total", result="lost"), 0)
            self.assertNotIn(self.server.password, log)
        self.assertNotIn("wait for it", await a.voipctl("status"))

    def _rejecting(self) -> object:
        """A scenario: whoever is called is busy."""
        text = (SCENARIOS / "gateway_503.xml").read_text()
        before, _, rest = text.partition("  <send>")  # no early media
        final = rest[rest.index("  <send retrans") :].replace("503 Service Unavailable", "486 Busy Here")
        reason = 'Reason: Q.850;cause=34;text="no circuit available"\n'
        assert reason in final
        path = self.folder / "busy.xml"
        path.write_text(before + final.replace(reason, ""))
        return path

    def missed(self, count: int, node: Node, last: int, rate: float) -> Sipp:
        """Calls to one who is busy."""
        path = self.folder / "call_busy.xml"
        path.write_text((SCENARIOS / "call_refused.xml").read_text().replace(
            '<recv response="503" rtd="1"/>', '<recv response="180" optional="true"/>\n  <recv response="486" rtd="1"/>'
        ))  # fmt: skip
        row = ("load", credentials("load", self.passwords["load"]), "busy", "9")
        return self.sipp(path, self.address(last), node.hop(), rows=[row], calls=count, rate=rate)

    async def _change_accounts(
        self, load: Sipp, until: float, nodes: Sequence[Node], name: str
    ) -> list[tuple[str, bool]]:
        """
        Add users, every other one at another node, and remove each third one again, as long as calls are put through and until
        that time.

        @return: their names, and whether they are there.
        """
        users: list[tuple[str, bool]] = []
        while self.reactor.seconds() < until:
            served = load.successful
            user, node = f"{name}{len(users)}", nodes[len(users) % len(nodes)]
            await node.ask("user-add", name=user, domain=DOMAIN, password="pw")
            stays = len(users) % 3 != 2
            if not stays:
                await self.primary.ask("user-rm", name=user, domain=DOMAIN)
            users.append((user, stays))
            await self.until(lambda served=served: load.successful >= served + 2, "calls are put through")
        return users

    async def _long_call(self, node: Node, others: list[Sipp]) -> Sipp:
        """
        A call that goes on, served by that node. One that came to the other node, since this one had to wait for a processor, is
        hung up, and one of the others.
        """
        for last in range(114, 122):
            one = await self.offer([f"long{last}"], node, last=last)
            await self.until(lambda last=last: self._serves(f"long{last}"), "a long call is up")
            if await self._serves(f"long{last}") == node.name:
                self.long = f"long{last}"
                return one
            one.hang_up()
            await one.finished(30)
            others.append(one)
        raise self.failureException(f"no call of eight came to {node.name}")

    async def _serves(self, caller: str) -> str:
        """The node that serves the call of a user; empty while it is not up."""
        rows = [row for row in await self.calls() if f"{caller}@" in row["from"] and row["state"] == "up"]
        return str(rows[0]["node"]) if rows else ""

    async def _long_is_at(self, node: Node) -> bool:
        return await self._serves(self.long) == node.name

    async def _some_are_stored(self) -> bool:
        ((found,),) = await self.server.sql("SELECT count(*) FROM acc_cdrs")
        return int(found) > 0

    async def _waiting(self, node: Node) -> int:
        return int(await self.metric(node, "call_record_rows_waiting", consumer="database"))

    async def _has_waiting(self, node: Node, most: int) -> bool:
        return await self._waiting(node) >= max(1, most)

    async def _is_shown(self, node: Node) -> None:
        """An operator sees that it is gone, and that records and changes wait."""
        told = await node.voipctl("status")
        self.assertRegex(told, r"the shared database is not reached: .* \(node a, b\)")
        self.assertRegex(told, r"\d+ call records wait for it \(node a")
        self.assertRegex(told, r"\d+ changes of accounts and gateways wait for it \(node a\)")

    async def _all_there(self, answered: Sequence[Sipp], missed: Sequence[Sipp]) -> None:
        """Each call that sipp has seen, by its Call-ID, and no other one; and so in what other servers keep of calls."""
        wanted = sorted(call_id for one in answered for call_id in one.up)
        busy = sum(one.successful for one in missed)
        self.assertEqual(len(wanted), sum(one.successful for one in answered))

        async def all_stored() -> bool:
            ((found,),) = await self.server.sql("SELECT count(*) FROM acc_cdrs")
            return int(found) >= len(wanted) + busy

        await self.until(all_stored, "all are in the database", 60)
        rows = await self.server.sql("SELECT callid FROM acc_cdrs WHERE sip_code = '200'")
        self.assertEqual(sorted(row[0] for row in rows), wanted)
        for query, count in (
            ("acc_cdrs WHERE sip_code = '486' AND missed", busy),
            ("acc_cdrs", len(wanted) + busy),
            ("acc WHERE method = 'INVITE' AND sip_code = '200'", len(wanted)),
            ("acc WHERE method = 'BYE'", len(wanted)),
            ("acc", 2 * len(wanted) + busy),
            ("missed_calls", busy),
            ("acc_attempts", len(wanted) + busy),
        ):
            ((rows_, calls),) = await self.server.sql(f"SELECT count(*), count(DISTINCT callid) FROM {query}")
            self.assertEqual(int(rows_), count, query)
            self.assertEqual(int(calls), min(count, len(wanted) + busy), query)

    async def _same_accounts(self, users: Sequence[tuple[str, bool]]) -> None:
        """The database and every node have the same ones."""
        self.assertGreater(len(users), 9)
        wanted = sorted(name for name, stays in users if stays)

        async def there() -> bool:
            rows = await self.server.sql("SELECT username FROM subscriber WHERE username ~ '^(early|late)'")
            return sorted(row[0] for row in rows) == wanted

        await self.until(there, "the accounts are in the database", 30)
        for node in self.cluster.nodes:
            known = await node.ask("user-list", domain=DOMAIN)
            self.assertEqual(
                sorted(one.partition("@")[0] for one in known if one[:4] in ("earl", "late")), wanted
            )
