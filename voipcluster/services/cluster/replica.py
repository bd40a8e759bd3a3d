"""What one other member is to have of us: all at first, then each change, in order and in bounded messages."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

BATCH = 64  # values in one message
GATHER = 0.02  # seconds in which changes are gathered

Value = TypeVar("Value")  # a binding or an account
Batch = TypeVar("Batch")  # the message that holds many of them


class Replica(Generic[Value, Batch]):
    """
    The copy of one kind of values at one member. While it is down nothing is kept: it gets all again when it comes back.

    One message is under way at a time. Changes wait while the full copy is sent, so that none is older than what follows it.

    @param key: what makes two values the same one; only the latest of it is sent.
    @param snapshot: gives all present values as messages.
    @param send_part: sends a message of the snapshot, C{send_changes} some values that changed. When their Deferred fails
        they did not arrive.
    @param broken: called with the reason when they did not: the link is to be made anew.
    @param aged: gives a value that waited so many seconds, for those that say how old they are.
    """

    def __init__(
        self,
        clock: IReactorTime,
        key: Callable[[Value], Hashable],
        snapshot: Callable[[], Iterable[Batch]],
        send_part: Callable[[Batch], Deferred[None]],
        send_changes: Callable[[tuple[Value, ...]], Deferred[None]],
        broken: Callable[[str], None],
        aged: Callable[[Value, float], Value] = lambda value, waited: value,
    ) -> None:
        self._clock, self._key, self._snapshot, self._broken = clock, key, snapshot, broken
        self._send_part, self._send_changes, self._aged = send_part, send_changes, aged
        self._up = self._sending = False
        self._parts: Iterator[Batch] = iter(())  # what is left of the full copy
        self._changed: dict[Hashable, tuple[Value, float]] = {}  # and when it was told to us
        self._timer: IDelayedCall | None = None
        self._life = 0  # answers of an earlier link are not ours

    def link_up(self) -> None:
        self.link_lost()
        self._up = True
        self._parts = iter(self._snapshot())  # each part is made when it is sent, and says how it is then
        self._next()

    def link_lost(self) -> None:
        self._life += 1
        self._up = self._sending = False
        self._parts = iter(())
        self._changed.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def change(self, value: Value) -> None:
        if not self._up:
            return
        key = self._key(value)
        self._changed.pop(key, None)  # the order of the latest changes counts
        self._changed[key] = value, self._clock.seconds()
        self._gather()

    def _gather(self) -> None:
        if self._changed and not self._sending and self._timer is None:
            self._timer = self._clock.callLater(GATHER, self._gathered)

    def _gathered(self) -> None:
        self._timer = None
        self._next()

    def _next(self) -> None:
        part = next(self._parts, None)
        if part is not None:
            sent = self._send_part(part)
        elif self._changed:
            now = self._clock.seconds()
            waiting = [self._changed.pop(key) for key in list(islice(self._changed, BATCH))]
            values = tuple(self._aged(value, now - since) for value, since in waiting)
            sent = self._send_changes(values)
        else:
            return
        self._sending = True
        life = self._life
        sent.addCallbacks(self._sent, self._failed, callbackArgs=(life,), errbackArgs=(life,))

    def _sent(self, _: None, life: int) -> None:
        if life == self._life:
            self._sending = False
            self._next()

    def _failed(self, failure: Failure, life: int) -> None:
        if life == self._life:
            self._broken(failure.getErrorMessage())
