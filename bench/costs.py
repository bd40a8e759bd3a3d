"""
What a node's processor takes for each kind of SIP message, for the table of the simulations (F{tests/simulation/costs.py}).

    python -m bench.costs

Whole nodes run in the simulation, and the real time of each datagram is taken: the CPU time of the thread, and of that the
median, since other programs disturb only some of them. The socket's own time is not in it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from statistics import median

from tests.simulation.costs import RECEIVED, kind_of
from tests.simulation.world import World
from voipcluster.address import Flow


def measure(seconds: float = 60.0) -> dict[bytes, list[float]]:
    """Microseconds of each datagram by its kind, at three nodes that serve, hand over and forward to one another."""
    world = World("abc", options={"limits": {"calls": 40}, "sip": {"min_expires": 1}})
    found: dict[bytes, list[float]] = defaultdict(list)
    for node in world.nodes.values():
        sink, received = node.service.transactions, node.service.transactions.bytes_received

        def timed(data: bytes, flow: Flow, received: object = received) -> None:
            before = time.thread_time_ns()
            received(data, flow)
            found[kind_of(data)].append((time.thread_time_ns() - before) / 1000)

        sink.bytes_received = timed
    world.phones(callers=20, callees=20, at="a")
    world.begin_traffic(20, 2.0, seconds)
    for _ in range(int(seconds)):
        world.run(1.0)
        for phone in world.callees:
            phone.register()
    world.settle()
    return found


def main() -> None:
    print(f"{'':10}{'measured':>10}{'table':>8}{'number':>9}  microseconds")
    for kind, times in sorted(measure().items()):
        print(f"{kind.decode():10}{median(times):10.0f}{RECEIVED.get(kind, 0):8.0f}{len(times):9}")


if __name__ == "__main__":
    main()
