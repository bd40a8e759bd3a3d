"""
The node's own workload: measured ten times a second, counted with each call, told at once when it matters.

What is measured jitters (CPU, delay, rates) and is sampled by a timer. Calls are counted: L{WorkloadService.touch} takes each
start and end at once, because the next request may be placed before the next sample.
"""

from __future__ import annotations

import math
import os
import resource
import time
from collections import deque
from collections.abc import Callable

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from voipcluster.balance.decision import Own
from voipcluster.balance.delay import Delay
from voipcluster.balance.granted import Granted
from voipcluster.balance.rate import MovingRate
from voipcluster.balance.report import Report
from voipcluster.balance.start import SlowStart
from voipcluster.balance.state import DrainOrdered, DrainRevoked, Levels, Measured, NodeStateMachine
from voipcluster.balance.trigger import Changes, Pace
from voipcluster.balance.workload import PeakEwma, Workload
from voipcluster.net.waiting import Waited
from voipcluster.services.queued import NEVER, Queued

SAMPLE = 0.1  # s between samples
LOOK = 0.02  # s of its own time between looks at what waits, while the node is busy: others hear of a slow-down the sooner
LOOK_FROM = 0.2  # share of a sample in which it worked, or something waited for it
QUOTA_EVERY = 5.0  # s between looks at the quota of the CPU, which somebody may change
CPU_SAMPLES = 5  # one sample holds a handshake or a garbage collection; half a second says what the node does
TOO_LATE = 0.1  # s of delay that count as workload 1.0
KERNEL_COST = 0.2  # of a packet that the kernel relays, in those of this process (bench/relay.py)
MEMORY_FULL = 0.95  # of the limit: from here on memory counts as used up, because the next step is the end of the process


def resident_bytes() -> int:
    """The resident size of this process (proc(5), C{statm}); 0 where there is no such file."""
    try:
        statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return int(os.read(statm, 128).split()[1]) * resource.getpagesize()
    finally:
        os.close(statm)


def _nothing() -> int:
    return 0


@frozen(kw_only=True)
class Sources:
    """
    Where the numbers come from; each is called once per sample, C{calls} also on each touch.

    @ivar waited: how long messages waited since this was last called, or L{None} when none came.
    @ivar refused: requests refused unread so far.
    @ivar cpu: CPU seconds that the reactor's thread used so far; it is called on that thread.
    @ivar quota: CPUs that the process may use, infinity where it may use all; called each C{QUOTA_EVERY}, on that thread, too.
    @ivar queued: how long that thread waited for the CPU so far; it is called there, too.
    @ivar packets: packets that this process relayed so far; C{kernel_rate}: those a second that the kernel relays for it.
    @ivar memory: resident bytes.
    @ivar wall: seconds since 1970, for the time in a report.
    """

    calls: Callable[[], int] = _nothing
    transactions: Callable[[], int] = _nothing
    registrations: Callable[[], int] = _nothing
    packets: Callable[[], int] = _nothing
    kernel_rate: Callable[[], float] = lambda: 0.0
    memory: Callable[[], int] = resident_bytes
    waited: Callable[[], Waited | None] = lambda: None
    refused: Callable[[], int] = _nothing
    cpu: Callable[[], float] = time.thread_time
    quota: Callable[[], float] = lambda: math.inf
    queued: Callable[[], Queued] = lambda: NEVER
    wall: Callable[[], float] = time.time


@frozen(kw_only=True)
class Limits:
    """What counts as workload 1.0; 0 means that it does not count."""

    calls: int = 2000
    transactions: int = 0
    packets_per_second: float = 0.0
    memory: int = 0


def _share(value: float, limit: float) -> float:
    return value / limit if limit else 0.0


