"""The node's own workload, on a fake clock with fake sources."""

from __future__ import annotations

import math
from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.clock import HeapClock
from voipcluster.balance.decision import Own
from voipcluster.balance.delay import OVER
from voipcluster.balance.report import NOTHING, Report
from voipcluster.balance.state import Levels, NodeState
from voipcluster.net.waiting import Waited
from voipcluster.services.queued import NEVER, Queued
from voipcluster.services.workload import QUOTA_EVERY, Limits, Sources, WorkloadService, resident_bytes


class WorkloadServiceCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock: HeapClock | Clock = (
            HeapClock()
        )  # its timers are punctual; those of Clock are late on demand
        self.calls = self.transactions = self.packets = self.memory = 0
        self.kernel_rate = 0.0
        self.busy = self.used = self.used_at = 0.0
        self.quota, self.asked = math.inf, 0
        self.told: list[Report] = []

    def cpu(self) -> float:
        self.used += self.busy * (self.clock.seconds() - self.used_at)
        self.used_at = self.clock.seconds()
        return self.used

    def cpus(self) -> float:
        self.asked += 1
        return self.quota

    def service(self, on_change: Callable[[], None] | None = None) -> WorkloadService:
        service = WorkloadService(
            self.clock,
            node="a",
            epoch=7,
            sources=Sources(
                calls=lambda: self.calls,
                transactions=lambda: self.transactions,
                registrations=lambda: 3,
                packets=lambda: self.packets,
                kernel_rate=lambda: self.kernel_rate,
                memory=lambda: self.memory,
                cpu=self.cpu,
                quota=self.cpus,
                wall=lambda: 1.7e9,
            ),
            limits=Limits(calls=20, transactions=1000, packets_per_second=5000.0, memory=100_000),
            levels=Levels(),
            on_change=on_change or self.tell,
        )
        service.startService()
        self.addCleanup(self.stop, service)
        return service

    def stop(self, service: WorkloadService) -> None:
        """After a stop no delayed call is left; a second stop is harmless."""
        service.stopService()
        service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def tell(self) -> None:
        self.told.append(self.running.report(len(self.told)))

    def start(self) -> WorkloadService:
        self.running = self.service()
        return self.running

    def run_for(self, seconds: float) -> None:
        self.clock.advance(seconds + 1e-6)


