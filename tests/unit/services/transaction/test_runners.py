"""
Machines with a clock and a transport: the arrows that nearly every call takes go past events and effects, and must do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

from tests.unit.services.transaction.test_transactions import ALICE, FROM_ALICE, OURS, TransactionCase
from tests.unit.sip.messages import VIA, request, response
from voipcluster.address import Flow
from voipcluster.errors import TransportError
from voipcluster.services.transaction.runners import ServerTransaction
from voipcluster.sip.transaction.invite_client import InviteClient
from voipcluster.sip.transaction.invite_server import InviteServer
from voipcluster.sip.transaction.non_invite_client import NonInviteClient
from voipcluster.sip.transaction.non_invite_server import NonInviteServer

Step = tuple[str, int]


def _no_shortcut(self: object, *of_arrow: object) -> bool:
    return False


class SameCase(TransactionCase):
    """Each sequence of steps runs twice, with and without the short way; what is sent, heard and left has to be the same."""

    steps: tuple[Step, ...] = ()
    kinds: tuple[str, ...] = ("INVITE", "OPTIONS")
    machines: tuple[tuple[type[Any], str], ...] = ()

    def both(self, run: Callable[[str, str, tuple[Step, ...]], object]) -> None:
        for method, transport in product(self.kinds, ("UDP", "TCP")):
            for steps in self.sequences():
                with self.subTest(method=method, transport=transport, steps=steps):
                    short = run(method, transport, steps)
                    with self.long_way():
                        self.assertEqual(run(method, transport, steps), short)

    def sequences(self) -> Iterator[tuple[Step, ...]]:
        for length in (1, 2, 3):
            yield from product(self.steps, repeat=length)

    @contextmanager
    def long_way(self) -> Iterator[None]:
        patches = [self.patch(machine, name, _no_shortcut) for machine, name in self.machines]
        try:
            yield
        finally:
            for patch in patches:
                patch.restore()

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.5)):
            self.clock.advance(0.5)

    def seen(self) -> tuple[object, ...]:
        found = (
            [(source, to, data) for source, to, data in self.network.log],
            list(self.user.heard),
            (len(self.service.servers), len(self.service.clients), self.wheel.running),
        )
        self.network.log.clear()
        self.user.heard.clear()
        return found

    def flow(self, transport: str, flow: Flow) -> Flow:
        if transport == "UDP":
            return flow
        return flow._replace(transport="TCP", connection=self.transport.open(flow.remote))


class ServerTests(SameCase):
    steps = (("respond", 180), ("respond", 200), ("respond", 486), ("copy", 0), ("wait", 1), ("wait", 20))
    machines = ((InviteServer, "sends"), (NonInviteServer, "sends"))

    def test_same(self) -> None:
        """Responses of a server, their repeats and its timers (RFC 3261 sections 17.2.1 and 17.2.2, RFC 6026)."""
        self.both(self.serve)

    def serve(self, method: str, transport: str, steps: tuple[Step, ...]) -> object:
        flow = self.flow(transport, FROM_ALICE)
        asked = request(method=method)
        self.receive(asked, flow)
        incoming = self.user.incoming[-1]
        incoming.accept()
        seen = []
        final = False
        for kind, number in steps:
            if kind == "respond" and not final and incoming.key in self.service.servers:
                final = number >= 200
                incoming.respond(number, response(number, vias=(VIA,), cseq=f"7 {method}").to_bytes())
            elif kind == "copy" and incoming.key in self.service.servers:
                self.receive(asked, flow)
            elif kind == "wait":
                self.wait(number)
            seen.append(self.seen())
        if incoming.key in self.service.servers and not final:
            incoming.drop()
        self.wait(33)
        return seen, self.seen()


class ClientTests(SameCase):
    steps = (
        ("hear", 100),
        ("hear", 180),
        ("hear", 200),
        ("hear", 486),
        ("fail", 0),
        ("wait", 1),
        ("wait", 20),
    )
    machines = ((InviteClient, "passes"), (NonInviteClient, "passes"))

    def test_same(self) -> None:
        """What a client hears, sends again, and acknowledges, and its timers (RFC 3261 sections 17.1.1 and 17.1.2)."""
        self.both(self.ask)

    def ask(self, method: str, transport: str, steps: tuple[Step, ...]) -> object:
        flow = self.flow(transport, FROM_ALICE)
        wire = request(method=method, via=OURS).to_bytes()
        self.service.send_request(wire, method, "z9hG4bKours", flow, self.user, 5)
        seen = []
        for kind, number in steps:
            if kind == "hear":
                self.receive(response(number, vias=(OURS, VIA), cseq=f"7 {method}"), flow)
            elif kind == "fail":
                for client in list(self.service.clients.values()):
                    client.feed_failure(TransportError("gone"))
            else:
                self.wait(number)
            seen.append(self.seen())
        self.wait(70)
        return seen, self.seen()


class ServerTransactionTests(TransactionCase):
    def incoming(self, **changes: object) -> ServerTransaction:
        self.receive(request(**changes))
        return self.user.incoming[-1]

    def test_one_tag(self) -> None:
        """Each response of ours to one request has the same To tag, without state, too (section 8.2.6.2)."""
        self.assertEqual(self.incoming().to_tag, self.incoming().to_tag)
        self.assertNotEqual(self.incoming().to_tag, self.incoming(via=OURS).to_tag)

    def test_repeats(self) -> None:
        """Beyond so many octets a final response is only repeated for who asks again (amplification, section 26.3.2.4)."""
        incoming = self.accepted(method="INVITE")
        incoming.limit_repeats(0)
        incoming.answer(486)
        self.sent()
        self.wait(5)
        self.assertEqual(self.sent(), [])
        self.receive(request(method="INVITE"))
        self.assertEqual(self.sent(), [(486, ALICE)])
        self.wait(40)
