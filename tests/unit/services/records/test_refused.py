"""Records of calls that nobody has served."""

from __future__ import annotations

from tests.unit.services.sip_world import WorldCase
from voipcluster.errors import PeerError
from voipcluster.services.node.records import CallRecord
from voipcluster.services.records.refused import MOST, MOST_OF_SOURCE, REMEMBERED, WINDOW, RefusedCalls
from voipcluster.services.records.rows import row_of
from voipcluster.sip.proxy.events import Target


class RefusedTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a")
        self.records: list[CallRecord] = []
        self.refused = RefusedCalls(
            self.records.append, self.world.clock.seconds, "a", lambda: {"203.0.113.9"}
        )
        self.node.transactions.refused = self.refused.note
        self.alice = self.world.phone("alice", "198.51.100.1")

    def invite(self, number: int = 0, host: str = "198.51.100.1", to: str = "sip:nobody@example.com") -> None:
        phone = self.alice if host == "198.51.100.1" else self.world.phone("alice", host)
        phone.send(self.node, "INVITE", to, call_id=f"c{number}@{host}", branch=f"b{number}")

    def test_a_row(self) -> None:
        """It names who, whom, from where, and why; it was tried nowhere."""
        self.invite()
        (record,) = self.records
        row = row_of(record, "a", False)
        self.assertEqual(
            (row["callid"], row["callee"], row["src_ip"], row["sip_code"], row["attempts"], row["ended_by"]),
            ("c0@198.51.100.1", "sip:nobody@example.com", "198.51.100.1:5060", "404", 0, "node"),
        )
        self.assertEqual((row["caller"], row["duration"]), ("sip:alice@example.com", 0.0))
        self.assertEqual(row["cause"], "refused 404 (no such user)")

    def test_the_reason(self) -> None:
        """What the Warning says stands in the cause, too."""

        def locate(uri: str) -> list[Target]:
            raise PeerError("not on Sundays", 403)

        self.patch(self.node.targets, "locate", locate)
        self.invite()
        self.assertEqual([one.reason for one in self.records], ["refused 403 (not on Sundays)"])

    def test_what_is_no_refused_call(self) -> None:
        """Other methods, challenges, copies, and requests within dialogs."""
        self.invite()
        self.invite()
        self.alice.send(self.node, "OPTIONS", "sip:nobody@example.com", call_id="o")
        self.alice.send(self.node, "INVITE", "sip:nobody@example.com", call_id="d", to_tag="x")
        self.assertEqual(len(self.records), 1)

    def test_a_flood(self) -> None:
        """Of one address a few a minute, of all together some more; the rest is counted."""
        for number in range(100):
            self.invite(number)
        self.assertEqual((len(self.records), self.refused.left_out), (MOST_OF_SOURCE, 100 - MOST_OF_SOURCE))
        for number in range(100):
            self.invite(number, f"198.51.101.{number}")
        self.assertEqual(len(self.records), MOST)
        self.world.clock.advance(WINDOW)
        self.invite(1000)
        self.assertEqual(len(self.records), MOST + 1)
        self.assertLessEqual(len(self.refused._seen), REMEMBERED)

    def test_a_busy_node(self) -> None:
        """What another node is told it tells nobody: it asks the next one. A client is told, and has a record."""
        incoming = self.world.phone("alice", "203.0.113.9")
        self.node.load(2.0)
        incoming.send(self.node, "INVITE", "sip:bob@example.com", call_id="n")
        self.assertEqual(self.records, [])
        self.invite(7, to="sip:bob@example.com")
        self.assertEqual(
            [one.reason for one in self.records], ["refused 503 (at the hard limit, and nobody can take it)"]
        )
