"""From the queue on the disk to one consumer: in order, each row until the consumer has it for good."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface

BATCH = 500  # rows at a time
FIRST_RETRY, LAST_RETRY = 1.0, 60.0  # s; doubled at each failure


class IConsumer(Interface):
    """Somebody who is to have each record."""

    name: str = Attribute("As in the queue and in the log.")

    def take(rows: list[Any]) -> Deferred[None]:
        """
        @param rows: L{Waiting <voipcluster.store.acc.Waiting>}; one that the consumer has already comes again after a crash.
        @return: fires when all of them are taken for good; fails when they are to be tried again.
        """

    def close() -> Deferred[None] | None:
        """Let go of connections."""


class RecordForwarder:
    """
    @ivar most: rows that may wait; the oldest are given up beyond that.
    @param what: they are, for the log.
    @ivar waiting: rows that wait; C{taken}: those that were taken since the start, C{lost} given up.
    @ivar trouble: why the consumer takes nothing now; empty while it does. C{disk_trouble}: why our own disk does not give, or
        does not let go of, what waits on it.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, log: Any, consumer: Any, most: int, what: str = "call records"
    ) -> None:
        self._clock, self._store, self._consumer, self.most = clock, log, consumer, most
        self._what = what
        self._busy: Deferred[None] | None = None
        self._call: IDelayedCall | None = None
        self._stopped = True
        self._again = False
        self._delay = FIRST_RETRY
        self._bounded = clock.seconds()  # when the queue was last looked at
        self.waiting = self.taken = self.lost = 0
        self.trouble = self.disk_trouble = ""
        self._unread = False  # the disk did not give what waits on it, the last time that it was asked

    @property
    def name(self) -> str:
        return str(self._consumer.name)

    def startService(self) -> None:
        self._stopped = False
        self.poke()

    def stopService(self) -> Deferred[None]:
        """What waits stays on the disk."""
        self._stopped = True
        if self._call is not None:
            self._call.cancel()
            self._call = None
        done: Deferred[None] = Deferred()
        busy = succeed(None) if self._busy is None else self._busy
        busy.addBoth(lambda _: self._consumer.close())
        busy.chainDeferred(done)
        return done

    def poke(self, at_once: bool = False) -> None:
        """
        There may be something in the queue.

        @param at_once: also when the consumer has just taken nothing.
        """
        # what comes while the queue is read, or the consumer is asked, may not be in what was read
        self._again = self._busy is not None
        if at_once:
            self._delay = FIRST_RETRY
            if self._call is not None:
                self._call.cancel()
                self._call = None
        if self._busy is None and self._call is None and not self._stopped:
            self._next()

    def _next(self) -> None:
        self._call, self._again = None, False
        done = self._store.waiting(self.name, BATCH)
        done.addCallbacks(self._read, self._unreadable)
        done.addErrback(lambda failure: self._log.failure("{what}", failure=failure, what=self._what))
        self._busy = done
        done.addCallback(self._go_on)

    def _read(self, rows: list[Any]) -> Any:
        # it may be long until the consumer takes something, and the disk is not what stops it
        if self._unread or not rows:
            self._disk_is_well()
        if not rows:
            return False
        taken = maybeDeferred(self._consumer.take, rows)
        return taken.addCallbacks(self._taken, self._failed, callbackArgs=(rows,))

    def _taken(self, _: None, rows: list[Any]) -> Any:
        if self.trouble:
            self.trouble = ""
            self._log.info("{consumer} takes {what} again", consumer=self.name, what=self._what)
        off = self._store.taken(self.name, rows[-1].id)
        # until the disk lets go of them they are told again, which a consumer knows by their uid
        return off.addCallbacks(self._let_go, self._disk_failed, callbackArgs=(rows,))

    def _let_go(self, _: None, rows: list[Any]) -> bool | Deferred[bool]:
        self._disk_is_well()
        self.taken += len(rows)
        self.waiting = max(0, self.waiting - len(rows))
        self._delay = FIRST_RETRY
        more = len(rows) == BATCH
        # one that takes rows, but fewer than come, has its bound, too
        if more and self._clock.seconds() - self._bounded >= LAST_RETRY:
            return self._bound().addCallback(lambda _: more)
        return more

    def _failed(self, failure: Failure) -> Deferred[None]:
        reason = in_one_line(failure)
        if not self.trouble:
            self._log.warn(
                "{consumer} takes no {what}, they wait on the disk: {error}",
                what=self._what,
                consumer=self.name,
                error=reason,
            )
        self.trouble = reason
        return self._bound()

    def _unreadable(self, failure: Failure) -> None:
        self._disk_failed(failure)
        self._unread = True

    def _disk_failed(self, failure: Failure) -> None:
        """Nothing of it is the consumer's fault, nor is more given up for it."""
        reason = in_one_line(failure)
        if not self.disk_trouble:
            self._log.error(
                "the queue of {what} for the {consumer} cannot be used: {error}",
                what=self._what,
                consumer=self.name,
                error=reason,
            )
        self.disk_trouble, self._unread = reason, False

    def _disk_is_well(self) -> None:
        self._unread = False
        if self.disk_trouble:
            self.disk_trouble = ""
            self._log.info(
                "the queue of {what} for the {consumer} is used again", what=self._what, consumer=self.name
            )

    def _bound(self) -> Deferred[None]:
        """Give up what is too much. The consumer is asked nothing meanwhile: what it is taking is not given up."""
        self._bounded = self._clock.seconds()
        counted: Deferred[tuple[int, int]] = self._store.limit(self.name, self.most)
        # a disk that takes nothing gets no more rows either, and who writes them tells of it
        return counted.addCallbacks(self._limited, lambda failure: None)

    def _go_on(self, more: bool | None) -> None:
        self._busy = None
        if self._stopped:
            return
        if more is None:
            self._call = self._clock.callLater(self._delay, self._next)
            self._delay = min(2 * self._delay, LAST_RETRY)
        elif more or self._again:
            self._next()

    def _limited(self, counted: tuple[int, int]) -> None:
        self.waiting, given_up = counted
        if given_up:
            self.lost += given_up
            self._log.error(
                "{count} {what} are given up: {consumer} has taken none for too long",
                what=self._what,
                count=given_up,
                consumer=self.name,
            )


def in_one_line(failure: Failure) -> str:
    """Why something failed; never empty. Of a database what it says, and not the statement that it did not like."""
    cause = getattr(failure.value, "orig", None)
    text = failure.getErrorMessage() if cause is None else str(cause)
    return " ".join(text.split())[:300] or type(failure.value).__name__