class WorkloadServiceTests(WorkloadServiceCase):
    def test_idle(self) -> None:
        """Without work the workload is 0 and nothing is told."""
        service = self.start()
        self.run_for(3.0)
        self.assertEqual((service.workload().value, self.told), (0.0, []))

    def test_call_counts_at_once(self) -> None:
        """A touch counts the calls without waiting for a sample, up and down."""
        service = self.start()
        for calls in (10, 15, 14):
            self.calls = calls
            service.touch()
            self.assertEqual(service.own().workload.calls, calls / 20)
        self.assertEqual(service.own().state, NodeState.OPEN)
        self.assertEqual([report.calls for report in self.told], [10, 15, 14])

    def test_report(self) -> None:
        """A report says who, when, what state, which components, and the calls with their limit."""
        service = self.start()
        self.calls = 16
        service.touch()
        report = service.report(5)
        self.assertEqual(
            (
                report.node,
                report.epoch,
                report.seq,
                report.state,
                report.value,
                report.calls,
                report.calls_limit,
            ),
            ("a", 7, 5, NodeState.SHED, 0.8, 16, 20),
        )
        self.assertEqual((report.registrations, report.time, report.period), (3, 1.7e9, 1.0))

    def test_less_than_a_step(self) -> None:
        """Less than a step from what was told last is not told; many small moves together are."""
        self.start()
        self.transactions = 20
        self.run_for(0.1)
        self.assertEqual(self.told, [])
        self.transactions = 30
        self.run_for(0.1)
        self.assertEqual([report.value for report in self.told], [0.03])

    def test_hidden_state_change(self) -> None:
        """A state change and a crossed call limit are told although the value moves less than a step."""
        service = self.start()
        self.transactions = 745
        self.run_for(0.1)
        self.transactions = 751
        self.run_for(0.1)
        self.assertEqual(self.told[-1].state, NodeState.SHED)
        self.transactions, self.calls = 1000, 19
        service.touch()
        self.run_for(0.2)
        told = len(self.told)
        self.calls = 20
        service.touch()
        self.assertEqual((len(self.told), self.told[-1].calls), (told + 1, 20))

    def test_rate(self) -> None:
        """At most 50 a second, and the last value is told in the end."""
        service = self.start()
        for step in range(1000):
            self.calls = step % 20
            service.touch()
            self.clock.advance(0.001)
        self.assertLessEqual(len(self.told), 50)
        self.assertGreaterEqual(len(self.told), 45)
        self.run_for(0.1)
        self.assertEqual(self.told[-1].calls, 19)

    def test_periodic_report_says_it(self) -> None:
        """A change that a periodic report told while it waited for its turn is not told again."""
        service = self.start()
        for calls in range(1, 8):
            self.calls = calls
            service.touch()
        told = len(self.told)
        self.assertLess(told, 7)
        service.report(99)
        self.run_for(0.5)
        self.assertEqual(len(self.told), told)

    def test_cpu(self) -> None:
        """CPU is the thread's share of half a second: up with it, down slowly after a peak."""
        service = self.start()
        self.busy = 0.8
        self.run_for(0.1)
        self.assertApproximates(service.workload().cpu, 0.8, 0.001)
        self.run_for(0.5)
        self.assertApproximates(service.workload().cpu, 0.8, 0.001)
        self.assertEqual(service.own().state, NodeState.SHED)
        self.busy = 0.0
        self.run_for(0.6)
        self.assertGreater(service.workload().cpu, 0.3)
        self.run_for(5.0)
        self.assertLess(service.workload().cpu, 0.02)
        self.assertEqual(service.own().state, NodeState.OPEN)

    def test_cpu_peak_is_not_the_node(self) -> None:
        """One busy tenth of a second in an idle half one is a workload of 0.2."""
        service = self.start()
        self.run_for(0.5)
        self.busy = 1.0
        self.run_for(0.1)
        self.assertApproximates(service.workload().cpu, 0.2, 0.001)

    def test_cpu_of_a_quota(self) -> None:
        """What is used counts by what a group of processes may use, up to one CPU; a quota may change while the node runs."""
        self.quota = 0.25
        service = self.start()
        self.busy = 0.2
        self.run_for(0.6)
        self.assertApproximates(service.workload().cpu, 0.8, 0.001)
        self.assertEqual((service.own().state, service.own().quota), (NodeState.SHED, 0.25))
        self.quota = 0.5
        self.run_for(QUOTA_EVERY + 5.0)
        self.assertApproximates(service.workload().cpu, 0.4, 0.005)
        self.assertEqual(service.report(1).quota, 0.5)
        for quota in (4.0, math.inf):
            self.quota = quota
            self.run_for(QUOTA_EVERY + 5.0)
            self.assertApproximates(service.workload().cpu, 0.2, 0.005)
            self.assertEqual(service.report(1).quota, 1.0)

    def test_the_quota_is_not_read_with_each_look(self) -> None:
        """It is in files, some of which the kernel makes up when they are read."""
        self.start()
        self.busy = 0.5
        self.run_for(4 * QUOTA_EVERY)
        self.assertLessEqual(self.asked, 5)

    def test_more_than_its_quota(self) -> None:
        """A group may use more for a moment, of what it did not use before: that is all of it, and no more."""
        self.quota, self.busy = 0.25, 1.0
        service = self.start()
        self.run_for(1.0)
        self.assertEqual(service.workload().cpu, 1.0)

    def test_lag(self) -> None:
        """The delay is what stays: one late timer does not count, two in a row do; 50 ms are half of too much."""
        self.clock = Clock()
        service = self.start()
        self.clock.advance(0.150)
        self.assertAlmostEqual(service.workload().lag, 0.0)
        self.clock.advance(0.150)
        self.assertAlmostEqual(service.workload().lag, 0.5)
        self.assertAlmostEqual(service.own().delay, 0.05)

    def test_drowning(self) -> None:
        """A reactor that stays too late drowns, and recovers."""
        self.clock = Clock()
        service = self.start()
        self.clock.pump([0.3] * 4)
        self.assertTrue(service.own().drowning)
        self.clock.pump([0.01] * 100)
        self.assertFalse(service.own().drowning)

    def test_packets_and_memory(self) -> None:
        """Packets count as a rate; memory is used up at 0.95 of its limit."""
        service = self.start()
        self.packets = 250
        self.memory = 90_000
        self.run_for(0.1)
        self.assertApproximates(service.workload().packets, 0.5, 0.001)
        self.assertAlmostEqual(service.workload().memory, 0.9)
        self.memory = 95_000
        self.run_for(0.1)
        self.assertEqual((service.workload().packets, service.workload().memory), (0.0, 1.0))

    def test_packets_of_the_kernel(self) -> None:
        """One that the kernel relays counts as a fifth of one that this process relays."""
        service = self.start()
        self.packets, self.kernel_rate = 250, 5000.0
        self.run_for(0.1)
        self.assertApproximates(service.workload().packets, 0.5 + 0.2, 0.001)

    def test_rates(self) -> None:
        """Arrivals per second, and completions per second of busy CPU; the latter only while there is work."""
        service = self.start()
        self.busy = 0.5
        for _ in range(300):
            service.request_arrived()
            self.run_for(0.01)
            service.request_completed()
        self.assertApproximates(service.own().arrival_rate, 100.0, 1.0)
        self.assertApproximates(service.own().capacity, 200.0, 2.0)
        self.busy = 0.1
        for _ in range(30):
            service.request_completed()
            self.run_for(0.1)
        self.assertApproximates(service.own().capacity, 200.0, 2.0)
        self.assertLess(service.own().arrival_rate, 5.0)

    def test_drain(self) -> None:
        """Draining is told at once, and hides the workload's state until revoked."""
        service = self.start()
        service.drain(True)
        self.assertEqual(self.told[-1].state, NodeState.DRAIN)
        service.drain(False)
        self.assertEqual(self.told[-1].state, NodeState.OPEN)

    def test_stopped(self) -> None:
        """A stopped service counts calls and tells nobody."""
        service = self.start()
        service.stopService()
        self.calls = 10
        service.touch()
        self.assertEqual((service.workload().calls, self.told), (0.5, []))

    def test_resident_bytes(self) -> None:
        """The real source knows this process's size: a Python process is larger than 4 MB."""
        self.assertGreater(resident_bytes(), 4_000_000)


