"""The file of the embedded database: whose it is, its damage, and the order of writes."""

from __future__ import annotations

import sqlite3
import stat

from attrs import evolve
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.unit.store.database_case import DatabaseCase, Later
from tests.unit.store.former import make_file
from voipcluster.errors import UsageError
from voipcluster.store.accounts import Accounts, new_account
from voipcluster.store.migrations import HEAD


class File(DatabaseCase):
    def test_it_is_private(self) -> None:
        """It holds what digest needs of passwords, so nobody else reads it."""
        self.successResultOf(Accounts(self.open()).put(new_account("alice", "example.com", "pw")))
        for path in self.path.parent.glob(self.path.name + "*"):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)

    def test_errors_tell_no_secrets(self) -> None:
        """They go to the log and to the operator: no digest, nor who has called whom, is in them."""
        database = self.open()
        self.successResultOf(database.write((text("DROP TABLE subscriber"), None)))
        known = {"ha1": "d41d8cd98f00b204"}
        rows = [("webhook", "alice has called"), ("webhook", "bob")]
        for written in (
            database.write((text("INSERT INTO subscriber (ha1) VALUES (:ha1)"), [known])),
            database.write_rows(("INSERT INTO nowhere (consumer, body) VALUES (?, ?)", rows)),
        ):
            said = self.failureResultOf(written, OperationalError).getErrorMessage()
            self.assertIn("no such table", said)
            for secret in (known["ha1"], "alice"):
                self.assertNotIn(secret, said)

    def test_damage_is_one_line(self) -> None:
        """What is no database, and a database of a newer version, give one line that names the file."""
        self.path.write_bytes(b"rubbish" * 1000)
        error = str(self.assertRaises(UsageError, self.open))
        self.assertIn(str(self.path), error)
        self.assertNotIn("\n", error)
        self.path.unlink()
        self.open().close()
        with sqlite3.connect(self.path) as connection:
            connection.execute("update alembic_version set version_num = '99'")
        connection.close()
        error = str(self.assertRaises(UsageError, self.open))
        self.assertIn("99", error)
        self.assertIn(str(self.path), error)

    def _older(self) -> None:
        """The database as the release with schema 0002 has left it."""
        make_file(self.path, "0002")

    def test_a_copy_from_before_an_upgrade(self) -> None:
        """Before tables change the file is kept as it was, private; whoever goes back is told of it."""
        self._older()
        self.open().close()
        copy = self.path.with_name(f"{self.path.name}.0002")
        self.assertEqual(stat.S_IMODE(copy.stat().st_mode), 0o600)
        with sqlite3.connect(copy) as connection:
            self.assertEqual(
                connection.execute("select version_num from alembic_version").fetchall(), [("0002",)]
            )
            self.assertEqual(connection.execute("select username from subscriber").fetchall(), [("alice",)])
        connection.close()
        self.open().close()  # up to date: nothing more is kept
        self.assertEqual(sorted(self.path.parent.glob(f"{self.path.name}.0*")), [copy])
        with sqlite3.connect(self.path) as connection:
            connection.execute("update alembic_version set version_num = '99'")
        connection.close()
        kept = self.path.with_name(f"{self.path.name}.{HEAD}")
        kept.write_bytes(b"")
        self.assertIn(f"{kept} is the one from before", str(self.assertRaises(UsageError, self.open)))

    def test_no_copy_no_upgrade(self) -> None:
        """Where no copy can be kept the tables stay as they are, and one line says why."""
        self._older()
        self.path.with_name(f"{self.path.name}.0002").mkdir()
        error = str(self.assertRaises(UsageError, self.open))
        self.assertIn(f"{self.path.name}.0002: no copy can be kept", error)
        with sqlite3.connect(self.path) as connection:
            self.assertEqual(
                connection.execute("select version_num from alembic_version").fetchall(), [("0002",)]
            )
        connection.close()

    def test_a_damaged_page_is_found(self) -> None:
        """Damage inside the file is found when it is opened, not when it is used."""
        accounts = Accounts(self.open())
        self.successResultOf(accounts.put(*(new_account(f"u{n}", "example.com", "pw") for n in range(500))))
        with sqlite3.connect(self.path) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
        connection.close()
        octets = bytearray(self.path.read_bytes())
        for page in range(2, len(octets) // 4096 - 1):
            octets[page * 4096 : page * 4096 + 64] = b"\xff" * 64
        self.path.write_bytes(octets)
        self.assertIn(str(self.path), str(self.assertRaises(UsageError, self.open)))

    def test_writes_keep_their_order(self) -> None:
        """One write is under way at a time, also when there are more threads."""
        later = Later()
        accounts = Accounts(self.open(later))
        first = accounts.put(new_account("alice", "example.com", "one"))
        second = accounts.put(evolve(new_account("alice", "example.com", "one"), removed=True))
        self.assertEqual(len(later.waiting), 1)
        later.work()
        self.successResultOf(first)
        self.assertNoResult(second)
        later.work()
        self.successResultOf(second)
        self.assertEqual(len(Accounts(self.open())), 0)
