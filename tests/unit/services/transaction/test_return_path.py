"""Responses whose connection is gone find another way (RFC 3261 section 18.2.2, RFC 3263 section 5)."""

from __future__ import annotations

from tests.unit.services.names_world import NET, ONE, TWO, NamesCase
from tests.unit.services.sip_world import Phone
from voipcluster.address import TCP
from voipcluster.sip.dns import SRV, Srv

SOURCE = "198.51.100.1"


class ReturnPathTests(NamesCase):
    def setUp(self) -> None:
        super().setUp()
        self.alice = self.world.phone("alice", SOURCE, TCP, 40000)
        self.bob = self.world.phone("bob", "198.51.100.2")

    def answer_behind(self, sent_by: str) -> None:
        """A request comes over a connection, which is gone before its answer."""
        self.alice.send(self.node, "MESSAGE", f"sip:bob@{self.bob.address[0]}", sent_by=sent_by)
        del self.world.network.ends[self.alice.address]
        self.node.transport.lose(self.alice.address)
        self.bob.reply(self.bob.request("MESSAGE"), 200)
        self.world.wait(0.2)

    def listens(self, host: str, port: int) -> Phone:
        return self.world.phone("alice", host, TCP, port)

    def test_source_first(self) -> None:
        """A new connection goes to where the request came from, at the port of sent-by; no name is looked up for that."""
        here = self.listens(SOURCE, 5060)
        self.answer_behind(NET)
        self.assertEqual((here.took(), self.dns.asked), ([200], []))

    def test_srv(self) -> None:
        """When there is none, the name of sent-by is looked up: with SRV, since it has no port."""
        self.dns.zone[f"_sip._tcp.{NET}", SRV] = (Srv(1, 1, 5070, f"one.{NET}"),)
        there = self.listens(ONE, 5070)
        self.answer_behind(NET)
        self.assertEqual(
            (there.took(), self.dns.asked), ([200], [f"SRV of _sip._tcp.{NET}", f"A of one.{NET}"])
        )

    def test_next_server(self) -> None:
        """A server of that name that does not listen is passed over."""
        self.dns.zone[f"_sip._tcp.{NET}", SRV] = (
            Srv(1, 1, 5070, f"one.{NET}"),
            Srv(2, 1, 5070, f"two.{NET}"),
        )
        there = self.listens(TWO, 5070)
        self.answer_behind(NET)
        self.assertEqual(there.took(), [200])

    def test_port(self) -> None:
        """With a port in sent-by only addresses are asked for."""
        there = self.listens(ONE, 5066)
        self.answer_behind(f"one.{NET}:5066")
        self.assertEqual((there.took(), self.dns.asked), ([200], [f"A of one.{NET}"]))

    def test_numeric(self) -> None:
        """A numeric sent-by is tried as it stands, and only once when it is the source."""
        there = self.listens(TWO, 5066)
        self.answer_behind(f"{TWO}:5066")
        self.assertEqual((there.took(), self.dns.asked), ([200], []))

    def test_nowhere(self) -> None:
        """When nothing leads back, the response is lost, quietly, and the transaction waits for a copy (RFC 6026 section 6)."""
        for sent_by, asked in ((f"{SOURCE}:5060", 0), ("nowhere.example", 1), (f"one.{NET}:5060", 2)):
            self.alice = self.world.phone("alice", SOURCE, TCP, 40000)
            self.answer_behind(sent_by)
            self.assertEqual(
                len({question.rpartition(" ")[2][-15:] for question in self.dns.asked}), asked, sent_by
            )

    def test_no_dns(self) -> None:
        """Where nobody looks names up, the source is all there is."""
        self.node.transactions.resolving = None
        self.answer_behind(NET)
        self.assertEqual(self.dns.asked, [])
