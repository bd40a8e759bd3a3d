"""Registrations with trunks: what is sent, which node does it, and what the list of gateways learns of it."""

from __future__ import annotations

import os

from attrs import evolve

from tests.unit.services.gateway.test_probing import NoTallies
from tests.unit.services.sip_world import Phone, WorldCase
from voipcluster.address import TLS
from voipcluster.gateway.gateway import Gateway
from voipcluster.services.gateway.book import GatewayBook
from voipcluster.services.gateway.registering import SETTLING, RegisteringService
from voipcluster.sip.digest import ha1, parse_answer, proves

TRUNK = "198.51.100.21"
GATEWAY = Gateway("gw", (TRUNK,), registrar=f"sip:{TRUNK}", auth_user="voip", password="secret")
CHALLENGE = ("WWW-Authenticate", 'Digest realm="trunk", nonce="n1", qop="auth"')


class RegisteringServiceTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.nodes = [self.world.node("a"), self.world.node("b")]
        self.trunk = self.world.phone("trunk", TRUNK)
        self.alive = ["a", "b"]
        self.books: list[GatewayBook] = []
        self.services: list[RegisteringService] = []

    def tearDown(self) -> None:
        for service in self.services:
            if service.running:
                service.stopService()
        self.world.wait(35.0)
        super().tearDown()

    def start(self, *gateways: Gateway) -> None:
        for node in self.nodes:
            book = GatewayBook(gateways, NoTallies(), lambda: 0.0)
            service = RegisteringService(
                node.core, book, self.world.clock, lambda: 0.0, lambda: list(self.alive)
            )
            self.books.append(book)
            self.services.append(service)
            service.startService()
        self.world.wait(0.1)

    def answer(self, status: int = 200, *headers: tuple[str, str], phone: Phone | None = None) -> None:
        phone = phone or self.trunk
        request = phone.request("REGISTER")
        phone.inbox.clear()
        phone.reply(request, status, headers=headers)

    def told(self, place: int = 0) -> str:
        return self.books[place].registration("gw")

    def test_stopped_before_it_started(self) -> None:
        """A node that is told to stop while it starts stops all of its parts."""
        self.start(GATEWAY)
        self.answer()
        for service in self.services:
            service.stopService()
            self.successResultOf(service.stopService())
        self.assertEqual([book.changed for book in self.books], [[], []])

    def test_one_node_registers(self) -> None:
        """The first by name; the other says who does it."""
        self.start(GATEWAY)
        self.assertEqual((self.trunk.sources, self.told(1)), ([("192.0.2.1", 5060)], "registered by node a"))
        request = self.trunk.request("REGISTER")
        self.assertEqual((request.uri, request.get("to")), (f"sip:{TRUNK}", f"<sip:voip@{TRUNK}>"))
        self.assertEqual(
            request.get_all("contact"), ["<sip:voip@192.0.2.1:5060>", "<sip:voip@192.0.2.2:5060>;expires=0"]
        )
        self.answer()
        self.assertEqual(self.told(), "registered for 600 s")

    def test_challenged(self) -> None:
        """It proves the password from its file, or wherever the list has it."""
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("top\n")
        os.chmod(path, 0o600)
        self.start(evolve(GATEWAY, password="", secret=path))
        self.answer(401, CHALLENGE)
        given = parse_answer(self.trunk.request("REGISTER").get("authorization") or "")
        self.assertTrue(proves(given, ha1("MD5", "voip", "trunk", "top"), "REGISTER"))
        self.answer()
        self.assertEqual(self.told(), "registered for 600 s")

    def test_secret_that_others_can_read(self) -> None:
        """The password is not used, and it is said why; nothing is sent."""
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("top\n")
        self.start(evolve(GATEWAY, password="", secret=path))
        self.assertIn("chmod 600", self.told())
        self.world.wait(30.0)
        self.assertEqual(self.trunk.took(), [])

    def test_names_of_ours(self) -> None:
        """Address of record, the user of our Contact, and the realm are what the gateway says."""
        self.start(
            evolve(
                GATEWAY,
                aor="sip:+4930123@carrier.example",
                contact_user="reception",
                realm="trunk",
                auth_user="x1",
            )
        )
        request = self.trunk.request("REGISTER")
        self.assertEqual(request.get("to"), "<sip:+4930123@carrier.example>")
        self.assertEqual(request.get_all("contact")[0], "<sip:reception@192.0.2.1:5060>")
        self.answer(401, ("WWW-Authenticate", 'Digest realm="other", nonce="n", qop="auth"'))
        self.assertEqual(self.trunk.took(), [])
        self.assertEqual(self.told(), "not registered: no challenge that we can answer")

    def test_tls(self) -> None:
        """The registrar is asked over the transport of its gateway, and our Contact is where TLS is taken."""
        trunk = Phone(self.world, "trunk", (TRUNK, 5061), TLS)
        self.start(evolve(GATEWAY, transport="tls"))
        request = trunk.request("REGISTER")
        self.assertEqual((request.top_via.transport, request.uri), ("TLS", f"sip:{TRUNK}"))
        self.assertEqual(request.get_all("contact")[0], "<sip:voip@192.0.2.1:5061;transport=tls>")
        self.answer(phone=trunk)
        [(flow, seconds)] = self.nodes[0].transport.kept
        self.assertEqual((flow.remote, seconds), ((TRUNK, 5061), 600))

    def kill(self, place: int) -> None:
        """Nothing that this node has begun goes on."""
        service = self.services.pop(place)
        assert service._look is not None
        service._look.cancel()
        for trunk in service._trunks.values():
            trunk._give_up()
            trunk._obey(trunk._machine.leave())

    def test_moves(self) -> None:
        """The node that registered dies: the next one does it, and takes the Contact of the dead one back."""
        self.start(GATEWAY)
        self.answer()
        self.world.wait(SETTLING)
        self.alive = ["b"]
        self.kill(0)
        self.world.wait(0.6)
        self.assertEqual(self.trunk.sources[-1], ("192.0.2.2", 5060))
        contacts = self.trunk.request("REGISTER").get_all("contact")
        self.assertEqual(contacts, ["<sip:voip@192.0.2.2:5060>", "<sip:voip@192.0.2.1:5060>;expires=0"])
        self.answer()
        self.assertEqual(self.told(1), "registered for 600 s")

    def test_moves_back(self) -> None:
        """The first one is there again: it registers, and the second one does not refresh any more."""
        self.alive = ["b"]
        self.start(GATEWAY)
        self.world.wait(SETTLING + 1.0)
        self.answer()
        self.alive = ["a", "b"]
        self.world.wait(0.6)
        self.assertEqual(
            (self.trunk.sources[-1], self.told(1)), (("192.0.2.1", 5060), "registered by node a")
        )
        self.answer()
        self.world.wait(600.0)
        self.assertEqual(set(self.trunk.sources[-3:]), {("192.0.2.1", 5060)})

    def test_start_without_the_others(self) -> None:
        """A node that has just started and hears of nobody yet does not take what another one has; then it does."""
        self.alive = ["b"]
        self.start(GATEWAY)
        self.world.wait(SETTLING - 1.0)
        self.assertEqual(self.trunk.took(), [])
        self.world.wait(2.0)
        self.assertIn("REGISTER", self.trunk.took())

    def test_refused(self) -> None:
        """What the trunk says is shown."""
        self.start(GATEWAY)
        self.answer(403)
        self.assertEqual(self.told(), "not registered: REGISTER is answered with 403 Forbidden")

    def test_not_there(self) -> None:
        """Nobody there: said, and tried again."""
        self.world.network.closed.add((TRUNK, 5060))
        self.start(GATEWAY)
        self.world.wait(1.0)
        self.assertEqual(self.told(), f"not registered: nobody listens at udp:{TRUNK}:5060")
        self.world.network.closed.clear()
        self.world.wait(5.0)
        self.answer()
        self.assertEqual(self.told(), "registered for 600 s")

    def test_stopped(self) -> None:
        """A node that stops takes its registration back first."""
        self.start(GATEWAY)
        self.answer()
        stopped = self.services[0].stopService()
        self.world.run()
        self.assertNoResult(stopped)
        self.assertEqual(self.trunk.request("REGISTER").get("expires"), "0")
        self.answer()
        self.successResultOf(stopped)

    def test_stopped_without_a_trunk(self) -> None:
        """It does not wait for long."""
        self.start(GATEWAY)
        self.answer()
        self.world.network.lost.add((TRUNK, 5060))
        stopped = self.services[0].stopService()
        self.world.wait(2.1)
        self.successResultOf(stopped)

    def test_changed(self) -> None:
        """Other credentials make another registration; a gateway that is removed or disabled is taken back."""
        self.start(GATEWAY)
        self.answer()
        for book in self.books:
            book.replace([(evolve(GATEWAY, channels=4), "the file")])
        self.world.wait(1.0)
        self.assertEqual(self.trunk.took(), [])
        for book in self.books:
            book.replace([(evolve(GATEWAY, enabled=False), "the file")])
        self.world.run()
        self.assertEqual(self.trunk.request("REGISTER").get("expires"), "0")
        self.answer()
        for book in self.books:
            book.replace([(evolve(GATEWAY, auth_user="other"), "the file")])
        self.world.wait(1.0)
        self.assertEqual(self.trunk.request("REGISTER").get("to"), f"<sip:other@{TRUNK}>")

    def test_without_registrar(self) -> None:
        """Whoever is not registered with costs nothing, not even a timer."""
        self.start(Gateway("gw", (TRUNK,)))
        self.assertEqual((self.told(), self.world.clock.getDelayedCalls()), ("", []))
