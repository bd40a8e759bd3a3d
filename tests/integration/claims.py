"""What the tests of the design's claims share: questions to the nodes, and calls of sipp that tell who served them."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from demo.cluster import Node
from tests.integration.harness import DOMAIN, ClusterTestCase
from tests.integration.link_proxy import LinkProxy, lead_astray
from tests.integration.run_sipp import Sipp

__all__ = ["DOMAIN", "ClaimTestCase", "by_node", "number_in", "user_of"]

CALLEES, CALLERS = 101, 102  # last octets of the addresses that sipp answers and calls from


def by_node(calls: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many of the calls each node serves."""
    return dict(Counter(call["node"] for call in calls))


def user_of(uri: str) -> str:
    return uri.partition(":")[2].partition("@")[0]


def number_in(metrics: str, name: str, labels: Mapping[str, str]) -> float:
    """The sum of what F{/metrics} has of that name and with these labels."""
    total = 0.0
    for found in re.finditer(rf"^voipcluster_{name}(?:{{(.*)}})? (\S+)$", metrics, re.MULTILINE):
        of = dict(re.findall(r'(\w+)="([^"]*)"', found[1] or ""))
        if labels.items() <= of.items():
            total += float(found[2])
    return total


class ClaimTestCase(ClusterTestCase):
    """A cluster with callees in one sipp and callers in others."""

    async def start_callee(self, node: Node | None = None, user: str = "to") -> Sipp:
        """A sipp that answers any number of calls as one user, at the address that ends in C{CALLEES}."""
        await self.add_users(user)
        made = await self.sipp_callee([user], self.address(CALLEES), node)
        await self.reachable(user)
        return made

    async def offer(
        self,
        callers: Sequence[str],
        node: Node | None = None,
        *,
        callee: str = "to",
        last: int = CALLERS,
        **options: Any,
    ) -> Sipp:
        """One call from each of these users, who are added first; held until C{hang_up}, unless told otherwise."""
        await self.add_users(*callers)
        pairs = [(caller, callee) for caller in callers]
        return self.sipp_caller(pairs, self.address(last), node, **{"hold": None, **options})

    async def calls(self, node: Node | None = None) -> list[dict[str, Any]]:
        """C{voipctl calls} at one node, the primary unless told otherwise: those of the whole cluster."""
        rows: list[dict[str, Any]] = await (node or self.primary).ask("calls")
        return rows

    async def calls_up(
        self, count: int, node: Node | None = None, seconds: float = 30.0
    ) -> list[dict[str, Any]]:
        """Return the calls once so many are up, and no more are in progress."""

        found: list[dict[str, Any]] = []

        async def up() -> bool:
            found[:] = await self.calls(node)
            return len(found) == count and all(row["state"] == "up" for row in found)

        await self.until(up, f"{count} calls are up", seconds)
        return found

    async def are_at(
        self, wanted: dict[str, int], limit: int = 2000, node: Node | None = None
    ) -> list[dict[str, Any]]:
        """
        Return the calls once they are up, so many at each node; as of C{placed} when they are at others.

        @param limit: C{limits.calls} of the nodes.
        """
        rows = await self.calls_up(sum(wanted.values()), node)
        await self.placed(by_node(rows), wanted, [row["call_id"] for row in rows], limit=limit)
        return rows

    async def explain(self, call_id: str, node: Node | None = None) -> list[dict[str, Any]]:
        """C{voipctl explain}: the decisions about one call, by hops."""
        rows: list[dict[str, Any]] = await (node or self.primary).ask("explain", call_id=call_id)
        return rows

    async def metric(self, node: Node, name: str, /, **labels: str) -> float:
        """A number of F{/metrics}; 0 when it is not there."""
        return number_in(await node.ask("metrics"), name, labels)

    async def heard(self, *callers: Sipp, packets: int = 75) -> None:
        """Return once each call of these got so many packets of its own tone back; fails when many were lost."""
        streams = [(stream, one.tones[port]) for one in callers for port, stream in one.streams.items()]
        before = [(stream.packets_sent, stream.packets_received) for stream, _ in streams]

        def missing() -> list[str]:
            """Of each call that is not heard yet what came back; a machine that is busy may have some on their way."""
            found = []
            for (stream, tone), (sent_before, received_before) in zip(streams, before, strict=True):
                sent, received = stream.packets_sent - sent_before, stream.packets_received - received_before
                if stream.heard_hz != tone or received < max(packets, 0.8 * sent):
                    found.append(f"{tone} Hz: of {sent} packets {received} came back, {stream.heard_hz} Hz")
            return found

        try:
            await self.until(lambda: not missing(), "every caller hears its own tone in the echo")
        except self.failureException as error:
            raise self.failureException(f"{error}: {'; '.join(missing())}") from None

    async def packets_pass(self, call: dict[str, Any], packets: int = 150) -> None:
        """Return once so many packets of a call were relayed since it was asked for; a second has 100 of both ways."""

        async def passed() -> bool:
            rows = await self.calls()
            return any(
                row["call_id"] == call["call_id"] and row["packets"] - call["packets"] >= packets
                for row in rows
            )

        await self.until(passed, "audio is relayed")

    async def settled(self, proxy: LinkProxy, caller: Node) -> None:
        """
        Return when what C{caller} reports goes through the proxy: its link may be a new one since another node restarted, and
        the greeting of a new link brings a report of its own, which no proxy catches.
        """
        before = len(proxy.passed)
        changes = cycle((True, False))

        async def reports() -> bool:
            # a change is reported at once, but only over links that are up, and not when it is taken back within moments: so
            # change, a look apart, until it has come
            draining = next(changes)
            await caller.ask("drain", node=None, on=draining)
            return not draining and len(proxy.passed) > before and proxy.passed[-1][1]["state"] == "open"

        await self.until(reports, f"{caller.name} reports through the proxy")
        for other in self.cluster.nodes:
            await self.cluster.when(
                lambda nodes: nodes[caller.name]["state"] == "open",
                f"{other.name} hears of {caller.name}",
                node=other,
            )

    async def proxied(self, caller: str, callee: str, *options: str) -> LinkProxy:
        """
        Put a L{LinkProxy} between two nodes that run, which restarts the caller; returns when all hear of all again.

        @param options: that the caller was started with beyond those of all nodes.
        """
        node = self.node(caller)
        self.assertEqual(await node.stop(), -signal.SIGTERM)
        lead_astray(node, self.node(callee), self.primary)
        proxy = LinkProxy(self.reactor, node, self.node(callee))
        self.at_end(proxy.stop)
        await self.until(lambda: proxy.up, "the proxy is connected")
        await self.cluster.restart(node, *options)
        for other in self.cluster.nodes:
            await self.cluster.when(
                lambda nodes: all(row["state"] == "open" for row in nodes.values()),
                f"{other.name} hears of all",
                node=other,
            )
        return proxy
