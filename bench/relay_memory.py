"""
What a relayed call takes of memory: of the relay's process, and of the kernel (sockets, what epoll knows of them, elements
of nftables).

Each relay is started twice, with few calls and with so many more, each of which is latched by real packets both ways. The
figure is what the resident size, and the objects in all slab caches (F{/proc/slabinfo}, needs root), grew by from the start
of the process on, with many calls less with few, a call. Other programs allocate too: let the machine be quiet. Socket
buffers are empty.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, socket

from bench.relays import KERNEL, RTPENGINE, Leg, Places, resident_kb, start_ours, start_rtpengine

FEW = 50
RTP = b"\x80\x00" + bytes(170)
PATIENCE = 5.0  # seconds for one packet


def slab_kb() -> float:
    """What the objects in use of all slab caches take; 0.0 for who may not look."""
    try:
        lines = Path("/proc/slabinfo").read_text().splitlines()[2:]
    except PermissionError:
        return 0.0
    return sum(int(used) * int(size) for _, used, _, size, *_ in map(str.split, lines)) / 1024


def latch(legs: Sequence[Leg], places: Places) -> None:
    """A packet of each side of each call, and one more of the first: so what the second one led to is done."""
    for caller, callee in zip(legs[::2], legs[1::2], strict=True):
        with socket(AF_INET, SOCK_DGRAM) as a, socket(AF_INET, SOCK_DGRAM) as b:
            for sock, leg in ((a, caller), (b, callee)):
                sock.settimeout(PATIENCE)
                sock.bind((places.parties[leg.party], leg.local))
            for sender, leg, receiver in ((a, caller, b), (b, callee, a), (a, caller, b)):
                sender.sendto(RTP, (leg.host, leg.port))
                receiver.recv(2048)


def taken(name: str, calls: int) -> tuple[float, float]:
    """kB of the process and of the kernel, with so many calls, since before the start."""
    places = Places()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        before = slab_kb()
        if name == RTPENGINE:
            pid, legs, _ = start_rtpengine(stack, calls, folder, places)
        else:
            path = "kernel" if name == KERNEL else "userspace"
            pid, legs, _ = start_ours(stack, calls, path, places)
        latch(legs, places)
        return resident_kb(pid), slab_kb() - before


def show(names: Sequence[str], calls: int, rounds: int) -> None:
    """Measure, and print the medians."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            few, many = taken(name, FEW), taken(name, FEW + calls)
            found[name].append(((many[0] - few[0]) / calls, (many[1] - few[1]) / calls))
    print(f"memory of a call, {calls} calls, median of {rounds} (lowest to highest):")
    for name, rows in found.items():
        own, kernel, both = (
            [row[0] for row in rows], [row[1] for row in rows], [sum(row) for row in rows],
        )  # fmt: skip
        print(
            f"  {name:24} process {_shown(own)}, kernel {_shown(kernel)}, together {_shown(both)}",
            file=sys.stdout,
            flush=True,
        )


def _shown(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} kB ({min(values):.1f} to {max(values):.1f})"
