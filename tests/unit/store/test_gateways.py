"""The gateways of the database."""

from __future__ import annotations

import sqlite3

from attrs import evolve

from tests.unit.store.database_case import DatabaseCase, Later
from voipcluster.balance.messages import StoredGateway, Way
from voipcluster.store.gateways import Gateways

CARRIER = StoredGateway(
    name="carrier",
    servers=("192.0.2.1:5060", "sip.carrier.example"),
    transport="tcp",
    auth_user="4930",
    password="sesame",
    hours=("Mo-Fr 08:00-18:00",),
    incoming=Way(callers=("+49",), numbers=("users",)),
)
PBX = StoredGateway(name="pbx", enabled=False, probe=0.0)


class GatewaysTests(DatabaseCase):
    def rows(self) -> dict[str, tuple[object, ...]]:
        with sqlite3.connect(self.path) as connection:
            found = connection.execute(
                "SELECT name, destination, flags, attrs, description, password FROM dispatcher"
            )
            rows = {row[0]: row[1:] for row in found}
        connection.close()
        return rows

    def test_survive_a_restart(self) -> None:
        """Added, changed, switched off and removed gateways are the same ones later."""
        gateways = Gateways(self.open())
        self.successResultOf(gateways.put(CARRIER, PBX, StoredGateway(name="x")))
        self.successResultOf(
            gateways.put(
                evolve(PBX, channels=3), StoredGateway(name="x", removed=True), evolve(CARRIER, trusted=True)
            )
        )
        again = Gateways(self.open())
        self.assertEqual({one.name: one for one in again}, {one.name: one for one in gateways})
        self.assertEqual(again.get("carrier"), evolve(CARRIER, trusted=True))
        self.assertEqual(again.get("pbx"), evolve(PBX, channels=3))
        self.assertIsNone(again.get("x"))

    def test_what_others_read(self) -> None:
        """The columns that Kamailio's table has, too, say what they say there; the password is in none but its own."""
        self.successResultOf(Gateways(self.open()).put(CARRIER, PBX))
        rows = self.rows()
        destination, flags, attrs, description, password = rows["carrier"]
        self.assertEqual(
            destination, "sip:192.0.2.1:5060;transport=tcp sip:sip.carrier.example;transport=tcp"
        )
        self.assertEqual((flags, description, password), (8, "voip", "sesame"))
        self.assertNotIn("sesame", str(attrs))
        self.assertEqual(rows["pbx"][:2], ("", 4))

    def test_counts_when_it_is_durable(self) -> None:
        """Nothing is let through by a gateway that a crash would take away."""
        later = Later()
        gateways = Gateways(self.open(later))
        put = gateways.put(CARRIER)
        self.assertIsNone(gateways.get("carrier"))
        later.work()
        self.successResultOf(put)
        self.assertIsNotNone(gateways.get("carrier"))

    def test_keep_only(self) -> None:
        """After a full copy, what the primary did not name is gone."""
        gateways = Gateways(self.open())
        self.successResultOf(gateways.put(CARRIER, PBX))
        self.successResultOf(gateways.keep_only({"pbx"}))
        self.assertEqual([one.name for one in Gateways(self.open())], ["pbx"])

    def test_edited_by_hand(self) -> None:
        """A row that is no gateway is left out with one line in the log, and the others are served."""
        self.successResultOf(Gateways(self.open()).put(CARRIER, PBX, StoredGateway(name="x")))
        with sqlite3.connect(self.path) as connection:
            connection.execute("UPDATE dispatcher SET attrs = '[1' WHERE name = 'pbx'")
            connection.execute("UPDATE dispatcher SET attrs = '{\"channels\": -1}' WHERE name = 'x'")
        connection.close()
        self.assertEqual([one.name for one in Gateways(self.open())], ["carrier"])
