"""Virtual time for many nodes: a heap of calls, run one by one, each at its own time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer


@implementer(IReactorTime)
class HeapClock:
    """
    Like L{twisted.internet.task.Clock}, for simulations.

    C{task.Clock} sorts all calls whenever one is added, and sets its time to the end of a step before it runs anything in it.
    Here a call sees the time that it was asked for. Calls of the same time run in the order in which they were asked for.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._count = 0
        self._heap: list[tuple[float, int, DelayedCall]] = []

    def seconds(self) -> float:
        return self._now

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: object, **kw: object
    ) -> IDelayedCall:
        call = DelayedCall(
            self.seconds() + delay, callable, args, kw, lambda call: None, self._moved, self.seconds
        )
        self._push(call)
        return call

    def getDelayedCalls(self) -> list[DelayedCall]:
        """Those still to come, earliest first; a call that was moved stands in the heap twice, and is given once."""
        found = {
            id(call): call for _, _, call in sorted(self._heap, key=lambda entry: entry[:2]) if call.active()
        }
        return sorted(found.values(), key=lambda call: call.getTime())

    def advance(self, amount: float) -> None:
        """Run all that is due within C{amount} seconds, also what is asked for meanwhile."""
        end = self._now + amount
        while (due := self.due()) is not None and due <= end:
            self._run()
        self._now = end

    def run_next(self) -> bool:
        """Run the earliest call; false when none is left."""
        if self.due() is None:
            return False
        self._run()
        return True

    def due(self) -> float | None:
        """When the earliest call is due, once entries that are not true any more have left the top of the heap."""
        while self._heap:
            at, _, call = self._heap[0]
            if call.active() and call.getTime() == at:
                return at
            heapq.heappop(self._heap)
            if call.active():  # postponed, which nobody tells us (see DelayedCall.reset)
                call.activate_delay()
                self._push(call)
        return None

    def _run(self) -> None:
        at, _, call = heapq.heappop(self._heap)
        self._now = max(self._now, at)
        call.called = 1
        call.func(*call.args, **call.kw)

    def _moved(self, call: DelayedCall) -> None:
        self._push(call)

    def _push(self, call: DelayedCall) -> None:
        self._count += 1
        heapq.heappush(self._heap, (call.getTime(), self._count, call))
