"""
Three real nodes, one of which gets next to no processor any more: what the others hand to it, by their own /metrics.

The hog is played by stopping and continuing the node's process in turn, which is what a processor that somebody else uses looks
like to it, and does not depend on how busy the machine of the tests is.
"""

from __future__ import annotations

from twisted.internet.protocol import DatagramProtocol

from demo.cluster import Node
from tests.integration.claims import CALLERS, ClaimTestCase

SHED = 0.5  # seconds until the slow node's share has fallen, in requests: on a busy machine they come late like all the rest
STOPPED, RUNS = (
    0.19,
    0.01,
)  # seconds in turn: a twentieth of the processor is left, less than what is asked of the node takes
EVERY = 0.01  # seconds between requests, of which three nodes serve some hundreds a second
WAIT = 20.0  # seconds for an answer to the last ones
TRIES = 6  # at most
FIRST_C = ("--set", "cluster.policy=sequence", "--set", 'cluster.sequence=["c", "a", "b"]')
KNOWN = ("--set", "auth.required=false", "--set", 'limits.trusted=["127.0.0.0/8"]')


class Clients(DatagramProtocol):
    """Sends a MESSAGE for somebody who is nowhere, again and again, and keeps the status of each answer by its branch."""

    noisy = False

    def __init__(self) -> None:
        self.sent = 0
        self.statuses: dict[str, str] = {}

    def ask(self, host: str, node: str) -> None:
        self.sent += 1
        number = f"z9hG4bKhog{self.sent}"
        lines = (
            "MESSAGE sip:nobody@example.com SIP/2.0", f"Via: SIP/2.0/UDP {host}:5060;branch={number}",
            "Max-Forwards: 70", f"From: <sip:ann@example.com>;tag=t{self.sent}", "To: <sip:nobody@example.com>",
            f"Call-ID: hog{self.sent}@{host}", "CSeq: 1 MESSAGE", "Content-Length: 0", "", "",
        )  # fmt: skip
        assert self.transport is not None
        self.transport.write("\r\n".join(lines).encode(), (node, 5060))

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        text = datagram.decode("latin-1")
        if text.startswith("SIP/2.0 ") and text[8] != "1":
            self.statuses[text.partition("branch=")[2].partition("\r\n")[0].partition(";")[0]] = text[8:11]


class SlowNodeTests(ClaimTestCase):
    async def test_share_falls(self) -> None:
        """What is new goes past the slow node in less than 0.5 s, and nothing is refused; afterwards it takes part again."""
        await self.start_cluster(*FIRST_C, *KNOWN)
        a, c = self.node("a"), self.node("c")
        clients = Clients()
        port = self.reactor.listenUDP(5060, clients, self.address(CALLERS))
        self.at_end(port.stopListening)
        self._asking = self._hogging = True

        def ask() -> None:
            if self._asking:
                clients.ask(self.address(CALLERS), a.address)
                self.reactor.callLater(EVERY, ask)

        async def stop_asking() -> None:
            self._asking = self._hogging = False
            c.program.send_signal("CONT")

        self.at_end(stop_asking)
        ask()
        took: list[float] = []
        # the best of some, because any process may have to wait for the processor
        while min(took, default=SHED) >= SHED and len(took) < TRIES:
            await self.cluster.when(lambda nodes: nodes["c"]["state"] == "open", "c is open to a", node=a)
            before = await self.to_c(a)

            async def flows(before: float = before) -> bool:
                return await self.to_c(a) > before + 30

            await self.until(flows, "what comes to a goes to c")
            began = clients.sent
            self._hogging = True
            self._hog(c)
            took.append(EVERY * (await self.until_past(a, clients) - began))
            self._hogging = False
        self.assertLess(min(took), SHED, took)
        await self.cluster.when(lambda nodes: nodes["c"]["state"] == "open", "c is open to a again", node=a)
        self._asking = False
        await self.until(lambda: len(clients.statuses) == clients.sent, "every request is answered", WAIT)
        self.assertEqual(set(clients.statuses.values()), {"404"}, "nothing is refused")
        self.assertEqual(await self.metric(a, "placements_total", decision="refuse"), 0)

    async def to_c(self, a: Node) -> float:
        """What a has handed to c so far."""
        return await self.metric(a, "handed_over_total", node="c")

    async def until_past(self, a: Node, clients: Clients) -> int:
        """How many requests were sent when a handed the last one to c before it handed twenty others past it."""
        count, last, sent = await self.to_c(a), self.reactor.seconds(), clients.sent
        while clients.sent < sent + 20:
            await self.tick(0.01)
            now, handed = self.reactor.seconds(), await self.to_c(a)
            if handed > count:
                count, last, sent = handed, now, clients.sent
            self.assertLess(now, last + WAIT, "a still hands everything to c")
        return sent

    def _hog(self, node: Node) -> None:
        """Leave a node a small part of its time, for as long as C{_hogging}."""
        assert node.program is not None
        if not self._hogging:
            return
        node.program.send_signal("STOP")
        self.reactor.callLater(STOPPED, self._let_run, node)

    def _let_run(self, node: Node) -> None:
        assert node.program is not None
        node.program.send_signal("CONT")
        self.reactor.callLater(RUNS, self._hog, node)
