"""A whole node in a simulation: the real L{NodeService} on a reactor, a processor, a network and a disk of its own."""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING

from twisted.internet.defer import maybeDeferred

from tests.simulation.disk import Disk
from tests.simulation.network import Address
from tests.simulation.node_reactor import NodeReactor
from tests.unit.media.fakes import FakeNetwork, FakeReaders
from voipcluster.balance.explain import Explanation
from voipcluster.config import Config
from voipcluster.services.media.kernel_path import NoKernel
from voipcluster.services.node.service import NodeService
from voipcluster.services.node.surroundings import Surroundings
from voipcluster.services.queued import NEVER

if TYPE_CHECKING:
    from tests.simulation.world import World


class SimNode:
    """
    @ivar lives: all services that ran as this node, the present or last one at the end.
    @ivar reactor: of the present life, or the last one.
    @ivar media: the sockets of its relay, to which nothing comes.
    """

    def __init__(self, world: World, name: str, host: str, config: Config, disk: Disk) -> None:
        self.world, self.name, self.host, self.config, self._disk = world, name, host, config, disk
        self.speed, self.skew = 1.0, 0.0
        self.lives: list[NodeService] = []
        self.media = FakeNetwork()
        self.reactor: NodeReactor
        world.network.hosts[host] = self

    @property
    def service(self) -> NodeService:
        return self.lives[-1]

    @property
    def alive(self) -> bool:
        return bool(self.lives) and self.reactor.alive

    @property
    def address(self) -> Address:
        return self.host, self.config.sip.port

    # -- life and death

    def start(self) -> None:
        """Start, or start again with what is on the disk."""
        assert not self.alive, "a node runs once"
        world, life = self.world, len(self.lives)
        reactor = self.reactor = NodeReactor(world, self.host, self._disk.certificate, self.speed, self.skew)
        self._disk.calls.seconds = reactor.seconds
        chance = Random(f"{world.seed}:{self.name}:{life}")

        def open_state(*arguments: object) -> object:
            self._disk.state.next_epoch(reactor.seconds())
            return self._disk.state

        surroundings = Surroundings(
            wall=reactor.seconds,
            random=chance.random,
            octets=chance.randbytes,
            cpu=reactor.cpu,
            quota=lambda: math.inf,
            queued=lambda: NEVER,
            memory=lambda: 100 << 20,
            open_udp=reactor.open_udp,
            open_rtp=self.media.open_port,
            rtp_readers=lambda reactor, gather: FakeReaders(),
            open_state=open_state,
            open_store=lambda *arguments: self._disk,
            in_thread=lambda reactor, work: maybeDeferred(work),
            kernel=NoKernel(),
        )
        service = NodeService(reactor, self.config, {}, stop=self.crash, surroundings=surroundings)
        self.lives.append(service)
        world.trace.note("start", self.name)
        world.network.hosts[self.host] = self
        reactor.arrived(service.startService)

    def crash(self, *, silent: bool = False) -> None:
        """
        The process ends as by C{kill -9}: the system closes its connections and answers for its ports.

        @param silent: the machine ends with it, and answers nothing.
        """
        self.world.trace.note("crash", self.name, silent)
        self.reactor.kill()
        if silent:
            del self.world.network.hosts[self.host]
            return
        for end in self.reactor.ends:
            self.world.network.after(self.host, end.remote[0], end.reset)

    def slow_down(self, factor: float) -> None:
        """Everything takes so many times as long from now on."""
        self.speed = 1.0 / factor
        self.reactor.speed = self.speed

    def set_clock(self, by: float) -> None:
        """Somebody sets the machine's clock, forward or back; Twisted's timers follow it."""
        self.skew += by
        self.reactor.skew = self.skew
        self.reactor.look()

    # -- the network

    def datagram_arrived(self, data: bytes, source: Address, port: int) -> bool:
        opened = self.reactor.sockets.get((self.host, port))
        if opened is None:
            return False
        opened.put(data, source)
        return True

    def unreachable(self, destination: Address, port: int) -> None:
        opened = self.reactor.sockets.get((self.host, port))
        if opened is not None:
            opened.put_error(destination)

    # -- what it knows

    @property
    def calls(self) -> set[str]:
        """The Call-IDs of the calls that it counts."""
        return {call.key[0] for call in self.service.calls} if self.alive else set()

    def explanations(self, call_id: str) -> list[Explanation]:
        """Why it placed a request as it did, in all its lives."""
        return [found for life in self.lives for found in life.placing.explanations.get(call_id)]
