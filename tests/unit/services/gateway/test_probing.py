"""Gateways asked by OPTIONS, and what the list of gateways learns of it."""

from __future__ import annotations

from attrs import evolve

from tests.unit.services.names_world import NET, ONE, TWO, NamesCase
from tests.unit.services.sip_world import Phone
from voipcluster.gateway.gateway import Gateway
from voipcluster.services.gateway.book import GatewayBook
from voipcluster.services.gateway.probing import ProbingService, ServerState


class NoTallies:
    def add(self, key: str, amount: int) -> None: ...

    def total(self, key: str) -> int:
        return 0


class ProbingServiceTests(NamesCase):
    def setUp(self) -> None:
        super().setUp()
        self.one, self.two = self.world.phone("one", ONE), self.world.phone("two", TWO)

    def tearDown(self) -> None:
        if self.service.running:
            self.service.stopService()
        self.world.wait(35.0)
        super().tearDown()

    def test_stopped_before_it_started(self) -> None:
        """A node that is told to stop while it starts stops all of its parts."""
        self.start()
        self.service.stopService()
        self.service.stopService()
        self.assertEqual(self.book.changed, [])

    def start(self, *gateways: Gateway) -> None:
        self.book = GatewayBook(gateways, NoTallies(), lambda: 0.0)
        self.service = ProbingService(self.node.core, self.book, self.world.clock, lambda: 0.0)
        self.service.startService()
        self.world.wait(0.1)

    def up(self, name: str = "gw") -> bool:
        state = self.book.state(name)
        assert state is not None
        return state.up

    def answer(self, phone: Phone, status: int = 200) -> None:
        request = phone.request("OPTIONS")
        phone.inbox.clear()
        phone.reply(request, status)

    def serve(self, phone: Phone, seconds: float, status: int = 200) -> int:
        """It answers whatever comes in that time; gives how much that was."""
        count = 0
        for _ in range(int(seconds * 10)):
            self.world.wait(0.1)
            if "OPTIONS" in [getattr(m, "method", "") for m in phone.inbox]:
                self.answer(phone, status)
                count += 1
        return count

    def test_request(self) -> None:
        """OPTIONS outside of a dialog, to the gateway itself (section 11.1); each one follows the last one in CSeq."""
        self.start(Gateway("gw", (f"{ONE}:5060",)))
        request = self.one.request("OPTIONS")
        self.assertEqual((request.uri, request.get("accept")), (f"sip:{ONE}", "application/sdp"))
        self.assertEqual((request.cseq[0], request.get("max-forwards")), (1, "70"))
        self.assertEqual(request.get("contact"), "<sip:192.0.2.1:5060>")
        self.answer(self.one)
        self.world.wait(5.1)
        again = self.one.request("OPTIONS")
        self.assertEqual((again.cseq[0], again.call_id), (2, request.call_id))

    def test_down_and_up(self) -> None:
        """Killed, it is down within ten seconds, with the reason; back, it is up again after two answers."""
        self.start(Gateway("gw", (ONE,)))
        self.assertGreaterEqual(self.serve(self.one, 12.0), 2)
        self.assertTrue(self.up())
        self.world.network.closed.add((ONE, 5060))
        self.world.wait(10.0)
        state = self.book.state("gw")
        assert state is not None
        self.assertEqual((state.up, state.reason), (False, f"{ONE}: nobody listens at udp:{ONE}:5060"))
        self.assertFalse(self.book.usable("gw"))
        self.world.network.closed.clear()
        self.serve(self.one, 10.0)
        self.assertTrue(self.up())
        self.assertEqual(
            self.service.servers("gw"), [ServerState(ONE, "up", "OPTIONS is answered with 200 OK")]
        )

    def test_down_for_another_reason(self) -> None:
        """Where nobody listened and now somebody is silent, or the other way round, the reason follows."""
        self.start(Gateway("gw", (ONE,)))
        self.world.network.closed.add((ONE, 5060))
        self.world.wait(10.0)
        state = self.book.state("gw")
        assert state is not None
        self.assertIn("nobody listens", state.reason)
        self.world.network.closed.clear()
        self.world.wait(12.0)
        state = self.book.state("gw")
        assert state is not None
        self.assertEqual((state.up, state.reason), (False, f"{ONE}: no answer to OPTIONS within 2 s"))

    def test_silent(self) -> None:
        """A machine that is gone says nothing at all: down in ten seconds just the same."""
        self.start(Gateway("gw", (ONE,)))
        self.answer(self.one)
        self.world.network.lost.add((ONE, 5060))
        self.world.wait(10.0)
        self.assertFalse(self.up())

    def test_one_server_is_enough(self) -> None:
        """A gateway with two servers is up while one of them is."""
        self.start(Gateway("gw", (ONE, TWO)))
        self.answer(self.one)
        self.answer(self.two)
        self.world.network.closed.add((ONE, 5060))
        self.serve(self.two, 12.0)
        self.assertTrue(self.up())
        self.assertEqual([state.verdict for state in self.service.servers("gw")], ["down", "up"])
        self.world.network.closed.add((TWO, 5060))
        self.world.wait(12.0)
        self.assertFalse(self.up())

    def test_name(self) -> None:
        """A name is up while one of its servers answers (RFC 3263)."""
        self.start(Gateway("gw", (NET,)))
        self.answer(self.one)
        self.world.network.lost.add((ONE, 5060))
        self.serve(self.two, 20.0)
        self.assertTrue(self.up())

    def test_out_of_service(self) -> None:
        """503 again and again is down; with C{not_alive} of its own it is not."""
        self.start(Gateway("gw", (ONE,)), Gateway("other", (TWO,), not_alive=(480,)))
        for _ in range(100):
            self.world.wait(0.1)
            for phone in (self.one, self.two):
                if phone.inbox:
                    self.answer(phone, 503)
        self.assertEqual((self.up("gw"), self.up("other")), (False, True))

    def test_who_is_not_asked(self) -> None:
        """Neither one that is disabled, nor one without servers or with C{probe = 0}; they count as up."""
        gateways = (
            Gateway("disabled", (ONE,), enabled=False),
            Gateway("silent", (ONE,), probe=0.0),
            Gateway("inward", sources=("192.0.2.9",)),
        )
        self.start(*gateways)
        self.world.wait(20.0)
        self.assertEqual(self.one.took(), [])
        self.assertTrue(all(self.up(gateway.name) for gateway in gateways))

    def test_changed(self) -> None:
        """A gateway that is added is asked, one that is disabled is not any more, and is no longer down for it."""
        gateway = Gateway("gw", (ONE,))
        self.start()
        self.world.network.closed.add((ONE, 5060))
        self.book.replace([(gateway, "the file")])
        self.world.wait(5.0)
        self.assertFalse(self.up())
        self.book.replace([(evolve(gateway, channels=5), "the file")])  # nothing that concerns its probes
        self.assertFalse(self.up())
        self.book.replace([(evolve(gateway, enabled=False), "the file")])
        self.assertTrue(self.up())
        before = len(self.world.network.log)
        self.world.wait(20.0)
        self.assertEqual(len(self.world.network.log), before)
        self.book.replace([])
        self.assertEqual(self.service.servers("gw"), [])

    def test_suspected(self) -> None:
        """A call that found it silent has it asked at once."""
        self.start(Gateway("gw", (ONE,)))
        self.answer(self.one)
        self.world.wait(1.0)
        self.service.suspect("gw")
        self.service.suspect("unknown")
        self.world.run()
        self.answer(self.one)
        self.assertTrue(self.up())

    def test_stopped(self) -> None:
        """Nothing is left of it, and the list is not listened to."""
        self.start(Gateway("gw", (ONE,)))
        self.service.stopService()
        self.assertEqual(self.book.changed, [])
        before = len(self.world.network.log)
        self.world.wait(20.0)
        self.assertEqual(len(self.world.network.log), before)
