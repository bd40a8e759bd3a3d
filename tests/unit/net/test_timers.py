"""The timer wheel against a clock of the test."""

from __future__ import annotations

import gc
import weakref

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.net.timers import NamedTimers, TimerWheel

TICK = 0.0625  # a power of two: sums of it are exact


class TimerWheelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = TimerWheel(self.clock, TICK)
        self.fired: list[tuple[str, float]] = []

    def note(self, name: str) -> None:
        self.fired.append((name, self.clock.seconds()))

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK)):
            self.clock.advance(TICK)

    def test_fires_at_the_first_tick_after_its_deadline(self) -> None:
        """Never early, at most one tick late, in the order of deadlines across durations."""
        self.wheel.start(0.5, self.note, "b")
        self.wheel.start(0.3, self.note, "a")
        self.wheel.start(32.0, self.note, "c")
        self.run_for(40)
        self.assertEqual(self.fired, [("a", 0.3125), ("b", 0.5), ("c", 32.0)])
        self.assertEqual(self.wheel.running, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_same_duration_keeps_its_order(self) -> None:
        """Timers of one duration fire in the order in which they were started."""
        for at in range(20):
            self.wheel.start(1.0, self.note, str(at))
            self.clock.advance(TICK)
        self.run_for(3)
        self.assertEqual([name for name, _ in self.fired], [str(at) for at in range(20)])
        self.assertEqual([when for _, when in self.fired], [1.0 + at * TICK for at in range(20)])

    def test_cancelled_never_fires(self) -> None:
        """A cancelled timer is silent, its neighbours are not; cancelling twice or after it fired does nothing."""
        timers = [self.wheel.start(1.0, self.note, str(at)) for at in range(3)]
        timers[1].cancel()
        timers[1].cancel()
        self.assertEqual(self.wheel.running, 2)
        self.run_for(2)
        self.assertEqual([name for name, _ in self.fired], ["0", "2"])
        for timer in timers:
            timer.cancel()
            self.assertFalse(timer.active)
        self.assertEqual(self.wheel.running, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_tick_while_nothing_runs(self) -> None:
        """The reactor is left alone once the last timer fired or was cancelled."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        timer = self.wheel.start(180.0, self.note, "x")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.run_for(1)
        timer.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.wheel.start(0.0, self.note, "y")
        self.run_for(1)
        self.assertEqual(self.fired, [("y", 1.0 + TICK)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelling_lets_go(self) -> None:
        """A cancelled timer holds neither its call nor the arguments, long before its deadline."""

        class Transaction:
            pass

        transaction = Transaction()
        seen = weakref.ref(transaction)
        other = self.wheel.start(32.0, self.note, "other")
        timer = self.wheel.start(32.0, self.note, transaction)
        del transaction
        timer.cancel()
        gc.collect()
        self.assertIsNone(seen())
        other.cancel()

    def test_cancelled_timers_do_not_pile_up(self) -> None:
        """Starting and cancelling long timers for ever keeps a bounded queue (Timer C is 3 minutes)."""
        keep = self.wheel.start(180.0, self.note, "keep")
        for _ in range(10_000):
            self.wheel.start(180.0, self.note, "gone").cancel()
        self.assertLess(len(self.wheel._queues[180.0].timers), 1000)
        self.run_for(200)
        self.assertEqual(self.fired, [("keep", 180.0)])
        self.assertFalse(keep.active)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_any_number_of_durations(self) -> None:
        """Durations that are used once, as of registrations, leave nothing behind."""
        for at in range(1000):
            self.wheel.start(1.0 + at / 1000, self.note, str(at))
        self.run_for(3)
        self.assertEqual([name for name, _ in self.fired], [str(at) for at in range(1000)])
        self.assertEqual((self.wheel._queues, self.wheel._order), ({}, []))

    def test_a_timer_may_start_and_cancel_others(self) -> None:
        """What fires may start timers, of its own duration too, and cancel those that are due with it."""

        def first() -> None:
            self.note("first")
            second.cancel()
            self.wheel.start(0.0, self.note, "zero")
            self.wheel.start(0.5, self.note, "again")

        self.wheel.start(0.5, first)
        second = self.wheel.start(0.5, self.note, "second")
        self.run_for(2)
        self.assertEqual(self.fired, [("first", 0.5), ("zero", 0.5 + TICK), ("again", 1.0)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_delay_waits_for_the_next_tick(self) -> None:
        """A timer that starts itself anew with no delay does not keep the reactor busy."""

        def again() -> None:
            self.note("again")
            if len(self.fired) < 5:
                self.wheel.start(0.0, again)

        self.wheel.start(0.0, again)
        self.run_for(1)
        self.assertEqual([when for _, when in self.fired], [TICK * at for at in range(1, 6)])

    def test_one_that_raises_stops_no_other(self) -> None:
        """An exception is logged and the next timer fires."""
        self.wheel.start(0.5, lambda: 1 // 0)
        self.wheel.start(0.5, self.note, "next")
        self.run_for(1)
        self.assertEqual(self.fired, [("next", 0.5)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lateness(self) -> None:
        """A tick that comes late says by how much: the reactor was busy."""
        self.wheel.start(10.0, self.note, "x")
        self.run_for(1)
        self.assertEqual(self.wheel.lateness, 0.0)
        self.clock.advance(TICK + 0.25)
        self.assertEqual(self.wheel.lateness, 0.25)
        self.wheel.stop()

    def test_stop(self) -> None:
        """Stopping forgets all timers, also from within one, and the wheel can be used again."""
        self.wheel.start(0.5, self.wheel.stop)
        for duration in (0.5, 0.25 + TICK, 9.0):
            self.wheel.start(duration, self.note, "never")
        self.clock.advance(0.5)
        self.assertEqual([name for name, _ in self.fired], ["never"])  # the shorter one was due before
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.wheel.start(0.5, self.note, "after")
        self.run_for(20)
        self.assertEqual([name for name, _ in self.fired], ["never", "after"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_a_duration(self) -> None:
        """A negative or undefined duration is an error at once."""
        for duration in (-1.0, float("nan")):
            self.assertRaises(ValueError, self.wheel.start, duration, self.note, "x")
        self.assertEqual(self.clock.getDelayedCalls(), [])


class _Owner(NamedTimers):
    __slots__ = ("fired",)

    def __init__(self, wheel: TimerWheel) -> None:
        self._wheel = wheel
        self._timer = self._more_timers = None
        self.fired: list[str] = []

    def timer_fired(self, name: str) -> None:
        self._cancel_timer(name)
        self.fired.append(name)


class NamedTimersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = TimerWheel(self.clock, TICK)
        self.owner = _Owner(self.wheel)

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK)):
            self.clock.advance(TICK)

    def test_each_name_is_a_timer(self) -> None:
        """Timers of several names run side by side, and each fires with its name."""
        for name, delay in (("A", 0.5), ("B", 2.0), ("C", 1.0)):
            self.owner._set_timer(name, delay)
        self.run_for(3)
        self.assertEqual(self.owner.fired, ["A", "C", "B"])
        self.assertEqual(self.wheel.running, 0)

    def test_starting_anew(self) -> None:
        """A name that is started again fires once, when the second one is due; whichever place it had."""
        for name in ("A", "B"):
            self.owner._set_timer(name, 1.0)
        self.run_for(0.5)
        for name in ("A", "B"):
            self.owner._set_timer(name, 1.0)
        self.assertEqual(self.wheel.running, 2)
        self.run_for(0.75)
        self.assertEqual(self.owner.fired, [])
        self.run_for(0.5)
        self.assertEqual(self.owner.fired, ["A", "B"])

    def test_cancelling(self) -> None:
        """One name is cancelled, or all are; a name that does not run is none's."""
        for name in ("A", "B", "C"):
            self.owner._set_timer(name, 1.0)
        self.owner._cancel_timer("B")
        self.owner._cancel_timer("A")
        self.owner._cancel_timer("Z")
        self.assertEqual(self.wheel.running, 1)
        self.owner._cancel_timers()
        self.run_for(2)
        self.assertEqual(self.owner.fired, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
