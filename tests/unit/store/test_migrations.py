"""The tables of an older state become those of today, and a script stands for each change of them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, inspect, text
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.store.database_case import DatabaseCase
from tests.unit.store.former import AT, FORMER, VERSION, make_file
from voipcluster import __version__
from voipcluster.balance.messages import StoredGateway
from voipcluster.balance.protocol import NEWEST, OLDEST
from voipcluster.errors import UsageError
from voipcluster.store import migrations
from voipcluster.store.acc import CallLog
from voipcluster.store.accounts import Accounts, new_account
from voipcluster.store.gateways import Gateways
from voipcluster.store.migrations import HEAD, NewerSchema, bring_up_to_date
from voipcluster.store.tables import VIEWS, metadata


class Scripts(SynchronousTestCase):
    def setUp(self) -> None:
        self.engine = create_engine("sqlite://")
        self.addCleanup(self.engine.dispose)

    def test_the_scripts_make_the_tables_of_today(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE subscriber_old (x INTEGER)"))  # so that it is not empty
            migrations._upgrade(connection, None)
            connection.execute(text("DROP TABLE subscriber_old"))
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            self.assertEqual(compare_metadata(context, metadata), [])
            self.assertEqual(self.views(connection), VIEWS)
            self.assertEqual(context.get_current_revision(), HEAD)

    def views(self, connection: Any) -> dict[str, str]:
        found = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'view'"))
        return {name: sql.partition(" AS ")[2] for name, sql in found}

    def test_head_is_the_latest_script(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        self.assertEqual(ScriptDirectory.from_config(config).get_heads(), [HEAD])

    def test_every_former_one_is_tried(self) -> None:
        """With rows of its own, here and with a real PostgreSQL."""
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        scripts = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()]
        self.assertEqual((*FORMER, HEAD), tuple(reversed(scripts)))

    def test_the_schema_of_this_release_is_told(self) -> None:
        """Who upgrades reads which one it is."""
        page = Path(__file__).parents[3] / "docs" / "upgrading.md"
        release = __version__.rpartition(".")[0]
        versions = f"{OLDEST} to {NEWEST}" if OLDEST != NEWEST else f"{NEWEST}"
        self.assertIn(f"\n| {release} | {versions} | {HEAD} |\n", page.read_text())

    def test_an_empty_database_is_marked(self) -> None:
        with self.engine.begin() as connection:
            bring_up_to_date(connection)
            self.assertEqual(MigrationContext.configure(connection).get_current_revision(), HEAD)
            self.assertEqual(set(inspect(connection).get_table_names()), {*metadata.tables, migrations.MARK})
            self.assertEqual(self.views(connection), VIEWS)

    def test_nothing_is_done_twice(self) -> None:
        with self.engine.begin() as connection:
            bring_up_to_date(connection)
            asked: list[str] = []
            event.listen(connection, "before_cursor_execute", lambda c, u, sql, *rest: asked.append(sql))
            bring_up_to_date(connection)
            self.assertEqual([sql for sql in asked if "CREATE" in sql or "INSERT" in sql], [])

    def test_a_newer_one(self) -> None:
        with self.engine.begin() as connection:
            bring_up_to_date(connection)
            connection.execute(text(f"UPDATE {migrations.MARK} SET version_num = '9999'"))
            error = self.assertRaises(NewerSchema, bring_up_to_date, connection)
            self.assertIn("9999", str(error))
            self.assertIsInstance(error, UsageError)


class States(DatabaseCase):
    def test_each_former_version(self) -> None:
        """
        Users, gateways, calls and what waits are there, the versions are the times of the last changes, and new ones can be
        made.
        """
        for number, version in enumerate(FORMER):
            self.path = Path(self.mktemp())
            make_file(self.path, version)
            database = self.open()
            accounts, gateways, log = Accounts(database), Gateways(database), CallLog(database)
            alice = accounts.get("alice", "example.com")
            assert alice is not None
            self.assertEqual((alice.ha1[0].ha1, alice.version), ("0" * 32, VERSION))
            self.assertEqual(list(accounts.preferences), ["alice@example.com"] if number >= 2 else [])
            self.assertEqual(
                [one.username for one in accounts.with_removed()],
                ["alice", "gone"] if number >= 3 else ["alice"],
            )
            self.assertEqual(
                [(one.name, one.version) for one in gateways], [("carrier", VERSION)] if number else []
            )
            calls = self.successResultOf(log.calls(0, 2e9, 0, 9))
            self.assertEqual(
                [(row["callid"], row["end_time"], len(row.get("tried", ()))) for row in calls],
                [("answered", AT, 0), ("missed", AT, 0), *([("tried", AT, 2)] if number >= 4 else [])],
            )
            self.assertEqual([one.body for one in self.successResultOf(log.waiting("database", 9))], ["{}"])
            self.assertEqual(len(database.rows(text("SELECT aor FROM location"))), 1)
            self.assertLess(alice.version, accounts.stamped(alice).version)
            self.successResultOf(accounts.put(new_account("bob", "example.com", "pw")))
            self.successResultOf(gateways.put(StoredGateway(name="other", servers=("192.0.2.1",))))

    def test_one_that_is_cut_off(self) -> None:
        """By whatever, in the middle of the scripts or of the making of new tables: the next start does all of it."""
        for version in ("", FORMER[0], FORMER[-2]):
            self.path = Path(self.mktemp())
            if version:
                make_file(self.path, version)
            statements = self.cut_off_after(10**9)
            for done in range(1, statements, 1 + statements // 4):
                self.assertLessEqual(self.cut_off_after(done), statements)
                with sqlite3.connect(self.path) as connection:
                    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
                connection.close()
                self.assertEqual("alembic_version" in tables, bool(version))
            accounts = Accounts(self.open())
            self.assertEqual([one.username for one in accounts], ["alice"] if version else [])

    def cut_off_after(self, most: int) -> int:
        """
        Bring the tables up to date, in a copy of the file when all of it is to be done.

        @return: how many statements that change something were executed.
        """
        path = self.path
        if most > 10**6:
            path = Path(self.mktemp())
            if self.path.exists():
                path.write_bytes(self.path.read_bytes())
        engine = create_engine(f"sqlite:///{path}")
        count = 0

        def executed(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            nonlocal count
            count += statement.split(maxsplit=1)[0] in ("CREATE", "ALTER", "INSERT", "UPDATE", "DROP")
            if count > most:
                raise KeyboardInterrupt

        event.listen(engine, "before_cursor_execute", executed)
        try:
            with engine.begin() as connection:
                bring_up_to_date(connection)
        except KeyboardInterrupt:
            pass
        finally:
            engine.dispose()
        return count

    def test_a_state_before_the_first_release(self) -> None:
        """Its accounts are there, and the tables that it did not know."""
        make_file(self.path, "0001")
        with sqlite3.connect(self.path) as connection:
            for view in VIEWS:
                connection.execute(f"DROP VIEW IF EXISTS {view}")
            for table in ("acc_cdrs", "outbox", migrations.MARK):
                connection.execute(f"DROP TABLE {table}")
            connection.execute("CREATE TABLE version (table_name TEXT, table_version INTEGER)")
        connection.close()
        database = self.open()
        self.assertIsNotNone(Accounts(database).get("alice", "example.com"))
        with sqlite3.connect(self.path) as connection:
            names = {
                name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
        connection.close()
        self.assertLessEqual({*metadata.tables, migrations.MARK}, names)
        self.assertNotIn("version", names)
