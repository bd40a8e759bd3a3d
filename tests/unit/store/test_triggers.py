"""The triggers of the shared database, as texts; what they do is in the integration tests, with a real server."""

from __future__ import annotations

import re

from sqlalchemy import create_engine
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.store.tables import metadata
from voipcluster.store.triggers import FUNCTIONS, TRIGGERS, make_triggers


class TriggerTests(SynchronousTestCase):
    def test_each_has_its_function_and_table(self) -> None:
        functions = set(re.findall(r"FUNCTION (\w+)\(\) RETURNS", "\n".join(FUNCTIONS)))
        called = {re.findall(r"EXECUTE FUNCTION (\w+)\(\)", what)[0] for _, _, what in TRIGGERS.values()}
        self.assertEqual(functions, called)
        self.assertLessEqual({table for table, _, _ in TRIGGERS.values()}, set(metadata.tables))

    def test_none_in_the_embedded_database(self) -> None:
        engine = create_engine("sqlite://")
        self.addCleanup(engine.dispose)
        with engine.begin() as connection:
            metadata.create_all(connection)
            make_triggers(connection)
            found = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").all()
        self.assertEqual(found, [])
