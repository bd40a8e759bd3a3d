"""
The journal of a node's answered calls: written behind them, and read by the next process, which goes on with them.

A call is written a moment after it was answered or has changed, so that one that ends before costs nothing, and what changes at
once is one write in the store's thread. So a call that was answered in the last C{WRITE_DELAY} before a C{kill -9} is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from voipcluster.services.media.relay import CallKey, MediaService
from voipcluster.services.media.saved import (
    CONVERTER,
    Latches,
    SavedMedia,
    Traffic,
    latches_of,
    saved,
    traffic_of,
)
from voipcluster.services.sip.calls import Call, CallTable
from voipcluster.store.calls import Change, Loaded

WRITE_DELAY = 0.25  # seconds that changes wait for company
RETRY_DELAY = 5.0  # seconds after the disk did not take them
AT_A_TIME = 100  # calls written in one go: about 10 ms of the reactor's time
COUNTED = 10  # seconds in which the counters of every call are written once
LONGEST_ABSENCE = 600.0  # seconds after which nobody waits for this node any more
BYE_REPEATED = 32.0  # seconds: 64*T1, for which a BYE is sent again (RFC 3261 section 17.1.2.2)
TOLD = 20  # calls that cannot go on are told one by one, up to here


Relayed = tuple[SavedMedia, Latches, Traffic]


class ICallStore(Protocol):
    """L{voipcluster.store.calls.CallStore} is the real one. All methods block."""

    def load(self) -> Loaded: ...

    def write(self, changes: list[Change]) -> None: ...

    def touch(self) -> None: ...


class CallJournal(Service):
    """
    Reads the journal when it starts, right after the relay, and writes it until it stops.

    @param run: does something in the store's thread.
    @ivar adopted: how many calls came from the last process; C{lost} how many of its calls could not go on.
    """

    name = "journal"
    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: ICallStore,
        run: Callable[[Callable[[], Any]], Deferred[Any]],
        calls: CallTable,
        media: MediaService,
    ) -> None:
        self._clock, self._store, self._run = clock, store, run
        self._calls, self._media = calls, media
        self._changed: dict[CallKey, None] = {}
        self._moved: dict[CallKey, None] = {}
        self._written: dict[CallKey, int] = {}  # what is in the journal, and the packets that were told last
        self._to_count: list[CallKey] = []
        self._next: IDelayedCall | None = None
        self._ticks: LoopingCall | None = None
        self._writing: Deferred[None] | None = None
        self._failing = False
        self.adopted = self.lost = 0

    # -- what happens to calls

    def changed(self, key: CallKey) -> None:
        """An answered call is to be written, as it is in a moment."""
        self._changed[key] = None
        if self._next is None and self.running:
            self._schedule(WRITE_DELAY)

    def moved(self, key: CallKey) -> None:
        """The latches of a call have moved, and nothing else."""
        if key in self._written and key not in self._changed:
            self._moved[key] = None
            if self._next is None and self.running:
                self._schedule(WRITE_DELAY)

    def keeps(self, key: CallKey) -> bool:
        """
        A call is over, and its record is to be written.

        @return: whether the journal has it, and keeps it until L{ended}; one that it never had it forgets.
        """
        self._changed.pop(key, None)
        return key in self._written

    def ended(self, key: CallKey) -> None:
        """A call is over."""
        if key in self._written:
            self.changed(key)
        else:
            self._changed.pop(key, None)

    # -- lifetime

    def startService(self) -> None:
        super().startService()
        self._adopt(self._store.load())
        self._changed.update(dict.fromkeys(call.key for call in self._calls))
        # even if there is none: what the last process has left is over now
        self._write_all(list(self._changed))
        self._ticks = LoopingCall(self._tick)
        self._ticks.clock = self._clock
        self._ticks.start(1.0, now=False)

    def stopService(self) -> Deferred[None]:
        """Write all calls as they are now: the next process may go on with them."""
        super().stopService()
        ticks, self._ticks = self._ticks, None
        if ticks is None:
            return succeed(None)
        ticks.stop()
        if self._next is not None:
            self._next.cancel()
            self._next = None
        last = self._writing or succeed(None)
        last.addCallback(lambda _: self._write_all([*self._written, *(call.key for call in self._calls)]))
        return last.addCallback(lambda _: self._write(list(self._changed)) if self._changed else None)

    # -- the calls of the last process

    def _adopt(self, loaded: Loaded) -> None:
        for fault in loaded.faults:
            self._log.warn("the journal of calls: {fault}", fault=fault)
        absence = max(0.0, self._clock.seconds() - loaded.written)
        found: dict[CallKey, tuple[Call, Relayed | None]] = {}
        lost: dict[CallKey, str] = {}
        for key, table in loaded.calls.items():
            try:
                found[CallKey(*key)] = _read(CallKey(*key), table)
            except Exception as error:  # whatever was in it: cattrs has no exception of its own for that
                lost[CallKey(*key)] = f"its record cannot be read: {type(error).__name__}: {error}"
        for key, (call, relayed) in list(found.items()):
            reason = self._too_late(call, relayed, absence)
            if reason:
                lost[key] = reason
                del found[key]
        refused = self._media.adopt({key: one for key, (_, one) in found.items() if one is not None})
        for key, (call, _) in found.items():
            if key not in refused:
                self._calls.adopt(call)
        self.adopted, self.lost = len(found) - len(refused), len(lost | refused)
        self._tell(lost | refused, absence)

    def _too_late(self, call: Call, relayed: Relayed | None, absence: float) -> str:
        if absence > LONGEST_ABSENCE:
            return f"nobody was here for {absence:.0f} s"
        if call.expires:
            return "its session has expired" if call.expires <= self._clock.seconds() else ""
        if relayed is None and absence > BYE_REPEATED:
            return "its end may have been missed, and nothing else would tell of it"
        return ""

    def _tell(self, lost: dict[CallKey, str], absence: float) -> None:
        for key, reason in islice(lost.items(), TOLD):
            self._log.warn(
                "call {call} of the last process does not go on: {reason}", call=key.call_id, reason=reason
            )
        if len(lost) > TOLD:
            self._log.warn("{count} more calls do not go on", count=len(lost) - TOLD)
        if self.adopted:
            self._log.info(
                "{count} calls of the last process go on, after {absence:.1f} s",
                count=self.adopted,
                absence=absence,
            )

    # -- writing

    def _schedule(self, delay: float) -> None:
        self._next = self._clock.callLater(delay, self._due)

    def _due(self) -> None:
        self._next = None
        if self._writing is None and (self._changed or self._moved):
            moved = list(islice(self._moved, AT_A_TIME))
            for key in moved:
                del self._moved[key]
            latches = [change for key in moved if (change := self._moved_latches(key)) is not None]
            self._write(list(islice(self._changed, AT_A_TIME)), latches)

    def _moved_latches(self, key: CallKey) -> Change | None:
        relayed = self._media.relayed(key)
        if relayed is None or key not in self._written or key in self._changed:
            return None
        return key, {"latches": CONVERTER.unstructure(latches_of(relayed)), "traffic": traffic_of(relayed)}

    def _write_all(self, keys: list[CallKey]) -> Deferred[None]:
        """
        Many calls: looked at in several turns of the reactor, while media goes on, and written at once, since the first write
        takes the place of all that the last process left. Nothing else is written meanwhile.
        """
        done = self._writing = Deferred[None]()
        changes: list[Change] = []

        def look(rest: list[CallKey]) -> None:
            changes.extend(self._changes(rest[:AT_A_TIME]))
            if len(rest) > AT_A_TIME:
                self._clock.callLater(0, look, rest[AT_A_TIME:])
            else:
                self._put(changes).chainDeferred(done)

        look(list(dict.fromkeys(keys)))
        return done

    def _write(self, keys: Iterable[CallKey], counted: Iterable[Change] = ()) -> Deferred[None]:
        """Never fails: what could not be written waits for the next time."""
        return self._put([*counted, *self._changes(keys)])

    def _changes(self, keys: Iterable[CallKey]) -> list[Change]:
        """What is to be written of these calls."""
        changes: list[Change] = []
        for key in dict.fromkeys(keys):
            self._changed.pop(key, None)
            table = self._table(key)
            if table is not None:
                self._written[key] = self._packets(key)
            elif self._written.pop(key, None) is None:
                continue
            changes.append((key, table))
        return changes

    def _put(self, changes: list[Change]) -> Deferred[None]:
        writing = self._writing = self._run(partial(self._store.write, changes))
        writing.addCallbacks(self._is_written, self._is_not_written, errbackArgs=(changes,))
        return writing

    def _table(self, key: CallKey) -> dict[str, Any] | None:
        """What is to be written of a call; L{None} when it is over, or not yet at rest."""
        call, relayed = self._calls.get(key), self._media.relayed(key)
        if call is None or not call.answered or (relayed is not None and not relayed.answered):
            return None
        table: dict[str, Any] = {"call": CONVERTER.unstructure(call)}
        if relayed is not None:
            table["media"] = CONVERTER.unstructure(saved(relayed))
            table["latches"] = CONVERTER.unstructure(latches_of(relayed))
            table["traffic"] = traffic_of(relayed)
        return table

    def _packets(self, key: CallKey) -> int:
        relayed = self._media.relayed(key)
        return 0 if relayed is None else relayed.traffic()[0]

    def _is_written(self, _: object) -> None:
        self._writing, self._failing = None, False
        if (self._changed or self._moved) and self.running and self._next is None:
            self._schedule(WRITE_DELAY if len(self._changed) < AT_A_TIME else 0.0)

    def _is_not_written(self, failure: Failure, changes: list[Change]) -> None:
        self._writing = None
        if not self._failing:
            self._log.error(
                "the journal of calls cannot be written, a restart would end them: {error}",
                error=failure.getErrorMessage(),
            )
        self._failing = True
        for key, table in changes:
            self._changed[CallKey(*key)] = None
            if table is None:
                self._written[CallKey(*key)] = 0
        if self.running:
            if self._next is not None:
                self._next.cancel()
            self._schedule(RETRY_DELAY)

    def _tick(self) -> None:
        """Each second the counters of a tenth of the calls."""
        if self._writing is not None or self._failing:
            return
        if not self._to_count:
            self._to_count = list(self._written)
        share = len(self._written) // COUNTED + 1
        due, self._to_count = self._to_count[:share], self._to_count[share:]
        counted: list[Change] = []
        for key in due:
            relayed, packets = self._media.relayed(key), self._packets(key)
            if relayed is not None and key in self._written and packets != self._written[key]:
                self._written[key] = packets
                counted.append((key, {"traffic": traffic_of(relayed)}))
        if counted:
            self._write((), counted)
        elif due:
            self._writing = self._run(self._store.touch)
            self._writing.addCallbacks(self._is_written, self._is_not_written, errbackArgs=([],))


def _read(key: CallKey, table: dict[str, Any]) -> tuple[Call, Relayed | None]:
    """@raise Exception: of any kind, it is no call."""
    call = CONVERTER.structure(table["call"], Call)
    if call.key != key or not call.answered:
        raise ValueError("of another call")
    if "media" not in table:
        return call, None
    media = CONVERTER.structure(table["media"], SavedMedia)
    latches: Latches = CONVERTER.structure(table["latches"], Latches)
    traffic: Traffic = CONVERTER.structure(table["traffic"], Traffic)
    return call, (media, latches, traffic)
