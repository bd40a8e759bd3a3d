"""
The reactor of one simulated node: a loop with a processor that takes time.

One turn of the loop runs the timers that are due, then what waits in the sockets, then what came over connections. Each
of them costs; meanwhile more arrives, and waits, or is dropped by the kernel. So lateness, load and loss come by themselves.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cryptography.x509 import Certificate
from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IReactorFDSet,
    IReactorTCP,
    IReactorTime,
    IReactorUDP,
    IReactorUNIX,
)
from twisted.logger import Logger
from zope.interface import implementer

from tests.simulation.clock import HeapClock
from tests.simulation.streams import Connector, End, connect
from tests.simulation.udp_socket import SimSocket

if TYPE_CHECKING:
    from tests.simulation.network import Address
    from tests.simulation.world import World

EPOCH = 1_800_000_000.0  # unix seconds at the beginning of each simulation
_CLOCK = 1e-6  # seconds between two floats of that size, about


@implementer(IReactorTime, IReactorFDSet, IReactorTCP, IReactorUDP, IReactorUNIX)
class NodeReactor(HeapClock):
    """
    @param host: IP address.
    @param certificate: what the node shows on the cluster link.
    @param skew: seconds that the node's clock is ahead.
    @ivar speed: of the processor; may be changed at any time.
    @ivar busy: CPU seconds used.
    @ivar sockets: for datagrams, by local address; C{listening}: factories by local address.
    """

    _log = Logger()

    def __init__(
        self, world: World, host: str, certificate: Certificate, speed: float = 1.0, skew: float = 0.0
    ) -> None:
        self.world, self.host, self.certificate, self.speed, self.skew = world, host, certificate, speed, skew
        self.costs = world.costs
        super().__init__()
        self.alive = True
        self.busy = 0.0
        self.sockets: dict[Address, SimSocket] = {}
        self.listening: dict[Address, Any] = {}
        self.ends: list[End] = []  # of connections
        self._readers: dict[Any, None] = {}
        self._arrived: deque[tuple[float, Callable[[], object]]] = deque()
        self._used = 0.0  # CPU seconds in this turn of the loop
        self._running = False
        self._free_at = 0.0  # world time at which the processor has done what it does
        self._turn: IDelayedCall | None = None
        self._port = 40000

    # -- time

    def seconds(self) -> float:
        return EPOCH + self.skew + self.world.clock.seconds() + self._used

    def stamp(self) -> float:
        """When what comes now came, as the kernel says it, which does not wait for the processor."""
        return EPOCH + self.skew + self.world.clock.seconds()

    @property
    def lead(self) -> float:
        """Seconds that the processor is ahead of the world: what it does now, others see so much later."""
        return self._used

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: object, **kw: object
    ) -> IDelayedCall:
        call = super().callLater(delay, callable, *args, **kw)
        self.look()
        return call

    def _moved(self, call: Any) -> None:
        super()._moved(call)
        self.look()

    def spend(self, seconds: float) -> None:
        """The processor works: so many seconds, if its speed were 1."""
        self._used += seconds / self.speed
        self.busy += seconds / self.speed

    def cpu(self) -> float:
        return self.busy

    def pause(self, seconds: float, *, working: bool = True) -> None:
        """Nothing else is done for a while: by the garbage collector, or (not C{working}) because the machine stands still."""
        self._free_at = max(self._free_at, self.world.clock.seconds()) + seconds
        if working:
            self.busy += seconds
        self.look()

    def kill(self) -> None:
        """From here on nothing runs any more."""
        self.alive = False
        self._heap.clear()
        self._arrived.clear()
        self._readers.clear()
        self.sockets.clear()
        self.listening.clear()

    # -- the loop

    def look(self) -> None:
        """Something may be to do: see to it that the loop turns when it is, and the processor is free."""
        if self._running or not self.alive:
            return  # it looks itself at the end of its turn
        now = self.world.clock.seconds()
        if self._arrived or any(map(self._readable, self._readers)):
            at = now
        else:
            due = self.due()
            if due is None:
                return
            at = due - EPOCH - self.skew
        at = max(at, self._free_at, now)
        if self._turn is not None and self._turn.active():
            if self._turn.getTime() == at:
                return
            self._turn.cancel()
        self._turn = self.world.clock.callLater(at - now, self._run_turn)

    def _readable(self, reader: Any) -> bool:
        opened = self.sockets.get(reader.local)
        return opened is not None and opened.readable

    def _run_turn(self) -> None:
        if not self.alive:
            return
        self._turn, self._running, self._used = None, True, 0.0
        try:
            self._run_timers()
            for reader in list(self._readers):
                if reader in self._readers and self._readable(reader):
                    self._guarded(reader.doRead)
            for _ in range(len(self._arrived)):
                cost, call = self._arrived.popleft()
                self.spend(cost)
                self._guarded(call)
        finally:
            self._free_at = self.world.clock.seconds() + self._used
            self._running, self._used = False, 0.0
        self.look()

    def _run_timers(self) -> None:
        now = (
            self.seconds() + _CLOCK
        )  # what is asked for meanwhile is not due: each call takes longer than this
        while (due := self.due()) is not None and due <= now:
            self.spend(self.costs.timer)
            self._guarded(self._run)

    def _guarded(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception:
            self._log.failure("a simulated node raised")

    def arrived(self, call: Callable[[], object], cost: float = 0.0) -> None:
        """Something came for the node: the loop is to deal with it."""
        if self.alive:
            self._arrived.append((cost, call))
            self.look()

    # -- datagrams

    def open_udp(self, host: str, port: int) -> SimSocket:
        opened = self.sockets[host, port] = SimSocket(self, (host, port))
        return opened

    def send(self, source: Address, destination: Address, data: bytes) -> None:
        self.spend(self.costs.sent)
        self.world.network.send(source, destination, data, self.lead)

    def addReader(self, reader: Any) -> None:
        self._readers[reader] = None
        self.look()

    def removeReader(self, reader: Any) -> None:
        self._readers.pop(reader, None)

    def addWriter(self, writer: Any) -> None:
        raise NotImplementedError("part of the interface; a node never calls it")

    def removeWriter(self, writer: Any) -> None:
        raise NotImplementedError("part of the interface; a node never calls it")

    def removeAll(self) -> list[Any]:
        raise NotImplementedError("part of the interface; a node never calls it")

    def getReaders(self) -> list[Any]:
        return list(self._readers)

    def getWriters(self) -> list[Any]:
        return []

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> Any:
        raise NotImplementedError("part of the interface; a node never calls it")

    # -- connections

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> _Listening:
        place = (interface, port)
        if place in self.listening:
            raise CannotListenError(interface, port, OSError(errno.EADDRINUSE, "Address already in use"))
        self.listening[place] = factory
        return _Listening(self, place)

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Connector:
        self._port += 1
        return connect(self, (self.host, self._port), (host, port), factory, timeout)

    def listenUNIX(
        self, address: str, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> _Listening:
        return _Listening(self, (address, 0))

    def connectUNIX(self, address: str, factory: Any, timeout: float = 30, checkPID: bool = False) -> Any:
        raise NotImplementedError("part of the interface; a node never calls it")


@implementer(IListeningPort)
class _Listening:
    def __init__(self, reactor: NodeReactor, place: Address) -> None:
        self._reactor, self._place = reactor, place

    def startListening(self) -> None:
        raise NotImplementedError("part of the interface; a node never calls it")

    def stopListening(self) -> None:
        self._reactor.listening.pop(self._place, None)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", *self._place)
