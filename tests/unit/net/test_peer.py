"""The calling side of the cluster link: who is called, how often, and when it is given up."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.link_network import Authority, Network
from voipcluster.errors import PeerError
from voipcluster.net.certificates import Certified
from voipcluster.net.gate import GateFactory
from voipcluster.net.peer import CONNECT_TIMEOUT, LAST_DELAY, PeerLink
from voipcluster.net.tls import LinkTls

PLACE = ("127.0.0.2", 8787)


class PeerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.authority = Authority(now=time.time())
        self.events: list[str] = []
        self.kinds: list[str] = []
        self.attempts: list[float] = []
        self.answer: Callable[[str], Deferred[bytes]] = lambda kind: succeed(b'{"ok": {"fine": 1}}')
        self.link = PeerLink(
            self.network, LinkTls(self.authority.identity("a", "primary")), "b", self.where, lambda: (1, 1),
            lambda link: self.events.append("up"), lambda link, why: self.events.append("lost"), "127.0.0.1",
            lambda: 0.5,
        )  # fmt: skip

    def where(self) -> tuple[str, int]:
        self.attempts.append(self.network.seconds())
        return PLACE

    def tearDown(self) -> None:
        self.link.stop()
        for factory in list(self.network.ports.values()):
            factory.wrappedFactory.close()
        self.network.settle()
        self.assertEqual(self.network.getDelayedCalls(), [])

    def listen(
        self,
        name: str = "b",
        authority: Authority | None = None,
        check: Callable[[Certified], None] = lambda peer: None,
    ) -> GateFactory:
        identity = (authority or self.authority).identity(name)

        def serve(peer: Certified) -> Callable[[str, bytes], Deferred[bytes]]:
            def answer(kind: str, payload: bytes) -> Deferred[bytes]:
                self.kinds.append(kind)
                return self.answer(kind)

            return answer

        gates = GateFactory(self.network, lambda: identity, check, serve, None)
        factory: Any = TLSMemoryBIOFactory(LinkTls(identity), False, gates, self.network)
        self.network.listenTCP(PLACE[1], factory, interface=PLACE[0])
        return gates

    def start(self) -> None:
        self.link.start()
        self.network.settle()


class Calling(PeerCase):
    def test_up_and_called(self) -> None:
        """The link comes up once both sides speak PB, and carries calls."""
        self.listen()
        self.start()
        self.assertEqual((self.events, self.link.up), (["up"], True))
        called = self.link.call("ask", {})
        self.network.settle()
        self.assertEqual(self.successResultOf(called), {"fine": 1})

    def test_errors_of_the_peer(self) -> None:
        """What the peer refuses fails the call with its words, and the link stays."""
        self.listen()
        self.start()
        self.answer = lambda kind: succeed(b'{"error": "not here"}')
        called = self.link.call("ask", {})
        self.network.settle()
        self.assertIn("not here", str(self.failureResultOf(called, PeerError).value))
        self.assertTrue(self.link.up)

    def test_while_down(self) -> None:
        """Calls fail at once while there is no link; too long ones always do."""
        self.failureResultOf(self.link.call("ask", {}), PeerError)
        self.listen()
        self.start()
        self.failureResultOf(self.link.call("ask", {"x": "y" * 500_000}), PeerError)
        self.assertTrue(self.link.up)

    def test_a_quiet_link_is_pinged(self) -> None:
        """After 10 s without a message of ours a ping goes, so that a dead peer is noticed."""
        self.listen()
        self.start()
        self.network.pass_time(25, step=1)
        self.assertEqual(self.kinds, ["ping", "ping"])
        self.network.frozen.add(PLACE[0])
        self.network.pass_time(16, step=1)
        self.assertEqual(self.events, ["up", "lost"])

    def test_stop_is_silent(self) -> None:
        """A link that is stopped tells nobody and tries no more, at whatever moment."""
        for steps in range(6):
            gates = self.listen()
            self.link.start()
            for _ in range(steps):
                self.network.advance(0)
                for end in list(self.network.ends):
                    end.pump()
            self.events.clear()
            self.link.stop()
            self.network.pass_time(20, step=1)
            self.assertEqual((self.events, self.link.up), ([], False))
            gates.close()
            self.network.settle()
            self.network.ports.clear()


class WhoIsThere(PeerCase):
    def test_another_member(self) -> None:
        """A member by another name at the address is not the one that was called; it hears no PB."""
        gates = self.listen("c")
        self.start()
        self.assertEqual((self.events, self.link.up), ([], False))
        self.network.settle()
        self.assertFalse(gates.is_connected("a"))

    def test_another_cluster(self) -> None:
        """A node of another CA is not spoken to."""
        self.listen("b", Authority(now=time.time()))
        self.start()
        self.assertEqual((self.events, self.link.up), ([], False))

    def test_not_taken(self) -> None:
        """Closed behind the handshake again and again it warns, once, that it may have been forgotten; after one time not."""

        def check(peer: Certified) -> None:
            raise PeerError("not a member", 403)

        self.listen(check=check)
        with capturedLogs() as events:
            self.start()
            self.network.pass_time(30)
        told = [
            (event["log_level"].name, formatEvent(event))
            for event in events
            if event["log_namespace"].endswith("PeerLink")
        ]
        self.assertGreater(len(self.attempts), 3)
        self.assertEqual([level for level, _ in told], ["info", "warn"])
        self.assertNotIn("forgotten", told[0][1])
        self.assertIn(". It closes the connection after the handshake", told[1][1])
        self.assertIn("may have been forgotten (voipctl forget)", told[1][1])
        self.assertNotIn("..", told[1][1])

    def test_silence(self) -> None:
        """Who takes the connection and says nothing is given up after 5 s, and tried again."""
        self.listen()
        self.network.frozen.add(PLACE[0])
        self.start()
        self.network.pass_time(CONNECT_TIMEOUT + 1)
        self.assertEqual(len(self.attempts), 2)
        self.assertEqual(self.events, [])


class Again(PeerCase):
    def test_delays_grow_to_a_limit(self) -> None:
        """Attempts come after 0.2 s at first and never further apart than 5 s and its jitter."""
        self.start()
        self.network.pass_time(60)
        gaps = [after - before for before, after in pairwise(self.attempts)]
        self.assertAlmostEqual(gaps[0], 0.2, 3)
        for before, after in pairwise(gaps):
            self.assertGreaterEqual(after, before - 0.11)  # the network's clock goes in steps of 0.1 s
        self.assertLessEqual(max(gaps), LAST_DELAY + 0.11)
        self.assertGreater(len(gaps), 12)

    def test_hurry(self) -> None:
        """A peer that was heard is called at once, whatever the delay was."""
        self.start()
        self.network.pass_time(30)
        self.listen()
        self.link.hurry()
        self.network.settle()
        self.assertEqual(self.events, ["up"])
        self.link.hurry()  # harmless
        self.network.settle()
        self.assertEqual(self.events, ["up"])

    def test_a_lost_link_comes_back(self) -> None:
        """After a loss the link is made anew, soon when it was a good one."""
        gates = self.listen()
        self.start()
        self.network.pass_time(6)
        gates.close()
        self.network.pass_time(0.4)
        self.assertEqual(self.events, ["up", "lost", "up"])
