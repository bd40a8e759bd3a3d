"""voipctl import from real servers with the tables that Kamailio makes there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from twisted.internet.threads import deferToThread

from tests.integration.claims import DOMAIN, ClaimTestCase
from tests.integration.run_mariadb import MariaDb
from tests.integration.run_postgres import NAME as POSTGRES
from tests.integration.run_postgres import Postgres
from voipcluster.errors import UsageError
from voipcluster.voipctl.importing import subscribers


def _a1(user: str, password: str) -> bytes:
    return f"{user}:{DOMAIN}:{password}".encode()


class ImportTests(ClaimTestCase):
    async def test_from_real_servers(self) -> None:
        """One node for both, since starting it takes longer than an import."""
        await self.start_cluster("--set", 'auth.algorithms=["MD5", "SHA-256"]', nodes="a")
        await self.from_mariadb()
        await self.from_postgresql()

    async def from_mariadb(self) -> None:
        """Users and gateways of a Kamailio: with passwords or digests only; who has been taken over can register."""
        server = MariaDb(self.reactor, self.address(200))
        self.at_end(server.end)
        await server.make()
        digest = hashlib.md5(_a1("dora", "dora-word"), usedforsecurity=False).hexdigest()
        sha_256 = hashlib.sha256(_a1("shah", "shah-word")).hexdigest()
        await server.sql(
            "INSERT INTO subscriber (username, domain, password, ha1, ha1b) VALUES "
            f"('paul', '{DOMAIN}', 'paul-wörd', 'ignored', ''), ('dora', '{DOMAIN.upper()}', '', '{digest}', 'x'), "
            f"('shah', '{DOMAIN}', '', '{sha_256}', ''), ('far', 'elsewhere.example', 'pw', '', '')",
            "INSERT INTO dispatcher (setid, destination, flags, priority, attrs, description) VALUES "
            "(1, 'sip:192.0.2.40:5060', 0, 10, 'duid=im-a;maxload=30', 'A'), (2, 'sip:192.0.2.41;transport=tcp', 1, 0, '', '')",
        )
        await self._wrong(server)
        # the password is in a file as MySQL's own programs have it, and not in the list of processes
        options = self.folder / "my.cnf"
        options.write_text(f"[client]\npassword = {server.password}\n")
        os.chmod(options, 0o600)
        url = f"{server.url}?read_default_file={options}"
        words = ("import", "kamailio", "--subscriber", url, "--dispatcher", url, "--domain", DOMAIN)
        told = await self.primary.voipctl(*words, "--dry-run")
        self.assertIn("3 users: 3 added, 0 replaced, 0 there already (nothing was changed)", told)
        self.assertEqual(await self.primary.ask("user-list"), [])
        told = await self.primary.voipctl(*words)
        self.assertIn("3 users: 3 added", told)
        self.assertIn("1 of them has a digest for MD5 only", told)
        self.assertIn("1 of another domain left out: far@elsewhere.example (row ", told)
        self.assertIn("2 gateways: 2 added", told)
        self.passwords |= {"paul": "paul-wörd", "dora": "dora-word"}
        await self.register(self.phone("paul"), self.phone("dora", host=self.address(101)))
        (carrier, _) = sorted(await self.primary.ask("gateways"), key=lambda row: str(row["name"]))
        self.assertEqual(carrier["name"], "im-a")
        self.assertIn("0 added, 0 replaced, 3 there already", await self.primary.voipctl(*words))

    async def _wrong(self, server: MariaDb) -> None:
        """One line each, in which no password is, and nothing has changed."""
        wrong = "s3cret-of-nobody"
        right = server.url.replace("@", f":{server.password}@")
        await server.sql("RENAME TABLE subscriber TO away")
        for url, text in (
            (server.url.replace("@", f":{wrong}@"), "Access denied for user 'kamailio'@"),
            (f"{right}x", "Access denied for user 'kamailio'@"),
            (server.url.replace(self.address(200), f"{self.address(200)}:3399"), "Can't connect to MySQL server on"),
            (f"{server.url}?read_default_file=/nowhere/my.cnf", "Access denied for user"),
            (right.rpartition("/")[0] + "/information_schema", "Unknown table 'subscriber'"),
            (right, "there is no table subscriber"),
        ):  # fmt: skip
            with self.assertRaises(UsageError) as caught:
                await deferToThread(lambda url=url: list(subscribers(url)))
            told = str(caught.exception)
            self.assertIn(text, told)
            self.assertEqual(len(told.splitlines()), 1, told)
            self.assertNotIn(wrong, told)
            self.assertNotIn(server.password, told)
        await server.sql("RENAME TABLE away TO subscriber")
        await server.sql(
            "INSERT INTO subscriber (username, domain, ha1) VALUES ('bad', 'example.com', 'short')"
        )
        program = self.primary.voipctl_program("import", "kamailio", "--subscriber", right)
        self.assertEqual(await program.ended(), 1)
        self.assertRegex(
            program.output, r"row \d: bad@example.com has no password, and its ha1 is neither 32 nor 64"
        )
        self.assertEqual(await self.primary.ask("user-list"), [])
        await server.sql("DELETE FROM subscriber WHERE username = 'bad'")

    async def from_postgresql(self) -> None:
        """The same by the URL of a PostgreSQL, whose password is where libpq looks for it."""
        server = Postgres(self.reactor, self.address(201), self.folder)
        self.at_end(server.end)
        await server.make()
        await server.sql(
            "CREATE TABLE subscriber (id SERIAL PRIMARY KEY NOT NULL, username VARCHAR(64) DEFAULT '' NOT NULL, "
            "domain VARCHAR(64) DEFAULT '' NOT NULL, password VARCHAR(64) DEFAULT '' NOT NULL, "
            "ha1 VARCHAR(128) DEFAULT '' NOT NULL, ha1b VARCHAR(128) DEFAULT '' NOT NULL, "
            "CONSTRAINT subscriber_account_idx UNIQUE (username, domain)); "
            f"INSERT INTO subscriber (username, domain, password) VALUES ('petra', '{DOMAIN}', 'petra-word'); "
            f"GRANT SELECT ON subscriber TO {POSTGRES}"
        )
        password = Path(self.folder / "pgpass")
        password.write_text(f"*:*:*:*:{server.password}\n")
        password.chmod(0o600)
        with self.assertRaisesRegex(UsageError, "no password supplied"):
            await deferToThread(lambda: list(subscribers(server.url)))
        told = await self.primary.voipctl(
            "import", "kamailio", "--subscriber", f"{server.url}?passfile={password}"
        )
        self.assertIn("1 user: 1 added", told)
        self.passwords["petra"] = "petra-word"
        await self.phone("petra", host=self.address(102)).register()
