"""The tables of the first release."""

from __future__ import annotations

from sqlalchemy import text

from tests.unit.store.former import AT, fill, insert
from tests.unit.store.migrations.versions.step_case import StepCase


class FirstTests(StepCase):
    script = "0001"

    def test_an_empty_database(self) -> None:
        """It takes a row in each table, and its views show the calls as other servers keep them."""
        self.step()
        fill(self.connection, self.script)
        self.assertEqual(self.counts(), {"subscriber": 1, "location": 1, "acc_cdrs": 2, "outbox": 1})
        self.assertEqual(
            self.rows("SELECT method, callid, sip_code, time FROM acc ORDER BY time, method, callid"),
            [
                ("INVITE", "answered", "200", AT - 20),
                ("BYE", "answered", "200", AT),
                ("INVITE", "missed", "486", AT),
            ],
        )
        self.assertEqual(self.rows("SELECT callid FROM missed_calls"), [("missed",)])

    def test_what_was_there_before(self) -> None:
        """Accounts of a state before the first release stay, and its table of versions goes."""
        self.connection.execute(
            text(
                "CREATE TABLE subscriber (username VARCHAR, domain VARCHAR, ha1 VARCHAR, ha1_sha256 VARCHAR, "
                "disabled BOOLEAN, created FLOAT, last_modified FLOAT, PRIMARY KEY (username, domain))"
            )
        )
        self.connection.execute(text("CREATE TABLE version (table_name VARCHAR, table_version INTEGER)"))
        row = {"username": "alice", "domain": "example.com", "ha1": "x", "ha1_sha256": "", "disabled": False}
        insert(self.connection, "subscriber", row | {"created": AT, "last_modified": AT})
        self.step()
        self.assertEqual(self.rows("SELECT username, ha1 FROM subscriber"), [("alice", "x")])
        self.assertNotIn("version", self.tables())
