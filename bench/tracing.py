"""
What looking on at messages takes of a node's processor for each call: tracing off, on for somebody else, on for all, and HEP.

    python -m bench.tracing

One node with its phones in the simulation, in which everything but the socket is real; a call in turns with each, and of the
CPU time of the thread for one call the median of all of them. HEP packets go to a collector that throws them away.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from tests.simulation.world import World
from voipcluster.services.hep.export import Choice, HepExport
from voipcluster.services.tracing.wanted import wanted_of
from voipcluster.sip.hep import HepWriter

ROUNDS = 40


class Nowhere:
    """A collector that takes everything and keeps nothing."""

    ready = True

    def start(self) -> None: ...

    def stop(self) -> Deferred[Any]:
        return succeed(None)

    def send(self, packet: bytes) -> bool:
        return True


class Node:
    """One node whose calls are timed."""

    def __init__(self) -> None:
        self.world = World("a", seed=1)
        self.world.phones(callers=1, callees=1, at="a")
        self.service = self.world.nodes["a"].service
        self.spent = 0
        for port in self.service.transport.udp_ports:
            port.doRead = self._timed(port.doRead)
        reactor: Any = self.service.reactor
        self.export = HepExport(
            IReactorTime(reactor), self.service.tap, HepWriter(1, "a"), Choice(), "a", reactor.seconds
        )
        self.export.collector = Nowhere()
        self.export._send_some = self._timed(self.export._send_some)

    def _timed(self, work: Callable[[], Any]) -> Callable[[], Any]:
        def timed() -> None:
            before = time.thread_time_ns()
            work()
            self.spent += time.thread_time_ns() - before

        return timed

    def call(self) -> float:
        """Microseconds for one call, from its INVITE to its end."""
        self.spent = 0
        attempt = self.world.call(self.world.callers[0], self.world.callees[0], 0.5)
        self.world.until(lambda: attempt.over, "the call is over")
        self.world.run(0.1)
        return self.spent / 1000


def main() -> None:
    node = Node()
    recorder = node.service.recorder

    def trace(user: str | None) -> None:
        recorder.switch_on(wanted_of(user, None, None, user is None), 3600.0)

    ways: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "off": (lambda: None, lambda: None),
        "trace of another user": (lambda: trace("somebody"), recorder.switch_off),
        "trace of all": (lambda: trace(None), recorder.switch_off),
        "HEP": (node.export.startService, node.export.stopService),
        "off again": (lambda: None, lambda: None),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 5):
        for name, (begin, end) in ways.items():
            begin()
            took = node.call()
            end()
            if number >= 5:
                found[name].append(took)
    off = median(found["off"])
    print(f"{'':24}{'us a call':>10}{'more':>8}")
    for name, times in found.items():
        print(f"{name:24}{median(times):10.0f}{median(times) - off:8.0f}")


if __name__ == "__main__":
    main()