class SourcesTests(WorkloadServiceCase):
    """
    What comes from the sockets and from overload control.

    @ivar since: since when something has waited all the time; L{None}: nothing does.
    """

    since: float | None = None

    def waited(self) -> Waited | None:
        """Something has waited since this was last called, ever longer."""
        if self.since is None:
            return None
        since, self.since = self.since, self.clock.seconds()
        held = self.since - since
        return Waited(0.0, held, held * 0.05)

    def made(self, waits: list[Waited | None], slow_start: float = 0.0) -> WorkloadService:
        service = WorkloadService(
            self.clock,
            node="a",
            epoch=1,
            sources=Sources(
                waited=lambda: waits.pop(0) if waits else self.waited(),
                refused=lambda: self.calls,
                cpu=self.cpu,
                memory=lambda: 0,
            ),
            limits=Limits(),
            levels=Levels(),
            controlled=True,
            slow_start=slow_start,
        )
        service.startService()
        self.addCleanup(self.stop, service)
        return service

    def test_others_take_the_processor(self) -> None:
        """A node that waits for the CPU can do the less, and with nothing to do it knows already."""
        waited = [0.0]
        service = WorkloadService(
            self.clock,
            node="a",
            epoch=1,
            sources=Sources(
                cpu=self.cpu,
                memory=lambda: 0,
                queued=lambda: Queued(waited[0] * self.clock.seconds(), round(20 * self.clock.seconds())),
            ),
            limits=Limits(),
            levels=Levels(),
        )
        service.startService()
        self.addCleanup(self.stop, service)
        self.busy = 0.5
        for _ in range(30):
            service.request_completed()
            self.clock.advance(0.1)
        self.assertLess(abs(service.own().capacity - 20.0), 1.0)
        self.assertEqual(service.own().granted, 1.0)
        self.busy, waited[0] = 0.04, 0.36
        self.clock.advance(0.1)  # the wait of all the time before, in one sample
        for _ in range(30):
            self.clock.advance(0.1)
        own = service.own()
        self.assertAlmostEqual(own.granted, 0.1, 2)
        self.assertLess(abs(own.capacity - 2.0), 0.2)

    def with_quota(self, queued: Callable[[float], Queued], waited: Waited | None) -> Own:
        """A node with 0.4 of a CPU that uses 0.32 for 20 requests a second."""
        service = WorkloadService(
            self.clock,
            node="a",
            epoch=1,
            sources=Sources(
                cpu=self.cpu,
                memory=lambda: 0,
                quota=lambda: 0.4,
                queued=lambda: queued(self.clock.seconds()),
                waited=lambda: waited,
            ),
            limits=Limits(),
            levels=Levels(),
        )
        service.startService()
        self.addCleanup(self.stop, service)
        self.busy = 0.32
        for _ in range(30):
            service.request_completed()
            service.request_completed()
            self.clock.advance(0.1)
        return service.own()

    def test_a_quota_that_is_not_used_up(self) -> None:
        """Of what a whole CPU could do a quota leaves a part, and that is known before the node waits for the rest."""
        own = self.with_quota(lambda now: Queued(0.0, round(20 * now)), None)
        self.assertEqual(own.granted, 1.0)
        self.assertLess(abs(own.capacity - 0.4 * 20 / 0.32), 1.0)

    def test_a_quota_that_is_used_up(self) -> None:
        """What it waits for then is the quota, which does not count twice."""
        own = self.with_quota(lambda now: Queued(0.48 * now, round(20 * now)), None)
        self.assertAlmostEqual(own.granted, 0.4, 2)
        self.assertLess(abs(own.capacity - 0.4 * 20 / 0.32), 1.0)

    def test_a_quota_without_counted_waits(self) -> None:
        """Where nobody can say how long it waited for the CPU, what it does in pauses is what the quota leaves."""
        own = self.with_quota(lambda now: NEVER, Waited(0.0, 0.1, 0.1**2 / 2))
        self.assertLess(abs(own.capacity - 20.0), 1.0)

    def test_a_wait_that_cannot_be_read(self) -> None:
        """With all descriptors in use nothing is known for a moment: that is no wait that never was, and none as long as all."""
        readable = [True]
        sources = Sources(
            cpu=self.cpu,
            memory=lambda: 0,
            queued=lambda: (
                Queued(1000.0 + 0.01 * self.clock.seconds(), round(20 * (100 + self.clock.seconds())))
                if readable[0]
                else NEVER
            ),
        )
        service = WorkloadService(
            self.clock, node="a", epoch=1, sources=sources, limits=Limits(), levels=Levels()
        )
        service.startService()
        self.addCleanup(self.stop, service)
        self.busy = 0.5
        for number in range(30):
            readable[0] = not 20 <= number < 23
            service.request_completed()
            self.clock.advance(0.1)
            if number >= 10:
                self.assertLess(abs(service.own().capacity - 20.0), 3.0, number)

    def test_a_part_of_a_processor(self) -> None:
        """
        What looking and telling takes is a part of what the node gets: with a tenth it looks with each sample only.

        What is urgent does not wait behind a report that waits for its turn.
        """
        waits: list[Waited | None] = [Waited(0.0, 0.05, 0.0)]
        service = self.made(waits)
        service._granted.value = 0.1
        told: list[float] = []
        service.on_change = lambda: told.append(service.report(1).delay)
        self.clock.advance(0.1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for delay in (0.015, 0.03, 0.045, 0.06, 0.075, 0.06, 0.045):
            service._delay._mean = delay
            service._changed()
        self.assertLess(len(told), 5)
        self.assertEqual(len(self.clock.getDelayedCalls()), 2, "the next report waits for its turn")
        service._delay._mean = 0.3
        service._changed()
        self.assertEqual(told[-1], 0.3)

    def test_the_wait_of_datagrams_is_the_delay(self) -> None:
        """The lesser of two samples, so that one stall is no queue; overload control is told each."""
        told: list[float] = []
        service = self.made([Waited(wait, 0.0, 0.0) for wait in (0.05, 0.08, 0.02)])
        service.sampled = lambda elapsed, busy, delay: told.append(delay)
        delays = []
        for _ in range(3):
            self.clock.advance(0.1)
            delays.append(service.own().delay)
        self.assertEqual((delays, told), ([0.0, 0.05, 0.02], [0.05, 0.08, 0.02]))

    def test_looks_often_while_something_waits(self) -> None:
        """While it is busy it looks each 20 ms and tells at once that much waits; when nothing does it looks no more."""
        waits: list[Waited | None] = [Waited(0.0, 0.05, 0.0), None]
        service = self.made(waits)
        told: list[float] = []
        service.on_change = lambda: told.append(service.report(1).delay)
        self.clock.advance(0.1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)
        self.clock.advance(0.025)
        waits.append(Waited(0.0, 0.02, 0.02 * 0.03))
        self.clock.advance(0.02)
        self.assertEqual(len(told), 1)
        self.assertAlmostEqual(told[0], 0.03)
        self.clock.advance(0.2)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_what_was_seen_in_between_is_part_of_the_sample(self) -> None:
        """Overload control and the state go by the least of the whole sample."""
        waits: list[Waited | None] = [Waited(0.3, 0.1, 0.02)]
        service = self.made(waits)
        told: list[float] = []
        service.sampled = lambda elapsed, busy, delay: told.append(delay)
        self.clock.advance(0.1)
        waits += [Waited(wait, 0.02, 0.001) for wait in (0.2, 0.1, 0.2, 0.2, 0.2)]
        self.clock.advance(0.1)
        self.assertEqual(told, [0.3, 0.1])

    def test_a_clock_that_is_set_back(self) -> None:
        """It measures on as soon as time passes again."""
        self.clock = Clock()
        service = self.made([])
        self.clock.advance(0.1)
        self.clock.rightNow -= 20.0
        service._look(self.clock.seconds())
        service.request_completed()
        self.busy = 1.0
        self.used_at = self.clock.seconds()
        self.clock.advance(0.1)
        service._look(self.clock.seconds())
        self.assertAlmostEqual(service._delay.capacity, 10.0)

    def test_stopped_and_run_again(self) -> None:
        """
        Stopped for a second a node says that it can serve nothing, and gets nothing. Some time later it is what it was before,
        and takes a small part of its share at first, as after a start.
        """
        service = self.made([], slow_start=5.0)
        self.busy = 0.5
        for _ in range(250):
            service.request_completed()
            self.clock.advance(0.1)
        self.assertEqual(service.own().weight, 1.0)
        self.assertApproximates(service.own().capacity, 20.0, 0.1)
        self.busy, self.since = 0.0, self.clock.seconds()
        told: list[Report] = []
        service.on_change = lambda: told.append(service.report(len(told)))
        self.clock.advance(1.2)
        self.assertEqual((told[-1].capacity, told[-1].weight), (NOTHING, 1.0))
        self.since = None
        self.clock.advance(OVER + 0.2)
        self.assertApproximates(told[-1].capacity, 20.0, 0.1)
        self.assertEqual(told[-1].weight, 0.1)
        self.clock.advance(20.0)
        self.assertEqual(told[-1].weight, 1.0)

    def test_refusals(self) -> None:
        """They are told as a rate, to those who plan, and that somebody stands in front."""
        service = self.made([])
        for _ in range(50):
            self.calls += 7
            self.clock.advance(0.1)
        own = service.own()
        self.assertTrue(69 < own.refusal_rate < 71, own.refusal_rate)
        self.assertTrue(own.controlled)
        self.assertEqual(service.report(1).refusal_rate, own.refusal_rate)
