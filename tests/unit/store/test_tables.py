"""The tables hold what others write there, and have what others read of them."""

from __future__ import annotations

from sqlalchemy import String, create_engine, text
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.services.records import rows
from voipcluster.store.tables import VIEWS, acc_cdrs, acc_tried, metadata
from voipcluster.voipctl import records

# of rows._LONGEST, in its order
CUT = (
    "callid", "from_tag", "to_tag", "caller", "callee", "src_user", "gateway_in", "gateway_out", "number", "cause", "target",
)  # fmt: skip


class TablesTests(SynchronousTestCase):
    def test_what_is_cut_fits(self) -> None:
        """PostgreSQL refuses a text that is longer than its column, and with it all rows of the transaction."""
        lengths = [column.type.length for column in (acc_cdrs.c[name] for name in CUT)]
        self.assertEqual(lengths, list(rows._LONGEST))
        for name, length in (("target", 1024), ("gateway", 64), ("cause", 128)):  # as rows._tried cuts them
            column = acc_tried.c[name].type
            assert isinstance(column, String)
            self.assertEqual(column.length, length, name)

    def test_what_is_exported_is_there(self) -> None:
        """Each column of a call once, as C{voipctl records --csv} prints it; those of an attempt are in its view."""
        self.assertEqual(sorted(records.COLUMNS), sorted(set(acc_cdrs.c.keys()) - {"id"}))
        engine = create_engine("sqlite://")
        self.addCleanup(engine.dispose)
        with engine.begin() as connection:
            metadata.create_all(connection)
            for name, query in VIEWS.items():
                connection.execute(text(f"CREATE VIEW {name} AS {query}"))
            found = set(connection.execute(text("SELECT * FROM acc_attempts")).keys())
        self.assertLessEqual(set(records.ATTEMPTS), found)
