"""
An upstream that takes part in overload control (RFC 7339), and two real nodes that are asked for more than they can serve.

Each node is held to a share of a CPU, so that what it can serve is the same all the while, and little enough for one upstream.
"""

from __future__ import annotations

from tests.conformance.overload_upstream import MOST, Upstream
from tests.conformance.test_overload_cluster import TwoNodes
from tests.integration.quota import Quota, refused

SHARE = 0.15  # of a CPU
BEGIN, STEP = 50.0, 1.5  # requests a second of each node at first, and how much more until both have too many


class PeerInOverloadTests(TwoNodes):
    skip = refused() or None

    async def test_in_overload(self) -> None:
        """
        What is more than the nodes can serve is refused; whoever takes part is told by each how much that is, and with what he
        holds back himself hardly any is refused, and as much is served.
        """
        other = await self.second_node()
        hosts = [self.node.address, other.address]
        for node in (self.node, other):
            assert node.program is not None
            self.hold(node.program.pid)

        def upstream(number: int, takes_part: bool) -> Upstream:
            made = Upstream(self.reactor, self.address(number), hosts, self.domain, takes_part)
            port = self.reactor.listenUDP(5060, made, self.address(number), 70_000)

            async def close() -> None:
                made.end()
                await port.stopListening()

            self.at_end(close)
            return made

        deaf, polite = upstream(150, takes_part=False), upstream(151, takes_part=True)
        deaf.begin(dict.fromkeys(hosts, BEGIN))
        in_a_row = 0
        while in_a_row < 2:
            await self.counted(deaf, 0.5)
            idle = [host for host, server in deaf.servers.items() if server.statuses[404] > 0.4 * server.sent]
            in_a_row = 0 if idle else in_a_row + 1
            for host in idle:
                deaf.rates[host] *= STEP
                self.assertLess(deaf.rates[host], MOST, "it never came to an overload")
        deaf.end()
        polite.begin(deaf.rates)

        async def is_limited() -> bool:
            return all(server.loss > 0 for server in polite.servers.values())

        await self.until(is_limited, "both nodes say how much is to be held back")

        async def are_full() -> bool:
            """By the quota, of which nobody has told them; without it C{cpu} would be no more than C{SHARE}."""
            rows = (await self.node.ask("status"))["nodes"]
            return all(
                row["measured"] and row["measured"]["quota"] == SHARE and row["components"]["cpu"] > 3 * SHARE
                for row in rows
            )

        await self.until(are_full, "both nodes measure what they use of their quota")
        await self.counted(polite, 2.0)  # the values settle
        await self.counted(polite, 1.5)
        polite.end()
        for unheard, held in zip(deaf.servers.values(), polite.servers.values(), strict=True):
            self.assertEqual(unheard.sent, unheard.asked)
            self.assertLess(held.sent, 0.8 * held.asked, held)
            # on a busy machine what a node can serve falls behind what it has just said, and the first answers are of
            # what was sent before; so it is compared with whoever does not take part, in the same minute
            answered = unheard.statuses[503] + unheard.statuses[404]
            self.assertLess(
                held.statuses[503] / held.asked, 0.5 * unheard.statuses[503] / answered, (held, unheard)
            )
            # counts of 1.5 and of 0.5 s
            self.assertGreater(held.statuses[404], 1.5 * unheard.statuses[404], (held, unheard))

    def hold(self, pid: int) -> None:
        """Leave a node its share of a CPU, until the end of the test."""
        quota = Quota(SHARE)
        quota.hold(pid)

        async def let_go() -> None:
            quota.remove()

        self.at_end(let_go)

    async def counted(self, upstream: Upstream, seconds: float) -> None:
        """Count what is asked and answered in the next so many seconds."""
        upstream.forget_counts()
        await self.tick(seconds)
