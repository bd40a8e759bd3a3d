"""Virtual time: a heap of things to do, each at its own time, and a trace of what happened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from attrs import define, field


@define(slots=True)
class World:
    """
    @ivar now: seconds since the start.
    @ivar trace: what was noted; the same run gives the same digest.
    """

    now: float = 0.0
    trace: Any = field(factory=hashlib.sha256)
    _count: int = 0
    _heap: list[tuple[float, int, Callable[[Any], None], Any]] = field(factory=list)

    def at(self, when: float, call: Callable[[Any], None], argument: Any = None) -> None:
        """Call C{call(argument)} at C{when}; of two of one time the one asked for first is first."""
        self._count += 1
        heappush(self._heap, (when, self._count, call, argument))

    def run(self, until: float) -> None:
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, call, argument = heappop(heap)
            call(argument)
        self.now = until

    def note(self, *what: object) -> None:
        self.trace.update(f"{self.now:.9f}{what}".encode())
