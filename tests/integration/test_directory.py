"""Accounts and gateways in PostgreSQL: written by SQL or by voipctl, at every node soon, and with the database gone."""

from __future__ import annotations

import signal
from functools import partial
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from twisted.internet.threads import deferToThread

from demo.cluster import Node
from tests.integration.claims import DOMAIN, ClaimTestCase
from tests.integration.run_postgres import NAME, Postgres, options
from tests.stopwatch import Stopwatch
from tests.unit.store.former import FORMER, bring_to
from voipcluster.phone.phone_call import RegistrationRefused
from voipcluster.store.migrations import bring_up_to_date
from voipcluster.store.tables import metadata
from voipcluster.store.triggers import WRITER

SOON = 15.0  # s; a second or two are promised, and the machine is busy


class SharedDirectoryTests(ClaimTestCase):
    timeout = 300
    server: Postgres

    async def test_the_database_that_all_write(self) -> None:
        """One server and one cluster for all of it, since making them takes longer than what is tried."""
        self.server = server = Postgres(self.reactor, self.address(200), self.folder)
        self.at_end(server.end)
        await server.make()
        await self.start_cluster(*options(server), nodes="ab")
        for step in (
            self.former_versions,
            self.accounts_by_sql,
            self.one_digest_by_sql,
            self.bad_rows,
            self.gateways_by_sql,
            self.gateways_by_voipctl,
            self.gateways_of_another_server,
            self.with_the_database_gone,
            self.what_was_removed_stays_removed,
            self.with_a_database_that_says_nothing,
        ):
            await step()
        for node in self.cluster.nodes:
            self.assertNotIn(server.password, node.log.read_text())

    async def former_versions(self) -> None:
        """The tables of each former release become those of today, with what is in them."""
        for version in FORMER:
            name = f"former{version}"
            await self.server.sql(f"CREATE DATABASE {name} OWNER {NAME}", "postgres")
            url = f"postgresql+psycopg://{NAME}@/{name}?host={self.server.socket_folder}"
            differences = await deferToThread(_upgrade, url, version)
            self.assertEqual(differences, [])
            await self.server.sql(
                f"INSERT INTO subscriber (username, domain, password) VALUES ('new', '{DOMAIN}', 'pw')", name
            )
            rows = await self.server.sql("SELECT username, ha1 <> '', version > 1e15 FROM subscriber", name)
            self.assertEqual(sorted(rows), [["alice", "t", "t"], ["new", "t", "t"]])
            tried = 1 if version >= "0005" else 0
            for table, count in (
                ("acc_cdrs", 2 + tried), ("acc", 3 + 2 * tried), ("missed_calls", 1), ("acc_attempts", 4 * tried),
                ("usr_preferences", int(version >= "0003")), ("dispatcher", int(version >= "0002")),
            ):  # fmt: skip
                rows = await self.server.sql(f"SELECT count(*) FROM {table}", name)
                self.assertEqual(rows, [[f"{count}"]], f"{table} after {version}")

    async def one_digest_by_sql(self) -> None:
        """A program that knows one digest of a password makes those of the former one worthless, whichever it writes."""
        digests = "SELECT ha1, ha1_sha256, ha1b FROM subscriber WHERE username = 'one'"
        md5, sha, other_md5, other_sha = "a" * 32, "b" * 64, "c" * 32, "d" * 64
        await self.sql(
            "INSERT INTO subscriber (username, domain, ha1, ha1_sha256, ha1b) "
            f"VALUES ('one', '{DOMAIN}', '{md5}', '{sha}', '{md5}')"
        )
        for change, wanted in (
            (f"ha1_sha256 = '{sha.upper()}', disabled = false", [md5, sha, md5]),  # the same one
            ("ha1b = ''", [md5, sha, ""]),
            (f"ha1_sha256 = '{other_sha}'", ["", other_sha, ""]),
            (f"ha1 = '{md5}', ha1_sha256 = '{sha}', ha1b = '{md5}'", [md5, sha, md5]),
            (f"ha1 = '{other_md5}'", [other_md5, "", ""]),
            (f"ha1 = '{md5}', ha1_sha256 = '{sha}'", [md5, sha, ""]),
            ("ha1 = ''", ["", sha, ""]),  # no MD5 from now on
        ):
            await self.sql(f"UPDATE subscriber SET {change} WHERE username = 'one'")
            self.assertEqual(await self.sql(digests), [wanted], change)
        # a node knows what it writes: the same password, of which there was the digest for MD5 only
        await self.sql(f"UPDATE subscriber SET ha1 = '{md5}', ha1_sha256 = '{sha}' WHERE username = 'one'")
        await self.sql(
            f"BEGIN; {WRITER}; UPDATE subscriber SET ha1_sha256 = '{other_sha}', version = version + 1 "
            "WHERE username = 'one'; COMMIT"
        )
        self.assertEqual(await self.sql(digests), [[md5, other_sha, ""]])
        await self.sql("DELETE FROM subscriber WHERE username = 'one'")

    async def accounts_by_sql(self) -> None:
        """A row of SQL lets a phone register at any node; its password is nowhere; and without the row it may no more."""
        await self.sql(
            "INSERT INTO subscriber (username, domain, password) VALUES ('sql', 'EXAMPLE.com', 'first-word')"
        )
        await self.at_all("user sql is known", partial(self.has_user, "sql"))
        self.passwords |= {"sql": "first-word", "late": "late-word"}
        phone = self.phone("sql", self.node("b"))
        await phone.register()
        rows = await self.sql(
            "SELECT password, length(ha1), length(ha1_sha256) FROM subscriber WHERE username = 'sql'"
        )
        self.assertEqual(rows, [["", "32", "64"]])
        await self.sql("UPDATE subscriber SET password = 'second-word' WHERE username = 'sql'")

        async def refused() -> bool:
            try:
                await phone.register()
            except RegistrationRefused:
                return True
            return False

        await self.until(refused, "the former password counts no more", SOON)
        await self._upserted()
        await self.sql(
            "INSERT INTO usr_preferences (username, domain, attribute, value) "
            f"VALUES ('sql', '{DOMAIN}', 'forward.busy', 'carol')"
        )
        await self.at_all("his preference is known", self.has_preference)
        await self.sql("DELETE FROM subscriber WHERE username = 'sql'")
        await self.at_all("user sql is gone", partial(self.has_user, "sql", there=False))
        await self.at_all("nobody calls him any more", partial(self.has_registration, "sql", there=False))
        self.assertEqual(await self.sql("SELECT * FROM usr_preferences"), [])

    async def _upserted(self) -> None:
        """A program that does not ask whether the row is there: the new password counts, and none is kept."""
        for word, domain in (("third-word", "EXAMPLE.com"), ("fourth-word", DOMAIN)):
            await self.sql(
                f"INSERT INTO subscriber (username, domain, password) VALUES ('sql', '{domain}', '{word}') "
                "ON CONFLICT (username, domain) DO UPDATE SET password = excluded.password"
            )
            rows = await self.sql(
                f"SELECT password, ha1 = md5('sql:{DOMAIN}:{word}'), version > 1e15 FROM subscriber WHERE username = 'sql'"
            )
            self.assertEqual(rows, [["", "t", "t"]], word)

    async def bad_rows(self) -> None:
        """Each is named once in the log, and in the status while it is there; the others count all the same."""
        await self.sql(
            "INSERT INTO subscriber (username, domain, ha1) VALUES "
            f"('without', '{DOMAIN}', ''), ('short', '{DOMAIN}', 'abc'), ('far', 'elsewhere.example', repeat('a', 32)), "
            f"('good', '{DOMAIN}', repeat('a', 32))"
        )
        await self.sql("INSERT INTO address (ip_addr, tag) VALUES ('192.0.2.1', 'nobody')")
        await self.sql("INSERT INTO dispatcher (name, destination) VALUES ('odd', 'h323:192.0.2.1')")
        await self.at_all("the good one is known", partial(self.has_user, "good"))
        wanted = (
            "user without@example.com has neither ha1 nor ha1_sha256",
            "user short@example.com its HA1 is not a digest in hex",
            "user far@elsewhere.example elsewhere.example is not a domain of this cluster",
            "gateway odd destination 'h323:192.0.2.1' is no SIP URI",
            "address nobody is the tag of addresses",
        )

        for node in self.cluster.nodes:
            await self.until(partial(self.has_faults, node, len(wanted)), f"{node.name} counts them", SOON)
        told = await self.node("a").voipctl("status")
        for one in wanted:
            self.assertIn(one, told)
        self.assertIn("(node a, b)", told)
        await self.sql("UPDATE dispatcher SET description = 'x'")  # it is read again, and is as wrong
        await self.sql("DELETE FROM subscriber WHERE username IN ('without', 'short', 'far', 'good')")
        await self.at_all("it has been read", partial(self.has_user, "good", there=False))
        for node in self.cluster.nodes:
            for one in wanted:
                self.assertEqual(node.log.read_text().count(one), 1, one)
        await self.sql("DELETE FROM dispatcher; DELETE FROM address")

        for node in self.cluster.nodes:
            await self.until(
                partial(self.has_faults, node, 0), f"{node.name}: nothing is wrong any more", SOON
            )

    async def gateways_by_sql(self) -> None:
        """A destination as other servers have it is a gateway, known by its addresses; disabled when its flags say so."""
        await self.sql(
            "INSERT INTO dispatcher (setid, destination, flags, priority, attrs, description) "
            "VALUES (2, 'sip:192.0.2.9:5070;transport=tcp', 0, 5, 'duid=carrier-x;maxload=30', 'X')"
        )
        await self.sql("INSERT INTO address (ip_addr, mask, tag) VALUES ('192.0.2.0', 28, 'carrier-x')")

        async def known(node: Node, enabled: bool) -> bool:
            rows = [row for row in await node.ask("gateways") if row["name"] == "carrier-x"]
            if not rows or (rows[0]["state"] == "disabled") == enabled:
                return False
            found = (await node.ask("gateway-show", name="carrier-x"))["options"]
            return (
                found["servers"] == ["192.0.2.9:5070"]
                and found["sources"] == ["192.0.2.0/28"]
                and (found["transport"], found["channels"]) == ("tcp", 30)
            )

        await self.at_all("the gateway is known", partial(known, enabled=True))
        await self.sql("UPDATE dispatcher SET flags = 4 WHERE name = 'carrier-x'")
        await self.at_all("the gateway is disabled", partial(known, enabled=False))
        await self._change_places()

    async def _change_places(self) -> None:
        """Each of two gateways gets the address of the other one, in one transaction."""
        addresses = ["sip:192.0.2.51", "sip:192.0.2.52"]
        await self.sql(
            "INSERT INTO dispatcher (name, destination) VALUES "
            + ", ".join(f"('place{number}', '{address}')" for number, address in enumerate(addresses))
        )
        for now in (addresses, addresses[::-1]):
            changes = [
                f"UPDATE dispatcher SET destination = '{address}' WHERE name = 'place{number}'"
                for number, address in enumerate(now)
            ]
            await self.sql(f"BEGIN; {'; '.join(changes)}; COMMIT")

            async def there(node: Node, now: list[str] = now) -> bool:
                rows = {row["name"]: row["servers"] for row in await node.ask("gateways")}
                return [rows.get(f"place{number}") for number in range(2)] == [
                    [address.removeprefix("sip:")] for address in now
                ]

            await self.at_all("both are where they are to be", there)
        await self.sql("DELETE FROM dispatcher WHERE name LIKE 'place%'")

    async def gateways_by_voipctl(self) -> None:
        """The database gets them with their sources; their passwords only the nodes can read."""
        await self.node("b").voipctl(
            "gateway", "add", "trunk", "servers=192.0.2.10", "sources=192.0.2.32/28,192.0.2.64",
            "auth_user=us", "password=clear-word", "channels=7",
        )  # fmt: skip

        async def written() -> bool:
            rows = await self.sql("SELECT ip_addr, mask FROM address WHERE tag = 'trunk' ORDER BY id")
            return rows == [["192.0.2.32", "28"], ["192.0.2.64", "32"]]

        await self.until(written, "it is in the database", SOON)
        ((row,),) = await self.sql("SELECT dispatcher::text FROM dispatcher WHERE name = 'trunk'")
        self.assertNotIn("clear-word", row)
        await self.sql("UPDATE dispatcher SET destination = 'sip:192.0.2.11' WHERE name = 'trunk'")

        async def moved(node: Node) -> bool:
            options = (await node.ask("gateway-show", name="trunk"))["options"]
            self.assertEqual(options["channels"], 7)
            return bool(options["servers"] == ["192.0.2.11"] and options["password"] == "set")

        await self.at_all("the server is another one, and the rest as it was", moved)
        await self.node("b").voipctl("gateway", "rm", "trunk")

        async def gone() -> bool:
            return not await self.sql("SELECT name FROM dispatcher WHERE name = 'trunk'")

        await self.until(gone, "it is gone", SOON)

    async def gateways_of_another_server(self) -> None:
        """A list is taken over as a whole or not at all, and is in the database then."""
        list_file = self.folder / "dispatcher.list"
        list_file.write_text(
            "1 sip:192.0.2.40:5060 0 10 duid=im-a;weight=3\n1 sip:192.0.2.41;transport=tcp\n2 sip:192.0.2.42:x\n"
        )
        failed = self.node("a").voipctl_program("import", "kamailio", "--dispatcher", str(list_file))
        self.assertEqual(await failed.ended(), 1)
        self.assertIn(f"{list_file}:3: '192.0.2.42:x' is not HOST or HOST:PORT", failed.output)
        list_file.write_text(list_file.read_text().replace(":x", ""))
        told = await self.node("a").voipctl("import", "kamailio", "--dispatcher", str(list_file))
        self.assertIn("3 gateways: 3 added", told)
        self.assertIn('gateway = "im-a"', told)

        async def there() -> bool:
            rows = await self.sql(
                "SELECT name, destination FROM dispatcher WHERE destination LIKE '%192.0.2.4%' ORDER BY 2"
            )
            return rows == [
                ["im-a", "sip:192.0.2.40:5060"],
                ["set1-192.0.2.41", "sip:192.0.2.41;transport=tcp"],
                ["set2-192.0.2.42", "sip:192.0.2.42"],
            ]

        await self.until(there, "they are in the database", SOON)

    async def with_the_database_gone(self) -> None:
        """An account written at one node is at the others at once, and in the database when that is back."""
        await self.sql(
            f"INSERT INTO subscriber (username, domain, password) VALUES ('early', '{DOMAIN}', 'pw')"
        )
        await self.at_all("user early is known", partial(self.has_user, "early"))
        await self.server.stop()
        for node in self.cluster.nodes:
            await self.until(partial(self.says_gone, node), f"{node.name} has noticed", 15)
        await self.node("b").voipctl("user", "add", f"late@{DOMAIN}", "--password-stdin", stdin="late-word\n")
        await self.node("b").voipctl("user", "rm", f"early@{DOMAIN}")
        self.assertTrue(await self.has_user("late", self.node("a")))
        await self.until(partial(self.has_user, "late", self.node("b")), "b has it", SOON)
        await self.phone("late", self.node("b")).register()
        # the primary dies with it in the queue
        await self.kill(self.node("a"))
        await self.cluster.restart(self.node("a"))
        await self.server.start()

        async def there() -> bool:
            rows = await self.sql("SELECT username FROM subscriber WHERE username IN ('late', 'early')")
            return rows == [["late"]]

        await self.until(there, "it is in the database", 30)
        told = [
            node.log.read_text().count("the shared database is gone, the node goes on")
            for node in self.cluster.nodes
        ]
        self.assertEqual(told, [2, 1])  # once by each process that found it gone

    async def what_was_removed_stays_removed(self) -> None:
        """The database was changed while nobody could read it: the last writer has it, in both directions."""
        await self.node("a").voipctl("user", "add", f"both@{DOMAIN}", "--password-stdin", stdin="old\n")

        async def there() -> bool:
            return bool(await self.sql("SELECT 1 FROM subscriber WHERE username = 'both'"))

        await self.until(there, "it is in the database", SOON)
        await self.node("a").voipctl("user", "rm", f"both@{DOMAIN}")
        await self.until(partial(self._not, there), "it is gone there", SOON)
        before = await self.sql("SELECT key FROM removed_rows WHERE key LIKE 'both@%'")
        self.assertEqual(before, [[f"both@{DOMAIN}"]])
        # somebody restores an old row: by its version it is older than the removal, and by the time of the statement newer
        await self.sql(
            "INSERT INTO subscriber (username, domain, password) VALUES ('both', 'example.com', 'new')"
        )
        await self.at_all("who writes last has it", partial(self.has_user, "both"))

    async def with_a_database_that_says_nothing(self) -> None:
        """As when its disk hangs: users are added, phones register, a node can be stopped, and all of it gets there later."""
        self.server.freeze()
        try:
            await self.node("b").voipctl(
                "user", "add", f"cold@{DOMAIN}", "--password-stdin", stdin="cold-word\n"
            )
            await self.until(partial(self.has_user, "cold", self.node("b")), "b has it", SOON)
            self.passwords["cold"] = "cold-word"
            await self.phone("cold", self.node("b")).register()
            watch = Stopwatch(*(node.pid for node in self.cluster.nodes))
            await self.node("a").ask("status")
            self.assertLess(watch.seconds, 2.0)
            self.assertEqual(await self.node("a").stop(), -signal.SIGTERM)
            self.assertLess(watch.seconds, 20.0)
        finally:
            self.server.thaw()
        await self.cluster.restart(self.node("a"))

        async def there() -> bool:
            return bool(await self.sql("SELECT 1 FROM subscriber WHERE username = 'cold'"))

        await self.until(there, "it is in the database", 30)

    # -- asked

    async def _not(self, condition: Any) -> bool:
        return not await condition()

    async def sql(self, statement: str) -> list[list[str]]:
        return await self.server.sql(statement)

    async def at_all(self, what: str, condition: Any) -> None:
        for node in self.cluster.nodes:
            await self.until(partial(condition, node), f"{node.name}: {what}", SOON)

    async def has_user(self, name: str, node: Node, there: bool = True) -> bool:
        return (f"{name}@{DOMAIN}" in await node.ask("user-list")) == there

    async def has_registration(self, name: str, node: Node, there: bool = True) -> bool:
        return bool(await node.ask("registrations", aor=f"{name}@{DOMAIN}")) == there

    async def has_preference(self, node: Node) -> bool:
        return bool(await node.ask("user-show", name="sql", domain=DOMAIN) == {"forward.busy": "carol"})

    async def has_faults(self, node: Node, count: int) -> bool:
        return len((await self.cluster.status(node))[node.name]["database"]["faults"]) == count

    async def says_gone(self, node: Node) -> bool:
        database = (await self.cluster.status(node))[node.name]["database"]
        return bool(database["trouble"])


def _upgrade(url: str, version: str) -> list[Any]:
    """In a thread. @return: how the tables differ from those of today."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            bring_to(connection, version)
        with engine.begin() as connection:
            bring_up_to_date(connection)
        if version != FORMER[0]:
            return []  # the scripts that run are the last ones of those of the first version
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            # what finds changes is an index that the embedded database has no use for
            return [one for one in compare_metadata(context, metadata) if one[0] != "remove_index"]
    finally:
        engine.dispose()
