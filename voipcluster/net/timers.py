"""
SIP's timers at a tenth of the price of C{callLater}: durations are few, so each has a first-in first-out queue.

What fires next of one duration is at the front of its queue, starting is an append, cancelling forgets the call. One
tick serves all, and only while a timer runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_COMPACT = 256  # cancelled timers that a queue may hold before it is worth cleaning


_new = object.__new__  # a third of the price of a call of the class


class TimerOwner(Protocol):
    """Who has named timers."""

    def timer_fired(self, name: str) -> None: ...


class Timer:
    """
    One started timer, to be cancelled by who started it.

    @ivar name: of a timer made by C{start_for}, else an empty string.
    """

    __slots__ = ("_arguments", "_call", "_queue", "deadline", "name")

    deadline: float
    name: str
    _call: Callable[..., object] | TimerOwner | None
    _arguments: tuple[Any, ...]
    _queue: _Queue

    @property
    def active(self) -> bool:
        return self._call is not None

    def cancel(self) -> None:
        """Never fire, and let go of the call and its arguments at once; harmless when it fired or was cancelled."""
        if self._call is not None:
            self._call = None
            self._arguments = ()
            queue = self._queue
            wheel = queue.wheel
            wheel.running -= 1
            queue.cancelled += 1
            if queue.cancelled > _COMPACT or not wheel.running:
                queue.clean()

    def fire(self) -> None:
        call, arguments = self._call, self._arguments
        self._call = None
        self._arguments = ()
        if self.name:
            call.timer_fired(self.name)  # type: ignore[union-attr]  # who has a name for it has this method
        elif call is not None:
            call(*arguments)  # type: ignore[operator]  # and who has none is a function


class _Queue:
    """The timers of one duration in the order of their deadlines."""

    __slots__ = ("armed", "cancelled", "duration", "timers", "wheel")

    def __init__(self, duration: float, wheel: TimerWheel) -> None:
        self.duration, self.wheel = duration, wheel
        self.timers: deque[Timer] = deque()
        self.cancelled = 0
        self.armed = False  # the wheel will look at it

    def clean(self) -> None:
        if not self.wheel.running:
            self.wheel.stop()
            return
        # Waiting for half of them keeps the cost of cleaning at a constant per cancelled timer.
        if self.cancelled * 2 > len(self.timers):
            alive = [timer for timer in self.timers if timer._call is not None]
            self.timers.clear()
            self.timers.extend(alive)
            self.cancelled = 0


class TimerWheel:
    """
    Timers that fire at the first tick at or after their deadline, never before.

    @param tick: seconds between two looks at the queues.
    @ivar seconds: the clock.
    @ivar running: how many timers run.
    @ivar lateness: seconds by which the last tick came too late: how long work waits for the reactor.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, tick: float = 0.05) -> None:
        self._clock, self._tick = clock, tick
        self.seconds = self._seconds = clock.seconds
        self._queues: dict[float, _Queue] = {}
        self._order: list[
            tuple[float, float]
        ] = []  # heap of (deadline of the front, duration), one per queue
        self._next: IDelayedCall | None = None
        self._expected = 0.0
        self.running = 0
        self.lateness = 0.0

    def start(self, duration: float, call: Callable[..., object], *arguments: Any) -> Timer:
        """
        Call C{call(*arguments)} in C{duration} seconds, 0 or more.

        @raise ValueError: the duration is negative or no number.
        """
        timer = self.start_for(duration, call, "")
        timer._arguments = arguments
        return timer

    def start_for(self, duration: float, owner: Callable[..., object] | TimerOwner, name: str) -> Timer:
        """
        Call C{owner.timer_fired(name)} in C{duration} seconds: nothing but the timer itself is made, and nothing else lingers.
        """
        queue = self._queues.get(duration)
        if queue is None:
            queue = self._add_queue(duration)
        timer = _new(Timer)
        timer.deadline = self._seconds() + duration
        timer.name = name
        timer._call = owner
        timer._arguments = ()
        timer._queue = queue
        queue.timers.append(timer)
        self.running += 1
        if not queue.armed:
            self._arm(queue)
        return timer

    def stop(self) -> None:
        """Forget all timers; nothing fires until the next C{start}."""
        for queue in self._queues.values():
            for timer in queue.timers:
                timer._call = None
                timer._arguments = ()
            queue.timers.clear()
        self.running = 0
        self._queues.clear()
        self._order.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _add_queue(self, duration: float) -> _Queue:
        if not duration >= 0.0:
            raise ValueError(f"not a duration: {duration!r}")
        queue = self._queues[duration] = _Queue(duration, self)
        return queue

    def _arm(self, queue: _Queue) -> None:
        queue.armed = True
        heappush(self._order, (queue.timers[0].deadline, queue.duration))
        if self._next is None:
            self._schedule()

    def _schedule(self) -> None:
        self._expected = self._seconds() + self._tick
        self._next = self._clock.callLater(self._tick, self._on_tick)

    def _on_tick(self) -> None:
        self._next = None
        now = self._seconds()
        self.lateness = max(0.0, now - self._expected)
        due = []
        while self._order and self._order[0][0] <= now:
            due.append(self._queues[heappop(self._order)[1]])
        for queue in due:
            self._fire(queue, now)
        if self._order and self._next is None:
            self._schedule()

    def _fire(self, queue: _Queue, now: float) -> None:
        timers = queue.timers
        # Counted before anything is called: what a call starts with no delay waits for the next tick.
        for _ in range(len(timers)):
            if not timers or (timers[0].deadline > now and timers[0].active):
                break
            timer = timers.popleft()
            if timer._call is None:
                queue.cancelled -= 1
                continue
            self.running -= 1
            try:
                timer.fire()
            except Exception:
                self._log.failure("a timer of {duration} s failed", duration=queue.duration)
        if self._queues.get(queue.duration) is not queue:
            return  # stopped by what was called
        if timers:
            self._arm(queue)
        else:
            del self._queues[queue.duration]


