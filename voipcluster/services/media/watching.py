"""The watch over the media of all calls: each is looked at once a second, a slice at a time, whatever goes wrong with one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

PERIOD = 1.0  # seconds between looks at the counters
SLICE = 50  # calls that are looked at without a pause: a millisecond, for which new calls wait

Key = TypeVar("Key", bound=Hashable)


class Watch(Generic[Key]):
    """
    Without it no call has a media time-out, and so nothing that it calls can end it; a fault is told once, since one that stays
    would fill the log.

    @param calls: gives those in progress; C{look}: looks at one of them, if it is still there.
    @param count: what there is to do before, each second.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        calls: Callable[[], Sequence[Key]],
        look: Callable[[Key], object],
        count: Callable[[], object],
    ) -> None:
        self._clock, self._calls, self._look, self._count = clock, calls, look, count
        self._ticks: LoopingCall | None = None
        self._next: IDelayedCall | None = None
        self._uncounted = False
        self._unseen: set[Key] = set()  # of which a fault was told

    def start(self) -> None:
        ticks = self._ticks = LoopingCall(self._tick)
        ticks.clock = self._clock
        ticks.start(PERIOD, now=False)

    def stop(self) -> None:
        """A second stop is harmless."""
        ticks, self._ticks = self._ticks, None
        if ticks is not None:
            ticks.stop()
        following, self._next = self._next, None
        if following is not None:
            following.cancel()

    def forget(self, call: Key) -> None:
        """It is over."""
        self._unseen.discard(call)

    def _tick(self) -> None:
        try:
            self._count()
        except Exception:
            if not self._uncounted:
                self._log.failure("the packets of the relay cannot be counted; the watch over media goes on")
            self._uncounted = True
        else:
            self._uncounted = False
        if self._next is None:  # else a node that is late, which has not yet seen all of the last time
            calls = self._calls()
            self._look_on(calls, 0, PERIOD / (len(calls) // SLICE + 1))

    def _look_on(self, calls: Sequence[Key], at: int, pause: float) -> None:
        """Look at some of the calls, and at the next ones after a pause: thousands at once would keep all others waiting."""
        self._next = None
        if at + SLICE < len(calls):
            self._next = self._clock.callLater(pause, self._look_on, calls, at + SLICE, pause)
        for call in calls[at : at + SLICE]:
            try:
                self._look(call)
            except Exception:
                if call not in self._unseen:
                    self._unseen.add(call)
                    self._log.failure("the media of {call} cannot be looked at; the others' are", call=call)
