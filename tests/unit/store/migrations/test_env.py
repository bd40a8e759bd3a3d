"""How Alembic runs the scripts: over the connection of who asks, and in his transaction."""

from __future__ import annotations

from sqlalchemy import create_engine, inspect
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.store.former import upgrade
from voipcluster.store.migrations import HEAD, schema_of


class EnvTests(SynchronousTestCase):
    def test_in_the_transaction_of_who_asks(self) -> None:
        """What he takes back is as if it had never been; nothing was committed before."""
        engine = create_engine("sqlite://")
        self.addCleanup(engine.dispose)
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            upgrade(connection, HEAD)
            self.assertEqual(schema_of(connection), HEAD)
            connection.rollback()
            self.assertEqual(inspect(connection).get_table_names(), [])
