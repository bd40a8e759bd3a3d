"""The virtual clock behaves like Twisted's own, where Twisted's own is exact."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.simulation.clock import HeapClock

TICK = 1 / 64  # exact in binary, so that sums of times are exact too


def script(clock: IReactorTime, advance: Callable[[float], None], seed: int) -> list[tuple[float, int]]:
    """Ask for calls that ask for calls, move and cancel each other; advance from due time to due time."""
    random, ran, calls = Random(seed), [], {}

    def run(number: int) -> None:
        ran.append((clock.seconds(), number))
        if len(calls) < 300:
            for _ in range(random.randrange(3)):
                ask()
        live = [call for call in calls.values() if call.active()]
        if live:
            disturb(random.choice(live))

    def ask() -> None:
        number = len(calls)
        # No two calls of one time: Clock orders those by when they were asked for, also after a reset.
        calls[number] = clock.callLater((random.randrange(500) * 512 + number) * TICK, run, number)

    def disturb(call: IDelayedCall) -> None:
        what = random.randrange(4)
        number = next(key for key, value in calls.items() if value is call)
        if what == 0:
            call.cancel()
        elif what == 1:
            call.reset((random.randrange(500) * 512 + number) * TICK)
        elif what == 2:
            call.delay(random.randrange(50) * 512 * TICK)

    for _ in range(20):
        ask()
    while clock.getDelayedCalls():
        advance(min(call.getTime() for call in clock.getDelayedCalls()) - clock.seconds())
    return ran


class HeapClockTests(SynchronousTestCase):
    def test_interface(self) -> None:
        """It is a clock as Twisted understands one."""
        verifyObject(IReactorTime, HeapClock())

    def test_like_twisteds(self) -> None:
        """The same calls at the same times as with task.Clock, with resets, delays and cancellations."""
        for seed in range(20):
            ours, theirs = HeapClock(), Clock()
            expected = script(theirs, theirs.advance, seed)
            self.assertGreater(len(expected), 20)
            self.assertEqual(script(ours, ours.advance, seed), expected)

    def test_own_time_inside_a_step(self) -> None:
        """A call sees the time that it was asked for, not the end of the step; task.Clock shows the end."""
        clock, seen = HeapClock(), []
        clock.callLater(1.0, lambda: clock.callLater(1.0, lambda: seen.append(clock.seconds())))
        clock.advance(10.0)
        self.assertEqual((seen, clock.seconds(), clock.getDelayedCalls()), ([2.0], 10.0, []))

    def test_not_beyond_the_step(self) -> None:
        """A postponed call at the top of the heap does not let a later one run."""
        clock, seen = HeapClock(), []
        clock.callLater(1.0, seen.append, "postponed").delay(5.0)
        clock.callLater(3.0, seen.append, "later")
        clock.advance(2.0)
        self.assertEqual(seen, [])
        clock.advance(4.0)
        self.assertEqual(seen, ["later", "postponed"])

    def test_run_next(self) -> None:
        """One call at a time, until none is left."""
        clock, seen = HeapClock(), []
        clock.callLater(1.0, seen.append, 1)
        self.assertTrue(clock.run_next())
        self.assertFalse(clock.run_next())
        self.assertEqual((seen, clock.seconds()), ([1], 1.0))
