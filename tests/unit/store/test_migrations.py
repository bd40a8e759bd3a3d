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
from voipcluster.errors import UsageError
from voipcluster.store import migrations
from voipcluster.store.accounts import Accounts, new_account
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
    def test_a_state_before_the_first_release(self) -> None:
        """Its accounts are there, and the tables that it did not know."""
        self.successResultOf(Accounts(self.open()).put(new_account("alice", "example.com", "pw")))
        with sqlite3.connect(self.path) as connection:
            for view in VIEWS:
                connection.execute(f"DROP VIEW {view}")
            for table in ("acc_cdrs", "outbox", "dispatcher", migrations.MARK):
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
