"""One script by itself: from the tables of the release before, with rows, to those that it makes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine, inspect, text
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.store.former import bring_to, upgrade


class StepCase(SynchronousTestCase):
    """
    @cvar before: the script of the release before, or empty; C{script}: the one that is tried.
    """

    before = ""
    script = ""

    def setUp(self) -> None:
        engine = create_engine("sqlite://")
        self.addCleanup(engine.dispose)
        self.connection = engine.connect()
        self.addCleanup(self.connection.close)
        if self.before:
            bring_to(self.connection, self.before)

    def step(self) -> None:
        upgrade(self.connection, self.script)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.connection.execute(text(query))]

    def columns(self, table: str) -> set[str]:
        return {column["name"] for column in inspect(self.connection).get_columns(table)}

    def tables(self) -> set[str]:
        return set(inspect(self.connection).get_table_names())

    def counts(self) -> dict[str, int]:
        """Rows of each table but the one in which Alembic keeps its mark."""
        return {
            table: int(self.rows(f"SELECT count(*) FROM {table}")[0][0])
            for table in self.tables() - {"alembic_version"}
        }
