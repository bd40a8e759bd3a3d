"""
One node under more than it can do, on virtual time: the real controller, server and client of overload control.

The node is one queue that is served in order, by a processor of which it may have but a share. A call is an INVITE, the
response to it that passes back, and a BYE; the INVITE may be refused, which costs something as well. Callers send an INVITE again
by Timer A of RFC 3261 until anything is answered. The buffer is bounded, as the kernel's is.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

from attrs import Factory, define, frozen

from voipcluster.balance.admission import Priority
from voipcluster.balance.feedback import OverloadServer, Upstream
from voipcluster.balance.throttle import RATE, Throttle

T1 = 0.5
COPIES = 6  # Timer A fires so often before Timer B ends it (RFC 3261 section 17.1.1.2)
INVITE, RESPONSE, BYE = "INVITE", "RESPONSE", "BYE"
COSTS = {INVITE: 0.5, RESPONSE: 0.2, BYE: 0.3}  # of a call's cost


@frozen(kw_only=True)
class Load:
    """C{rate(t)}: calls per second that are offered at that time; C{mean}: seconds of CPU that a call takes."""

    rate: Callable[[float], float]
    until: float
    mean: float = 0.001
    upstreams: int = 10
    algorithms: tuple[str, ...] = (RATE,)
    cooperate: bool = True
    refusal: float = 0.05  # of a call's cost
    share: float = 1.0  # of the processor
    controlled: bool = True
    buffer: int = 400  # messages
    seed: int = 1


@define
class Call:
    upstream: int
    started: float
    copies: int = 0
    answered: bool = False
    refused: bool = False
    taken: bool = False
    rejected_at_once: bool = False


@define
class Counts:
    """One second."""

    offered: int = 0
    done: int = 0
    refused: int = 0
    held_back: int = 0
    lost: int = 0


@define(slots=False)
class Model:
    load: Load
    server: OverloadServer = Factory(OverloadServer)
    now: float = 0.0
    seconds: list[Counts] = Factory(list)
    _heap: list[tuple[float, int, Any, tuple[Any, ...]]] = Factory(list)
    _queue: deque[tuple[float, str, Call]] = Factory(deque)
    _serving: bool = False

    def __attrs_post_init__(self) -> None:
        load = self.load
        self._number = count()
        self._rand = random.Random(f"{load.seed}:arrivals")
        self._service = random.Random(f"{load.seed}:service")
        self.throttles = [
            Throttle(random.Random(f"{load.seed}:upstream {index}").random) for index in range(load.upstreams)
        ]
        self.seconds = [Counts() for _ in range(int(load.until) + 1)]
        self._busy = 0.0
        self._admitted = 0
        self._ticked = 0.0
        self._least = float("inf")
        self._digest = hashlib.sha256()
        self._at(self._gap(), self._arrival)
        self._at(0.1, self._tick)

    @property
    def digest(self) -> str:
        """Of all that happened; the same for the same seed."""
        return self._digest.hexdigest()

    @property
    def capacity(self) -> float:
        return self.load.share / self.load.mean

    def goodput(self, start: float, end: float) -> float:
        """Calls done per second, as a share of the capacity."""
        return self.total("done", start, end) / (end - start) / self.capacity

    def total(self, name: str, start: float, end: float) -> int:
        return sum(getattr(second, name) for second in self.seconds[int(start) : int(end)])

    def run(self) -> Model:
        while self._heap and self._heap[0][0] < self.load.until:
            self.now, _, act, args = heapq.heappop(self._heap)
            act(*args)
        return self

    def _at(self, delay: float, act: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._heap, (self.now + delay, next(self._number), act, args))

    def _count(self) -> Counts:
        return self.seconds[int(self.now)]

    def _gap(self) -> float:
        return self._rand.expovariate(max(self.load.rate(self.now), 1e-3))

    # -- callers

    def _arrival(self) -> None:
        self._at(self._gap(), self._arrival)
        call = Call(self._rand.randrange(self.load.upstreams), self.now)
        self._count().offered += 1
        if self.load.cooperate and not self.throttles[call.upstream].admits(False, self.now):
            self._count().held_back += 1
            return
        self._send(call)

    def _send(self, call: Call) -> None:
        self._at(0.001, self._received, INVITE, call)
        call.copies += 1
        if call.copies <= COPIES:
            self._at(T1 * 2 ** (call.copies - 1), self._timer_a, call)

    def _timer_a(self, call: Call) -> None:
        if not call.answered:
            self._send(call)

    def _bye(self, call: Call) -> None:
        if self.load.cooperate:
            self.throttles[call.upstream].admits(True, self.now)  # it is never held back, and it counts
        self._received(BYE, call)

    def _answered(self, call: Call, upstream: Upstream | None) -> None:
        """A response reaches the caller."""
        call.answered = True
        if upstream is not None:
            self.throttles[call.upstream].learn(upstream.told, self.now)

    # -- the node

    def _received(self, kind: str, call: Call) -> None:
        if len(self._queue) >= self.load.buffer:
            self._count().lost += 1
            if kind != INVITE:
                self._at(T1, self._received, kind, call)  # Timer E, or the 200 again
            return
        self._queue.append((self.now, kind, call))
        if not self._serving:
            self._serve()

    def _serve(self) -> None:
        if not self._queue:
            self._serving = False
            self._least = 0.0
            return
        self._serving = True
        came, kind, call = self._queue.popleft()
        self._least = min(self._least, self.now - came)
        cost = self._work(kind, call)
        self._busy += cost
        self._at(cost / self.load.share, self._worked, kind, call)

    def _work(self, kind: str, call: Call) -> float:
        """Decides at once, as the node does; gives the CPU seconds that it takes."""
        load, server = self.load, self.server
        if kind != INVITE:
            return COSTS[kind] * self._service.expovariate(1.0) * load.mean
        if call.taken or call.refused:
            return self._refusal()  # a copy: the same answer again
        if load.controlled and server.active and not server.admits(call.upstream, Priority.CALL, self.now):
            call.refused = True
            return self._refusal()
        call.taken = True
        self._admitted += 1
        return COSTS[INVITE] * self._service.expovariate(1.0) * load.mean

    def _refusal(self) -> float:
        return self.load.refusal * self.load.mean

    def _worked(self, kind: str, call: Call) -> None:
        upstream = None
        if self.load.cooperate and self.load.controlled:
            upstream = self.server.upstream(call.upstream, self.load.algorithms, self.now)
        if kind == INVITE:
            if not call.answered and call.taken and upstream is not None:
                upstream.fresh += 1
            if call.taken and not call.answered:
                self._at(0.01, self._received, RESPONSE, call)
            elif call.refused and not call.answered:
                self._count().refused += 1
            self._at(0.001, self._answered, call, upstream)
            call.answered = True
        elif kind == RESPONSE:
            self._at(0.1, self._bye, call)
        else:
            if upstream is not None:
                upstream.others += 1
            self._count().done += 1
        self._digest.update(f"{self.now:.9f} {kind} {call.started:.9f} {call.refused}\n".encode())
        self._serve()

    def _tick(self) -> None:
        self._at(0.1, self._tick)
        least = self._least
        if least == float("inf"):
            least = self.now - self._queue[0][0] if self._queue else 0.0
        self.server.tick(self.now - self._ticked, self._busy, least, self._admitted, 1e9 + self.now)
        self._ticked, self._busy, self._admitted = self.now, 0.0, 0
        self._least = float("inf") if self._serving else 0.0
