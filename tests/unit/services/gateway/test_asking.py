"""A request of a node's own: one server after the other until somebody answers (RFC 3263 section 4.3)."""

from __future__ import annotations

from tests.unit.services.names_world import NET, ONE, TWO, NamesCase
from voipcluster.address import Flow
from voipcluster.errors import TransportError
from voipcluster.services.gateway.asking import Asking
from voipcluster.services.transaction.resolving import SILENT, UNAVAILABLE
from voipcluster.sip.message import Request, Response, parse
from voipcluster.sip.outgoing import build_request
from voipcluster.sip.uri import parse_uri


class AskingTests(NamesCase):
    def setUp(self) -> None:
        super().setUp()
        self.one, self.two = self.world.phone("one", ONE), self.world.phone("two", TWO)
        self.done: list[tuple[int, str]] = []

    def make(self, flow: Flow, via: str) -> Request:
        target = f"sip:{NET}"
        headers = [("Via", via), ("Max-Forwards", "70"), ("From", "<sip:a@b>;tag=1"), ("To", f"<{target}>")]
        return build_request("OPTIONS", target, [*headers, ("Call-ID", "c"), ("CSeq", "1 OPTIONS")])

    def ask(self, uri: str = f"sip:{NET}", patience: float = 1.0) -> Asking:
        def done(response: Response | None, why: str) -> None:
            self.done.append((0 if response is None else response.status, why))

        asking = Asking(self.node.core, "OPTIONS", self.make, patience, done)
        asking.begin(parse_uri(uri), "c")
        self.world.run()
        return asking

    def test_answered(self) -> None:
        """The first server answers: that is all, and Via says where we are and asks for rport (RFC 3581)."""
        self.ask()
        request = self.one.request("OPTIONS")
        self.assertEqual((request.top_via.host, request.top_via.port), self.node.address)
        self.assertIsNotNone(request.top_via.param("rport"))
        self.one.reply(request, 100)
        self.assertEqual(self.done, [])
        self.one.reply(request, 404)
        self.one.reply(request, 200)
        self.assertEqual((self.done, self.two.took()), ([(404, "")], []))
        self.world.wait(33.0)
        self.assertEqual(len(self.node.transactions.clients), 0)

    def test_over_a_flow(self) -> None:
        """Whoever is at its end is asked and nobody else, also when he says 503; and not without a transport."""
        flow = self.node.core.flow_towards(parse_uri(f"sip:{ONE}"))
        for local, end in ((flow.local, [(503, "503")]), (("192.0.2.99", 5060), None)):
            self.done.clear()
            asking = Asking(
                self.node.core, "OPTIONS", self.make, 1.0,
                lambda response, why: self.done.append((0 if response is None else response.status, why)),
            )  # fmt: skip
            asking.begin_over(flow._replace(local=local))
            self.world.run()
            if end is not None:
                self.one.reply(self.one.request("OPTIONS"), 503)
                self.assertEqual(self.done, end)
            else:
                [(status, why)] = self.done
                self.assertEqual((status, bool(why)), (0, True))
        self.assertEqual(self.two.took(), [])

    def test_silent(self) -> None:
        """A silent one: the next is asked, too, and whoever speaks first has answered; the silent one is last from then on."""
        self.ask()
        self.world.wait(1.1)
        self.two.reply(self.two.request("OPTIONS"), 200)
        self.assertEqual((self.done, self.resolving.failures), ([(200, "")], {SILENT: 1}))
        self.one.reply(self.one.request("OPTIONS"), 200)
        self.assertEqual(len(self.done), 1)
        self.one.inbox.clear()
        self.ask()
        self.assertEqual((self.one.took(), self.two.took()[-1]), ([], "OPTIONS"))
        self.two.reply(self.make_seen(self.two.address), 200)

    def make_seen(self, address: tuple[str, int]) -> Request:
        """The last request that went there, though it was looked at."""
        data = next(data for _, to, data in reversed(self.world.network.log) if to == address)
        request = parse(data)
        assert isinstance(request, Request)
        return request

    def test_late(self) -> None:
        """Who was slower than the patience and answers first all the same has answered."""
        self.ask()
        self.world.wait(1.1)
        self.one.reply(self.one.request("OPTIONS"), 200)
        self.assertEqual(self.done, [(200, "")])

    def test_nobody(self) -> None:
        """All are silent: it ends with Timer F of the last one."""
        self.ask()
        self.world.wait(40.0)
        self.assertEqual(self.done, [(0, "no answer")])

    def test_503(self) -> None:
        """503 sends us to the next one; when all say it, it is the answer."""
        self.ask()
        self.one.reply(self.one.request("OPTIONS"), 503)
        self.assertEqual(self.done, [])
        self.two.reply(self.two.request("OPTIONS"), 503)
        self.assertEqual((self.done, self.resolving.failures), ([(503, "503")], {UNAVAILABLE: 2}))

    def test_refused(self) -> None:
        """Nobody listens at an address: it is said which."""
        self.world.network.closed.add((ONE, 5060))
        self.ask(f"sip:{ONE}")
        self.world.wait(0.1)
        self.assertEqual(self.done, [(0, f"nobody listens at udp:{ONE}:5060")])

    def test_no_way(self) -> None:
        """A transport or family that we do not have, a name that leads nowhere, and no DNS at all."""
        for uri, text in (
            (f"sip:{ONE};transport=ws", "no way"),
            ("sip:nowhere.example", "cannot be resolved"),
        ):
            self.done.clear()
            self.ask(uri)
            self.world.wait(0.1)
            self.assertEqual([status for status, _ in self.done], [0], uri)
            self.assertIn(text, self.done[0][1])
        self.node.core.resolving = None
        self.done.clear()
        self.ask()
        self.assertEqual(self.done, [(0, f"{NET} is a name, and no names are looked up")])

    def test_given_up(self) -> None:
        """Nobody is told, and nobody else is asked."""
        asking = self.ask()
        asking.give_up()
        self.world.wait(1.1)
        self.one.reply(self.one.request("OPTIONS"), 200)
        self.assertEqual((self.done, self.two.took()), ([], []))

    def test_what_cannot_be_made(self) -> None:
        """The request cannot be made for any server: that is how it ends."""

        def no(flow: Flow, via: str) -> Request:
            raise TransportError("no such thing")

        self.make = no
        self.ask()
        self.assertEqual(self.done, [(0, "no such thing")])
