"""
Lines that the kernel relays: handed over when both sides are latched, taken back by deleting what was handed over.

The sockets stay as they are, so a packet that the kernel does not take is relayed as before. What the kernel counts is added
to the counts of the ports that the packets came to.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from voipcluster.media.offload import Crossing
from voipcluster.media.passage import Passage, Verdict
from voipcluster.net.nft.counters import Counted
from voipcluster.net.nft.elements import Relayed, mark_of, octets_of
from voipcluster.net.nft.table import LIFETIME, KernelUnavailable
from voipcluster.services.media.kernel_line import Handed, KernelLine, known
from voipcluster.services.media.refreshing import Refreshing

PERIOD = 2.0  # seconds between readings of the counters, at least
SHARE = 0.001  # of the reactor's time that reading them may take
LEAVING = (
    3  # readings after which what has left is read too, where a reading takes long and the path is proved
)
LONG = 0.02  # seconds
FIRST_LOOK = 0.3  # seconds after which a path that has not been proved is looked at
TOGETHER = 64  # directions deleted in one transaction: it costs each a quarter of what one of its own does


class ITable(Protocol):
    """L{voipcluster.net.nft.table.NftTable}, once it is open."""

    base: int
    found: list[Relayed]

    def open(self) -> None: ...

    def apply(
        self,
        add: Sequence[tuple[Crossing, str]],
        remove: Sequence[Crossing] = (),
        counted: Mapping[Crossing, tuple[int, int]] | None = None,
    ) -> dict[Crossing, tuple[int, int]]: ...

    def clear(self, crossing: Crossing) -> None: ...

    def close(self) -> None: ...

    def remove(self) -> None: ...


class ICounters(Protocol):
    """L{voipcluster.net.nft.counters.CounterReading}."""

    spent: float

    def read(self, maps: Sequence[str]) -> Deferred[dict[str, Counted]]: ...

    def close(self) -> None: ...


class KernelRelay:
    """
    All that the kernel relays for one node.

    @param table: open.
    @param families: IP versions that the kernel can relay here.
    @param longest: most seconds between readings of the counters; the media time-out depends on them.
    @ivar packets: how many the kernel has relayed, of those that are known; C{rate} a second of late.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        table: ITable,
        counters: ICounters,
        families: frozenset[int],
        longest: float = 10.0,
    ) -> None:
        self._clock, self._table, self._counters = clock, table, counters
        self._passages = {family: Passage() for family in sorted(families)}
        self._longest = longest
        self._lines: dict[KernelLine, None] = {}  # those that were handed over or refreshed last come last
        self._refreshing = Refreshing(clock, table, self._lines, self._credited, self._warn)
        self._unclaimed = {one.crossing.entry.port: one for one in table.found}  # a port is one stream's
        self._next: IDelayedCall | None = None
        self._reading = self._closed = False
        self._looks = 0
        self._doubted: set[KernelLine] = set()  # lines of which the last reading did not show all
        self._warned: set[str] = set()
        self._waiting: list[Deferred[None]] = []
        self.packets, self.rate = 0, 0.0
        self._troubles: dict[int, str] = {}
        self._counted, self._counted_at = 0, clock.seconds()

    def line(self, label: str) -> KernelLine:
        """@param label: of the call, see L{voipcluster.media.offload.label_of}."""
        return KernelLine(self.change, label)

    @property
    def trouble(self) -> str:
        """Why lines that the kernel could relay stay in user space now, or an empty text."""
        now = self._clock.seconds()
        shut = [family for family, passage in self._passages.items() if not passage.is_open(now)]
        return "; ".join(self._troubles[family] for family in (0, *shut) if family in self._troubles)

    def __len__(self) -> int:
        """How many lines the kernel relays."""
        return len(self._lines)

    # restart

    def unclaimed(self) -> list[Relayed]:
        """
        What an earlier process of this node handed over, with label, addresses, ports and counters, and nobody has taken
        up yet. A line whose ports and latches are as they were takes it up by L{KernelLine.update}, without a gap: what the
        kernel counted meanwhile is added to the port, whose own count is that of the journal.
        """
        return list(self._unclaimed.values())

    def discard_unclaimed(self) -> int:
        """Cease to relay what nobody has taken up; gives how many directions these were."""
        gone = [one.crossing for one in self._unclaimed.values()]
        self._unclaimed.clear()
        self._forget(gone)
        return len(gone)

    def close(self, *, keep: bool = False) -> None:
        """
        Stop.

        @param keep: leave the table, so that the kernel relays on for the process that comes next, for
            L{LIFETIME} seconds at most; else all of it is deleted.
        """
        self._closed = True
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._refreshing.close()
        self._counters.close()
        if keep:
            self._table.close()
            return
        try:
            self._table.remove()
        except OSError as error:
            self._warn(f"the nftables table could not be removed: {error.strerror}")

    # lines come and go

    def change(self, line: KernelLine, handed: tuple[Handed, ...]) -> None:
        """Take back what the kernel relays of a line, and hand over something else, in one transaction."""
        crossings = [one.crossing for one in handed]
        now = self._clock.seconds()
        passage = None if not crossings else self._passages.get(crossings[0].family)
        if self._closed or passage is None or not passage.is_open(now):
            handed, crossings = (), []
        left = [self._unclaimed.pop(c.entry.port) for c in crossings if c.entry.port in self._unclaimed]
        found = {one.crossing: one for one in left}
        claimed = [c for c in crossings if c in found and found[c].label == line.label]
        stale = [c for c in found if c not in claimed]
        self._lines.pop(line, None)
        old = [one.crossing for one in line.handed]
        added = [] if len(claimed) == len(crossings) else crossings
        removed = [*old, *stale, *([] if not added else claimed)]
        if not self._closed and (added or removed):
            try:
                last = self._table.apply([(crossing, line.label) for crossing in added], removed)
            except OSError as error:
                last = self._forget(removed)
                if not self._add_after(error, line, added):
                    handed = ()
            self.packets += line.credit(last)
        line.handed, line.since, line.seen, line.left = handed, now, {}, {}
        if handed and not added:
            line.seen = {c: known(found[c], port) for c, port in handed if c in found}
            line.since = now - LIFETIME + min(found[c].expires for c in claimed)  # by another process
        if handed:
            self._lines[line] = None
            self._look_in(PERIOD if passage is not None and passage.proved else FIRST_LOOK)

    def _add_after(self, error: OSError, line: KernelLine, added: Sequence[Crossing]) -> bool:
        """Something was not as we left it: hand a line over once more, with a new table if need be."""
        if not added:
            return False
        if error.errno == errno.ENOENT and not self._mend():
            return False
        try:
            self._table.apply([(crossing, line.label) for crossing in added])
        except OSError as again:
            self._warn(f"a line stays in user space: nftables refused it: {again.strerror}")
            return False
        return True

    def _forget(self, gone: Sequence[Crossing]) -> dict[Crossing, tuple[int, int]]:
        """Delete whatever of it is still there."""
        last: dict[Crossing, tuple[int, int]] = {}
        for start in range(0, len(gone), TOGETHER):
            last |= self._delete(gone[start : start + TOGETHER])
        return last

    def _delete(self, several: Sequence[Crossing]) -> dict[Crossing, tuple[int, int]]:
        """All at once, or else one by one."""
        try:
            return self._table.apply([], several)
        except OSError as error:
            if len(several) > 1:
                return {c: count for one in several for c, count in self._delete([one]).items()}
            try:
                if error.errno != errno.ENOENT:
                    raise
                self._table.clear(
                    several[0]
                )  # the stream has run out; the rest would stand in the way of the next one
            except OSError as failed:
                self._warn(f"what the kernel relays could not be taken back: {failed.strerror}")
            return {}

    # looking

    def counted(self) -> Deferred[None]:
        """Fires with the end of the next reading, or of the one under way, when the ports have its counts."""
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        if self._closed:
            self._looked(None)
        elif not self._reading:
            self._look()
        return done

    def _look_in(self, seconds: float) -> None:
        if self._reading or self._closed:
            return
        if self._next is None or not self._next.active():
            self._next = self._clock.callLater(seconds, self._look)
        elif self._next.getTime() > self._clock.seconds() + seconds:
            self._next.reset(seconds)

    def _look(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._reading = True
        began = self._clock.seconds()
        families = {one.crossing.family for line in self._lines for one in line.handed}
        maps = [f"stream{family}" for family in sorted(families)]
        self._looks += 1
        proved = all(self._passages[family].proved for family in families)
        if self._looks % LEAVING == 0 or self._counters.spent < LONG or not proved:
            maps.append("sport")
        reading = self._counters.read(maps or ["sport"])
        reading.addCallbacks(self._settle, self._lost, callbackArgs=(began,))
        reading.addErrback(lambda failure: self._log.failure("counters of the kernel", failure=failure))
        reading.addBoth(self._looked)

    def _looked(self, _: object) -> None:
        self._reading = False
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done.callback(None)
        if self._lines:
            self._look_in(min(max(PERIOD, self._counters.spent / SHARE), self._longest))
        else:
            self.rate = 0.0

    def _lost(self, failure: Failure) -> None:
        if failure.check(CancelledError) is not None:
            return
        error = failure.value
        if isinstance(error, OSError) and error.errno == errno.ENOENT:
            self._mend()
        else:
            self._warn(f"the counters of the kernel cannot be read: {failure.getErrorMessage()}")

    def _settle(self, counted: Mapping[str, Counted], began: float) -> None:
        now, base = self._clock.seconds(), self._table.base
        missing, given_up = set[KernelLine](), set()
        for line in list(self._lines):
            if line.since > began or line not in self._lines:
                continue  # what was read may be older than the line
            family = line.handed[0].crossing.family
            streams, left = counted.get(f"stream{family}", {}), counted.get("sport")
            marks = {crossing: mark_of(base, crossing) for crossing, _ in line.handed}
            if any(mark not in streams or (left is not None and mark not in left) for mark in marks.values()):
                missing.add(line)
                continue
            if left is not None:
                self._doubted.discard(line)
            counts = {}
            for crossing, mark in marks.items():
                packets, octets = streams[mark]
                counts[crossing] = packets, octets_of(family, packets, octets)
            self.packets += line.credit(counts)
            if left is None:
                continue
            for crossing, (taken, _) in counts.items():
                out = left[marks[crossing]][0]
                before = line.left.get(crossing, (0, 0))
                line.left[crossing] = taken, out
                verdict = self._passages[family].counted(taken - before[0], out - before[1], now)
                if verdict is Verdict.LINE and line in self._lines:
                    self._give_back(line)
                elif verdict is Verdict.ALL:
                    given_up.add(family)
        for family in given_up:
            self._give_up(family)
        # a line that ends while the maps are read piece by piece hides another one, but not the same one twice
        if missing & self._doubted:
            self._mend()
            missing = set()
        self._doubted = missing | self._doubted & self._lines.keys()
        self._refreshing.look()
        if now > self._counted_at:
            self.rate = (self.packets - self._counted) / (now - self._counted_at)
        self._counted, self._counted_at = self.packets, now

    def _give_back(self, line: KernelLine) -> None:
        """One line does not get through: the sockets relay it from now on."""
        refused = line.handed
        self.change(line, ())
        line.refused = refused

    def _give_up(self, family: int) -> None:
        self._troubles[family] = trouble = (
            f"what the kernel forwards of IPv{family} does not get out; a firewall rule (policy drop of a"
            " forward chain) or a sysctl stops it"
        )
        self._warn(f"media is relayed in user space: {trouble}")
        for line in list(self._lines):
            if line.handed[0].crossing.family == family:
                self.change(line, ())

    def _credited(self, packets: int) -> None:
        self.packets += packets

    # mending

    def _mend(self) -> bool:
        """
        Somebody else deleted our table, or something in it: make it whole again. Until then the sockets relayed.

        @return: whether there is a table now.
        """
        self._warn("another program has deleted what the kernel relayed; it is handed over anew")
        try:
            self._table.close()
            self._table.open()
        except KernelUnavailable as error:
            self._troubles[0] = str(error)
            self._warn(f"media is relayed in user space: {error}")
            for line in self._lines:
                line.handed = ()
            self._lines.clear()
            self._passages.clear()
            return False
        there = {one.crossing for one in self._table.found}
        ours: set[Crossing] = set()
        now = self._clock.seconds()
        for line in list(self._lines):
            crossings = [one.crossing for one in line.handed]
            ours.update(crossings)
            absent = [crossing for crossing in crossings if crossing not in there]
            if not absent:
                continue
            seen = {crossing: line.seen.get(crossing, (0, 0)) for crossing in absent}
            try:
                self._table.apply([(c, line.label) for c in absent], (), seen)
            except OSError as error:
                self._warn(f"a line stays in user space: nftables refused it: {error.strerror}")
                self._lines.pop(line)
                self._forget([c for c in crossings if c in there])
                line.handed = ()
            else:
                line.since = now
                line.left.update((crossing, (count[0], 0)) for crossing, count in seen.items())
        self._forget([c for c in there if c not in ours and c.entry.port not in self._unclaimed])
        return True

    def _warn(self, text: str) -> None:
        """Once a text: what is wrong is mostly wrong for all lines."""
        if text not in self._warned:
            self._warned.add(text)
            self._log.warn("{text}", text=text)
