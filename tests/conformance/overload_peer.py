"""
An upstream that takes part in overload control (RFC 7339), and two real nodes that are asked for more than they can serve.

Run by C{script/test tests.conformance.overload_peer} and not with the others: it takes all processors for some seconds, and what
it measures is not the same on a busy machine.
"""

from __future__ import annotations

from tests.conformance.overload_upstream import MOST, Upstream
from tests.conformance.test_overload_cluster import TwoNodes


class PeerInOverload(TwoNodes):
    async def test_in_overload(self) -> None:
        """
        What is more than the nodes can serve is refused; whoever takes part is told by each how much that is, and with what he
        holds back himself hardly any is refused, and as much is served.
        """
        other = await self.second_node()
        hosts = [self.node.address, other.address]

        def upstream(number: int, takes_part: bool) -> Upstream:
            made = Upstream(self.reactor, self.address(number), hosts, self.domain, takes_part)
            port = self.reactor.listenUDP(5060, made, self.address(number), 70_000)

            async def close() -> None:
                made.end()
                await port.stopListening()

            self.at_end(close)
            return made

        deaf, polite = upstream(150, takes_part=False), upstream(151, takes_part=True)
        deaf.begin(dict.fromkeys(hosts, 1000.0))
        in_a_row = 0
        while in_a_row < 2:
            await self.counted(deaf, 0.5)
            idle = [host for host, server in deaf.servers.items() if server.statuses[404] > 0.4 * server.sent]
            in_a_row = 0 if idle else in_a_row + 1
            for host in idle:
                deaf.rates[host] *= 1.4
                self.assertLess(deaf.rates[host], MOST, "it never came to an overload")
        deaf.end()
        polite.begin(deaf.rates)

        async def is_limited() -> bool:
            return all(server.loss > 0 for server in polite.servers.values())

        await self.until(is_limited, "both nodes say how much is to be held back")
        await self.counted(polite, 2.0)  # the values settle
        await self.counted(polite, 1.5)
        polite.end()
        for refused, held in zip(deaf.servers.values(), polite.servers.values(), strict=True):
            self.assertEqual(refused.sent, refused.asked)
            self.assertLess(held.sent, 0.8 * held.asked, held)
            # what is refused comes from a capacity that is not the same in each moment
            self.assertLess(held.statuses[503], 0.6 * held.statuses[404], held)
            self.assertLess(held.statuses[503], 0.15 * held.asked, held)
            # counts of 1.5 and of 0.5 s
            self.assertGreater(held.statuses[404], 1.5 * refused.statuses[404], (held, refused))

    async def counted(self, upstream: Upstream, seconds: float) -> None:
        """Count what is asked and answered in the next so many seconds."""
        upstream.forget_counts()
        await self.tick(seconds)
