"""The records of calls on their way to the disk: gathered for a moment, written in one go, tried again when that fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Interface

from voipcluster.services.node.records import CallRecord
from voipcluster.services.records.forwarding import in_one_line
from voipcluster.services.records.rows import Row

GATHER = 0.25  # s
AT_A_TIME = 1000  # records of one transaction
RETRY = 5.0  # s after the disk refused
MOST_IN_MEMORY = 20_000  # records that wait for a disk that takes nothing
CLEAN = 3600.0  # s between two looks for what is old enough to be forgotten
DAY = 86_400.0


_Waiting = tuple[CallRecord, Callable[[], object] | None]


class ICallLog(Interface):
    """Where records are kept, see L{CallLog <voipcluster.store.acc.CallLog>}."""

    def write(calls: Sequence[Row], waiting: Sequence[tuple[str, str]]) -> Deferred[None]:
        """Keep rows, and for each consumer their JSON; all or nothing. Rows that are there already are passed over."""

    def forget(before: float) -> Deferred[None]:
        """Remove what ended earlier."""


class _Made(NamedTuple):
    """
    What is to be written of some records.

    @ivar rows: to keep; C{queued}: consumer and JSON; C{bad}: the number of each record of which no row can be made, and why.
    """

    rows: list[Row]
    queued: list[tuple[str, str]]
    bad: list[tuple[int, Failure]]


class RecordBook:
    """
    @param run: does work in another thread.
    @param make: the row of a record; called in that thread.
    @param consumers: names of those who are to have each row.
    @param keep: s for which rows are kept here; 0: not at all.
    @ivar written: called when new rows are on the disk.
    @ivar trouble: why the disk takes nothing now; empty while it does.
    @ivar lost: records that were given up since the disk took nothing for too long, and those that cannot be made.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        log: Any,
        run: Callable[[Callable[[], Any]], Deferred[Any]],
        make: Callable[[CallRecord], Row],
        consumers: Sequence[str],
        keep: float,
        wall: Callable[[], float],
    ) -> None:
        self._clock, self._store, self._run, self._make = clock, log, run, make
        self._consumers, self._keep, self._wall = consumers, keep, wall
        self._waiting: list[_Waiting] = []
        self._call: IDelayedCall | None = None
        self._cleaning: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None
        self._under_way = 0  # records that are being written
        self._stopped = True
        self.trouble = ""
        self.written: Callable[[], object] = lambda: None
        self.lost = 0
        self.count = 0

    def __len__(self) -> int:
        """How many records are in memory only."""
        return len(self._waiting) + self._under_way

    def startService(self) -> None:
        self._stopped = False
        self._clean()
        self._schedule(GATHER)

    def stopService(self) -> Deferred[None]:
        """Write what is left, once; the Deferred never fails."""
        self._stopped = True
        for call in (self._call, self._cleaning):
            if call is not None and call.active():
                call.cancel()
        self._call = self._cleaning = None
        if self._writing is None:
            return self._write(len(self._waiting))
        done: Deferred[None] = Deferred()
        self._writing.addCallback(lambda _: self._write(len(self._waiting))).chainDeferred(done)
        return done

    def keep(self, seconds: float) -> None:
        """Rows are kept so long from now on; what is older goes at the next look."""
        self._keep = seconds

    def add(self, record: CallRecord, on_disk: Callable[[], object] | None = None) -> None:
        """
        A call is over.

        @param on_disk: called when its record is on the disk; L{None}: nobody waits for that.
        """
        self.count += 1
        self._waiting.append((record, on_disk))
        if len(self) > MOST_IN_MEMORY:
            gone = self._waiting.pop(0)
            self.lost += 1
            self._tell([gone])
        if self._call is None:
            self._schedule(GATHER)

    def _schedule(self, delay: float) -> None:
        if self._waiting and self._call is None and self._writing is None and not self._stopped:
            self._call = self._clock.callLater(delay, self._due)

    def _due(self) -> None:
        self._call = None
        self._write()

    def _write(self, most: int = AT_A_TIME) -> Deferred[None]:
        if not self._waiting:
            return succeed(None)
        batch, self._waiting = self._waiting[:most], self._waiting[most:]
        self._under_way = len(batch)
        done: Deferred[None] = Deferred()
        self._writing = done
        made = self._run(partial(self._rows, [record for record, _ in batch]))
        made.addCallback(self._store_rows, batch)
        made.addCallbacks(self._wrote, self._failed, callbackArgs=(batch,), errbackArgs=(batch,))
        made.addErrback(lambda failure: self._log.failure("call records", failure=failure))
        made.chainDeferred(done)
        return done

    def _rows(self, records: Sequence[CallRecord]) -> _Made:
        """In another thread: making JSON of calls is not worth the reactor's time."""
        made = _Made([], [], [])
        for number, record in enumerate(records):
            try:
                row = self._make(record)
                text = json.dumps(row, separators=(",", ":")) if self._consumers else ""
            except Exception:
                made.bad.append((number, Failure()))
                continue
            if self._keep:
                made.rows.append(row)
            made.queued.extend((consumer, text) for consumer in self._consumers)
        return made

    def _store_rows(self, made: _Made, batch: list[_Waiting]) -> Deferred[None]:
        # a fault of ours, which keeps no other call waiting, and is the same one the next time
        gone = [batch[number] for number, _ in made.bad]
        for (record, _), (_, failure) in zip(gone, made.bad, strict=True):
            self._log.failure("no record of call {call}", failure=failure, call=record.call.key.call_id)
        for number, _ in reversed(made.bad):
            del batch[number]
        self.lost += len(gone)
        self._under_way = len(batch)
        self._tell(gone)
        written: Deferred[None] = self._store.write(made.rows, made.queued)
        return written

    def _wrote(self, _: None, batch: list[_Waiting]) -> None:
        self._writing, self._under_way = None, 0
        if self.trouble:
            self.trouble = ""
            self._log.info("call records are written again")
        self._schedule(GATHER if len(self._waiting) < AT_A_TIME else 0.0)
        self._tell(batch)
        self.written()

    def _tell(self, batch: Iterable[_Waiting]) -> None:
        """Those who wait for the disk."""
        for record, on_disk in batch:
            if on_disk is not None:
                try:
                    on_disk()
                except Exception:
                    self._log.failure("record of call {call}", call=record.call.key.call_id)

    def _failed(self, failure: Failure, batch: list[_Waiting]) -> None:
        self._writing, self._under_way = None, 0
        self._waiting = batch + self._waiting
        reason = in_one_line(failure)
        if not self.trouble:
            self._log.error("call records cannot be written, and wait in memory: {error}", error=reason)
        self.trouble = reason
        self._schedule(RETRY)

    def _clean(self) -> None:
        self._cleaning = self._clock.callLater(CLEAN, self._clean)
        self._store.forget(self._wall() - self._keep).addErrback(
            lambda failure: self._log.warn(
                "old call records cannot be removed: {error}", error=failure.getErrorMessage()
            )
        )
