"""The gateways as they are now."""

from __future__ import annotations

import os
import time

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.access import Direction
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.permission import Party
from voipcluster.services.cluster.tallies import Tallies
from voipcluster.services.gateway.book import GatewayBook, channels_key
from voipcluster.services.gateway.merging import DATABASE, FILE, Origin
from voipcluster.sip.challenges import Identity

MONDAY_NOON = 1764590400.0  # 2025-12-01 12:00 UTC


class ServerTests(SynchronousTestCase):
    def test_server_at(self) -> None:
        """However a server is written it is found; a port of its own tells two gateways on one host apart."""
        gateways = (
            Gateway("a", servers=("192.0.2.1",)),
            Gateway("b", servers=("192.0.2.1:5080", "SIP.carrier.example")),
            Gateway("c", servers=("[2001:db8::1]:5061",)),
        )
        book = GatewayBook(gateways, Tallies(), lambda: 0.0)
        for host, port, name in (
            ("192.0.2.1", 0, "a"), ("192.0.2.1", 5060, "a"), ("192.0.2.1", 5061, "a"), ("192.0.2.1", 5080, "b"),
            ("192.0.2.1", 5090, None), ("192.0.2.9", 5060, None), ("sip.carrier.example.", 0, "b"),
            ("sip.Carrier.example", 7000, "b"), ("[2001:DB8:0::1]", 5060, "c"), ("2001:db8::1", 5061, "c"),
        ):  # fmt: skip
            found = book.server_at(host, port)
            self.assertEqual(None if found is None else found.name, name, (host, port))


class BookTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = MONDAY_NOON
        self.tallies = Tallies()

    def book(self, *gateways: Gateway) -> GatewayBook:
        return GatewayBook(gateways, self.tallies, lambda: self.now, time.gmtime)

    def test_empty(self) -> None:
        """A book without gateways is false, so that the path of every message asks nothing else."""
        self.assertFalse(self.book())
        self.assertTrue(self.book(Gateway("a")))

    def test_where_they_are(self) -> None:
        """An address is a gateway's when it is one of its servers or in its networks, as they are now."""
        book = self.book(
            Gateway("a", ("192.0.2.1:5070", "sip.example"), certificates=("x.example",)),
            Gateway("b", sources=("198.51.100.0/24", "2001:db8::/32")),
        )
        hosts = ("192.0.2.1", "192.0.2.2", "198.51.100.9", "2001:db8::5", "fe80::1%eth0", "192.0.2.1")
        self.assertEqual([book.is_at(host) for host in hosts], [True, False, True, True, False, True])
        book.replace([])
        self.assertFalse(book.is_at("192.0.2.1"))

    def test_credentials(self) -> None:
        """Who we are where we have an account; the password is read when it is needed."""
        book = self.book(Gateway("a", auth_user="voip", password="x", realm="r"), Gateway("b"))
        credentials = book.credentials("a")
        assert credentials is not None
        self.assertEqual(credentials(), Identity("voip", "x", "r"))
        self.assertIsNone(book.credentials("b"))
        self.assertIsNone(book.credentials(""))

    def test_registration(self) -> None:
        """How our registration stands is shown with the rest; of a gateway that is not there nothing is kept."""
        book = self.book(Gateway("a"))
        book.set_registration("a", "registered for 600 s")
        book.set_registration("b", "registered for 600 s")
        state = book.state("a")
        assert state is not None
        self.assertEqual((state.registration, book.registration("b")), ("registered for 600 s", ""))

    def test_channels(self) -> None:
        """A gateway whose channels are all taken, here and elsewhere, is not usable but for an emergency."""
        book = self.book(Gateway("a", servers=("192.0.2.1",), channels=2))
        book.seized("a")
        self.assertTrue(book.usable("a"))
        self.tallies.begin_copy("b")
        self.tallies.add(channels_key("a"), 1)
        self.assertEqual(
            (book.usable("a"), book.is_full("a"), book.usable("a", emergency=True)), (False, True, True)
        )
        book.released("a", "486 Busy Here")
        self.assertTrue(book.usable("a"))

    def test_why_not_usable(self) -> None:
        """Unknown, disabled, down, closed, and one that has no server."""
        book = self.book(
            Gateway("off", servers=("192.0.2.1",), enabled=False),
            Gateway("closed", servers=("192.0.2.2",), hours=("Tu 00:00-24:00",)),
            Gateway("dead", servers=("192.0.2.3",)),
            Gateway("deaf"),
        )
        book.set_up("dead", False, "no answer")
        self.assertFalse(any(book.usable(name) for name in ("off", "closed", "dead", "deaf", "none")))
        self.assertTrue(book.usable("closed", emergency=True))
        self.assertFalse(book.usable("dead", emergency=True))
        state = book.state("dead")
        assert state is not None
        self.assertEqual((state.up, state.reason), (False, "no answer"))
        book.set_up("dead", True)
        self.now += 86_400
        self.assertTrue(book.usable("dead") and book.usable("closed"))

    def test_counted(self) -> None:
        """Seizures, answers, their ratio, and how the last call ended."""
        book = self.book(Gateway("a", channels=5))
        state = book.state("a")
        assert state is not None
        self.assertIsNone(state.asr)
        for answered in (True, False, True, True):
            book.seized("a")
            if answered:
                book.answered("a")
        book.released("a", "503 Service Unavailable")
        state = book.state("a")
        assert state is not None
        self.assertEqual((state.seizures, state.answers, state.asr), (4, 3, 0.75))
        self.assertEqual((state.channels, state.most, state.full), (3, 5, False))
        self.assertEqual(state.last_cause, "503 Service Unavailable")
        self.assertIsNone(book.state("none"))

    def test_replaced(self) -> None:
        """Who listens hears of a change and of nothing else; what is known of a gateway that stays is kept."""
        book, heard = self.book(Gateway("a"), Gateway("b")), []
        book.changed.append(lambda: heard.append([gateway.name for gateway in book]))
        book.seized("a")
        book.replace([Origin(Gateway("a"), FILE), Origin(Gateway("b"), FILE)])
        book.replace([Origin(Gateway("a", channels=1), DATABASE)])
        self.assertEqual(heard, [["a"]])
        self.assertTrue(book.is_full("a"))
        self.assertIsNone(book.get("b"))
        self.assertEqual(book.where("a"), DATABASE)

    def test_refusal(self) -> None:
        """What a gateway may do depends on the local time of the node."""
        gateway = Gateway("a", hours=("Mo 08:00-18:00",))
        book = self.book(gateway)
        alice = Party(aor="alice@example.com", ours=True)
        self.assertIsNone(book.refusal(gateway, Direction.INCOMING, Party("110"), alice))
        self.now += 6 * 3600
        refusal = book.refusal(gateway, Direction.INCOMING, Party("110"), alice)
        self.assertEqual(refusal and refusal.kind, "hours")

    def test_secret_file(self) -> None:
        """The password is read from its file when it is needed, so that a new one needs no restart."""
        path = self.mktemp()
        with open(path, "w", encoding="utf-8") as file:
            file.write("sesame\n")
        os.chmod(path, 0o600)
        book = self.book(
            Gateway("a", auth_user="x", secret=path), Gateway("b", auth_user="x", password="open")
        )
        self.assertEqual([book.password(name) for name in ("a", "b", "none")], ["sesame", "open", ""])