class NamedTimers:
    """
    The timers of one transaction or one forwarded request by name, for a subclass that has C{timer_fired(name)}.

    The first one is kept without a dict: mostly there is no other, and this is made for each message and may linger for 32 s.
    """

    __slots__ = ("_more_timers", "_timer", "_wheel")

    _wheel: TimerWheel
    _timer: Timer | None
    _more_timers: dict[str, Timer] | None

    def timer_fired(self, name: str) -> None:
        raise NotImplementedError("for the subclass to say")

    def _set_timer(self, name: str, delay: float) -> None:
        """Start the timer of that name, or start it anew."""
        wheel = self._wheel
        if self._timer is None and not self._more_timers:
            # as start_for() does it, without the call
            queue = wheel._queues.get(delay)
            if queue is None:
                queue = wheel._add_queue(delay)
            self._timer = timer = _new(Timer)
            timer.deadline = wheel.seconds() + delay
            timer.name = name
            timer._call = self
            timer._arguments = ()
            timer._queue = queue
            queue.timers.append(timer)
            wheel.running += 1
            if not queue.armed:
                wheel._arm(queue)
            return
        self._cancel_timer(name)
        timer = wheel.start_for(delay, self, name)
        if self._timer is None:
            self._timer = timer
        elif self._more_timers is None:
            self._more_timers = {name: timer}
        else:
            self._more_timers[name] = timer

    def _cancel_timer(self, name: str) -> None:
        timer = self._timer
        if timer is not None and timer.name == name:
            self._timer = None
            timer.cancel()
        elif self._more_timers and name in self._more_timers:
            self._more_timers.pop(name).cancel()

    def _cancel_timers(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._more_timers is not None:
            for timer in self._more_timers.values():
                timer.cancel()
            self._more_timers = None
