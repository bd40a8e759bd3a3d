"""A cluster that tests share which leave it as they found it: started by the first, stopped when the process ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import ClassVar

from demo.cluster import CHECKOUT, Cluster, Node
from demo.programs import ProgramFailed
from tests.conformance.shared_node import DetachedNode
from tests.integration.claims import ClaimTestCase, number_in
from tests.integration.harness import COMMON

__all__ = ["SharedClusterTestCase"]


class _SharedCluster(Cluster):
    kind = DetachedNode


class SharedClusterTestCase(ClaimTestCase):
    """
    Tests of one class that ask for the same cluster get the same: each takes users that no other has (C{own}), ends its calls,
    and counts from where the one before it has left off (C{more}).
    """

    _clusters: ClassVar[dict[object, Cluster]] = {}
    _numbers: ClassVar[Iterator[int]] = count()

    def own(self, name: str) -> str:
        """The name of a user of this test alone."""
        return f"{name}{self._tests_begun}"

    async def start_cluster(
        self,
        *options: str,
        nodes: str = "abc",
        each: dict[str, Sequence[str]] | None = None,
        checkout: Path = CHECKOUT,
    ) -> Cluster:
        """As of L{ClusterTestCase}, unless it is there: then nothing is started."""
        assert each is None and checkout is CHECKOUT, "what is shared is the same for all"
        key = (type(self), nodes, *options)
        cluster = self._clusters.get(key)
        if cluster is None:
            cluster = _SharedCluster(self.reactor, self.folder, (*COMMON, *options))
            network = self.network.rpartition(".")[0]  # 127.MODULE.0 is that of all tests
            first = 1 + 10 * next(self._numbers)
            for number, name in enumerate(nodes, first):
                await (cluster.found if number == first else cluster.join)(name, f"{network}.0.{number}")
            await cluster.all_see_all()
            self._clusters[key] = cluster
        self.cluster = cluster
        self.at_end(self._goes_on)
        self._before = {node.name: await node.ask("metrics") for node in cluster.nodes}
        return cluster

    async def more(self, node: Node, name: str, /, **labels: str) -> float:
        """By how much a number of F{/metrics} has grown since this test began."""
        return await self.metric(node, name, **labels) - number_in(self._before[node.name], name, labels)

    async def begin_anew(self) -> None:
        """With other nodes: calls may be up at these that nobody ends any more."""
        for key, cluster in list(self._clusters.items()):
            if cluster is self.cluster:
                del self._clusters[key]
        for node in reversed(self.cluster.nodes):
            assert isinstance(node, DetachedNode)
            node.program.end()
            self.assertEqual(node.tracebacks(), [])
        self._closing.remove(self._goes_on)
        await super().begin_anew()

    async def _goes_on(self) -> None:
        """The nodes run, hold no call, and have logged no traceback."""
        problems = []
        for node in self.cluster.nodes:
            assert isinstance(node, DetachedNode)
            if node.running:

                async def idle(node: Node = node) -> bool:
                    return await self.metric(node, "calls") == 0

                await self.until(idle, f"node {node.name} has no calls any more")
            else:
                problems.append(f"node {node.name} ended by itself with {node.program.status}")
            problems += [f"node {node.name} logged\n{text}" for text in node.tracebacks()]
        if problems:
            raise ProgramFailed("\n".join(problems))
