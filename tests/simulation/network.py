"""The network of a simulation: what one host sends another comes late, twice, in another order, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING, Protocol

from attrs import define, evolve

if TYPE_CHECKING:
    from tests.simulation.world import World

Address = tuple[str, int]


@define
class Path:
    """
    How it is from one host to another; each direction has its own.

    @ivar latency: seconds at least; C{jitter}: mean of the exponential time on top, which alone reorders little.
    @ivar loss: and C{duplication}, C{reordering}: shares of datagrams; one that is reordered takes C{detour} seconds more.
    @ivar cut: nothing arrives (a partition).
    """

    latency: float = 0.0005
    jitter: float = 0.0002
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    detour: float = 0.02
    cut: bool = False


class IHost(Protocol):
    """Who has an IP address."""

    def datagram_arrived(self, data: bytes, source: Address, port: int) -> bool:
        """@return: whether somebody listens there; else the sender is told by ICMP."""

    def unreachable(self, destination: Address, port: int) -> None:
        """An ICMP error came for what C{port} sent to C{destination}."""


class Network:
    """
    @ivar usual: how it is between hosts of which nothing else was said.
    @ivar hosts: by IP address; a host that is not there is silent.
    @ivar lost: datagrams that did not arrive.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.usual = Path()
        self.hosts: dict[str, IHost] = {}
        self.lost = 0
        self._paths: dict[tuple[str, str], Path] = {}
        self._chances: dict[tuple[str, str], Random] = {}

    def path(self, source: str, destination: str) -> Path:
        """How it is from one host to another."""
        return self._paths.get((source, destination), self.usual)

    def chance(self, source: str, destination: str) -> Random:
        """Each pair of hosts has a generator of its own, so that what others send changes nothing between these two."""
        key = source, destination
        if key not in self._chances:
            self._chances[key] = Random(f"{self._world.seed}:{source}:{destination}")
        return self._chances[key]

    def change(self, sources: Iterable[str], destinations: Iterable[str], **conditions: object) -> None:
        """Change the path from each of these hosts to each of those; keywords are the fields of L{Path}."""
        for source in sources:
            for destination in destinations:
                if source != destination:
                    self._paths[source, destination] = evolve(self.path(source, destination), **conditions)

    def cut(self, some: Iterable[str], others: Iterable[str], *, cut: bool = True) -> None:
        """A partition between two groups of hosts, both ways; C{cut=False} heals it."""
        some, others = list(some), list(others)
        self.change(some, others, cut=cut)
        self.change(others, some, cut=cut)

    def delay(self, source: str, destination: str) -> float:
        """What one packet takes."""
        path = self.path(source, destination)
        return path.latency + self.chance(source, destination).expovariate(1.0) * path.jitter

    def after(self, source: str, destination: str, arrives: Callable[[], object]) -> None:
        """What the systems tell one another arrives too, unless the way is cut now."""
        if not self.path(source, destination).cut:
            self._world.clock.callLater(self.delay(source, destination), arrives)

    def send(self, source: Address, destination: Address, data: bytes, after: float = 0.0) -> None:
        """@param after: seconds from now at which it leaves: the sender's processor is that far ahead."""
        path, chance = self.path(source[0], destination[0]), self.chance(source[0], destination[0])
        # so many draws for each datagram, whatever becomes of it: conditions change nothing else
        lost, doubled, detoured = (chance.random() for _ in range(3))
        delays = [self.delay(source[0], destination[0]) for _ in range(2)]
        if path.cut or lost < path.loss:
            self.lost += 1
            self._world.trace.note("lost", source, destination, data)
            return
        if detoured < path.reordering:
            delays[0] += path.detour
        for delay in delays if doubled < path.duplication else delays[:1]:
            self._world.clock.callLater(after + delay, self._arrive, source, destination, data)

    def _arrive(self, source: Address, destination: Address, data: bytes) -> None:
        host = self.hosts.get(destination[0])
        if host is None or self.path(source[0], destination[0]).cut:
            self.lost += 1
            return
        self._world.trace.note("datagram", source, destination, data)
        if not host.datagram_arrived(data, source, destination[1]):
            self.after(destination[0], source[0], lambda: self._unreachable(source, destination))

    def _unreachable(self, source: Address, destination: Address) -> None:
        host = self.hosts.get(source[0])
        if host is not None:
            host.unreachable(destination, source[1])