class WorkloadService(Service):
    """
    Measures while it runs, and calls C{on_change()} when the others must hear of it at once.

    What matters is L{Changes}' to say, how often L{Pace}'s: at most 50 times a second, and the last value is never lost.
    C{on_change} must call C{report(seq)}, from which the next change is measured; the periodic reports, also made by
    C{report(seq)}, are the cluster link's.

    @param clock: the reactor.
    @param period: seconds between reports, told in each report.
    @param slow_start: see L{SlowStart}; it begins with the service.
    @param others: how many nodes read the reports.
    @param controlled: see L{Own}.
    @ivar sampled: told of each sample: seconds, CPU seconds, and seconds of delay in it.
    @ivar on_change: called without arguments; replace it before the service starts.
    """

    def __init__(
        self,
        clock: IReactorTime,
        *,
        node: str,
        epoch: int,
        sources: Sources,
        limits: Limits,
        levels: Levels,
        step: float = 0.02,
        period: float = 1.0,
        on_change: Callable[[], None] = lambda: None,
        slow_start: float = 0.0,
        others: Callable[[], int] = lambda: 1,
        controlled: bool = False,
    ) -> None:
        self.on_change = on_change
        self.sampled: Callable[[float, float, float], object] = lambda elapsed, busy, delay: None
        self._controlled = controlled
        self._clock, self._sources, self._limits = clock, sources, limits
        self._node, self._epoch, self._step, self._period = node, epoch, step, period
        self._machine = NodeStateMachine(levels)
        self._far = levels.threshold - 5 * step
        self._cpu_peak, self._lag_peak = PeakEwma(), PeakEwma()
        self._arrivals, self._delay = MovingRate(tau=0.75), Delay()
        self._granted, self._queued, self._looked_queued = Granted(), NEVER, NEVER
        self._others, self._changes, self._pace = others, Changes(step), Pace()
        self._start = SlowStart(clock.seconds(), slow_start)
        self._cpu: deque[tuple[float, float]] = deque(maxlen=CPU_SAMPLES + 1)  # (wall, CPU) seconds
        self._quota, self._quota_at = 1.0, 0.0  # CPUs that the thread can have
        self._packets, self._sampled_at = 0, 0.0
        self._looked_at = self._looked_cpu = 0.0
        self._waited: Waited | None = None  # since the last sample
        self._often = False
        self._refusals, self._refused = MovingRate(tau=0.75), 0
        self._arrived = self._completed = 0
        self._calls = 0
        self._untold = False
        self._workload = Workload()
        self._own = Own(self._workload, weight=self._start.weight(clock.seconds()))
        self._next: IDelayedCall | None = None
        self._trailing: IDelayedCall | None = None
        self._look_next: IDelayedCall | None = None

    def startService(self) -> None:
        super().startService()
        now = self._clock.seconds()
        self._start = SlowStart(now, self._start.step)
        self._looked_at, self._looked_cpu = now, self._sources.cpu()
        self._queued = self._looked_queued = self._sources.queued()
        self._cpu.append((now, self._looked_cpu))
        self._look_at_quota(now)
        self._packets, self._sampled_at = self._sources.packets(), now
        self._next = self._clock.callLater(SAMPLE, self._sample, now + SAMPLE)
        self.touch()

    def stopService(self) -> None:
        super().stopService()
        for call in (self._next, self._trailing, self._look_next):
            if call is not None and call.active():
                call.cancel()
        self._next = self._trailing = self._look_next = None

    def use(self, limits: Limits, levels: Levels, step: float, period: float) -> None:
        """Measure by these from now on; the next sample says what the node is then."""
        self._limits, self._step, self._period = limits, step, period
        self._machine.levels = levels
        self._far = levels.threshold - 5 * step
        self._changes.step = step

    def workload(self) -> Workload:
        return self._workload

    def own(self) -> Own:
        """The node as L{voipcluster.balance.placement.Placement} wants it; the same object until something changed."""
        return self._own

    def report(self, seq: int) -> Report:
        """A report to be sent now; changes are measured from it."""
        own, self._untold = self._own, False
        self._changes.tell(own, self._calls)
        return Report(
            node=self._node,
            epoch=self._epoch,
            seq=seq,
            state=own.state,
            workload=self._workload,
            delay=own.delay,
            arrival_rate=own.arrival_rate,
            capacity=own.capacity,
            granted=own.granted,
            weight=own.weight,
            refusal_rate=own.refusal_rate,
            quota=own.quota,
            calls=self._calls,
            calls_limit=self._limits.calls,
            registrations=self._sources.registrations(),
            time=self._sources.wall(),
            period=self._period,
        )

    def request_arrived(self) -> None:
        """A client sent a new request (not: another node handed it over)."""
        self._arrived += 1

    def request_completed(self) -> None:
        """A new request was worked off, wherever it came from."""
        self._completed += 1

    def touch(self) -> None:
        """A call began or ended: count anew, now."""
        self._calls = self._sources.calls()
        old = self._workload
        limit = self._limits.calls
        share = self._calls / limit if limit else 0.0
        if share < self._far and abs(share - old.calls) < self._step / 2:
            return  # far from any gate: the next sample, within a tenth of a second, counts exactly enough
        self._settle(
            Workload(
                cpu=old.cpu,
                lag=old.lag,
                calls=share,
                transactions=old.transactions,
                packets=old.packets,
                memory=old.memory,
            )
        )

    def drain(self, on: bool) -> None:
        """Take nothing new from now on, or take part again."""
        self._machine.feed(DrainOrdered() if on else DrainRevoked())
        self._changed()

    def _sample(self, due: float) -> None:
        now = self._clock.seconds()
        self._next = self._clock.callLater(SAMPLE, self._sample, now + SAMPLE)
        elapsed = max(now - self._sampled_at, 1e-6)
        self._sampled_at = now
        self._look(now)
        # what waits in the kernel says more than a timer, which is late for a moment for many reasons
        waited, self._waited = self._waited, None
        delay = max(0.0, now - due) if waited is None else waited.least
        self._delay.sampled(delay)
        standing = self._delay.standing
        used = self._looked_cpu
        busy_now = used - self._cpu[-1][1]
        if not 0.0 <= now - self._quota_at < QUOTA_EVERY:
            self._look_at_quota(now)
        self._often = (
            max(busy_now / self._quota, 0.0 if waited is None else waited.held) > LOOK_FROM * elapsed
        )
        if self._often and self._look_next is None:
            self._look_soon()
        self.sampled(elapsed, busy_now, delay if waited is not None else standing)
        queued, self._queued = self._queued, self._looked_queued
        runs, unrun = self._queued.runs - queued.runs, self._queued.waited - queued.waited
        self._granted.sampled(elapsed, busy_now, unrun, runs)
        self._cpu.append((now, used))
        since, before = self._cpu[0]
        busy = min(1.0, max(0.0, used - before) / (max(now - since, 1e-6) * self._quota))
        self._measure_rates(elapsed)
        packets, self._packets = self._packets, self._sources.packets()
        limits, self._calls = self._limits, self._sources.calls()
        memory = _share(self._sources.memory(), limits.memory) if limits.memory else 0.0
        self._settle(
            Workload(
                cpu=self._cpu_peak.feed(busy, now),
                lag=self._lag_peak.feed(min(1.0, standing / TOO_LATE), now),
                calls=_share(self._calls, limits.calls),
                transactions=_share(self._sources.transactions(), limits.transactions),
                packets=_share(
                    max(0, self._packets - packets) / elapsed + KERNEL_COST * self._sources.kernel_rate(),
                    limits.packets_per_second,
                ),
                memory=max(1.0, memory) if memory >= MEMORY_FULL else memory,
            )
        )

    def _look_soon(self) -> None:
        """Looks take time, too: where the node gets a part of a processor it looks less often, or with each sample only."""
        wait = LOOK / self._granted.value
        if wait < SAMPLE:
            self._look_next = self._clock.callLater(wait, self._look_again)

    def _look_again(self) -> None:
        """Between two samples: only what others plan with, and may have to hear of at once."""
        self._look_next = None
        if self._often:
            self._look_soon()
        self._look(self._clock.seconds())
        self._changed()

    def _look(self, now: float) -> None:
        waited, cpu = self._sources.waited(), self._sources.cpu()
        elapsed, busy = now - self._looked_at, cpu - self._looked_cpu
        if waited is not None:
            self._waited = waited if self._waited is None else self._waited.joined(waited)
        if elapsed < 1e-6:
            self._looked_at = min(self._looked_at, now)
            return  # the same moment, or a clock that was set back
        held, area = (waited.held, waited.area) if waited else (0.0, 0.0)
        queued = self._sources.queued()
        if queued.runs < self._looked_queued.runs:  # no descriptor was left to read it
            queued = self._looked_queued
        unrun = queued.waited - self._looked_queued.waited
        if self._delay.looked(elapsed, busy, held, area, self._completed, now, unrun):
            # it is given next to nothing for what it could do while it was stopped: that it can do more now is to be tried
            self._start = SlowStart(now, self._start.step)
        self._looked_at, self._looked_cpu, self._looked_queued, self._completed = now, cpu, queued, 0

    def _look_at_quota(self, now: float) -> None:
        """A thread fills one CPU at most; of a process that may use less than one it is that which is used up."""
        self._quota, self._quota_at = min(1.0, self._sources.quota()), now

    def _measure_rates(self, elapsed: float) -> None:
        self._arrivals.feed(self._arrived / elapsed, elapsed)
        self._arrived = 0
        refused, self._refused = self._refused, self._sources.refused()
        self._refusals.feed((self._refused - refused) / elapsed, elapsed)

    def _settle(self, workload: Workload) -> None:
        self._workload = workload
        self._machine.feed(Measured(workload, self._clock.seconds()))
        self._changed()

    def _changed(self) -> None:
        machine = self._machine
        self._own = Own(
            workload=self._workload,
            state=machine.state,
            drowning=machine.drowning,
            delay=self._delay.value,
            arrival_rate=self._arrivals.value,
            capacity=self._delay.capacity * self._part(),
            granted=self._granted.value,
            weight=self._start.weight(self._clock.seconds()),
            refusal_rate=self._refusals.value,
            quota=self._quota,
            controlled=self._controlled,
        )
        if self.running and self._changes.matter(self._own, self._calls, self._limits.calls):
            self._untold = True
            self._tell()

    def _part(self) -> float:
        """
        Of a CPU, that the node gets when it wants one. A quota shows in its waits when it is used up, and holds before.

        Where nobody counts waits they are part of the capacity, and a quota must not count twice.
        """
        granted = self._granted.value
        return min(granted, self._quota) if self._looked_queued.runs else granted

    def _tell(self) -> None:
        """Call C{on_change}, or do so when the rate allows it again."""
        own, urgent = self._own, self._changes.urgent(self._own)
        if self._trailing is not None:
            if not urgent:
                return
            self._trailing.cancel()  # what it would tell is told now, if any report is left
            self._trailing = None
        wait = self._pace.wait(self._clock.seconds(), self._others(), urgent, own.granted)
        if wait:
            self._trailing = self._clock.callLater(wait, self._tell_late)
        else:
            self.on_change()

    def _tell_late(self) -> None:
        self._trailing = None
        if self._untold:  # else a periodic report said it in the meantime
            self._tell()
