"""
Keeps alive what the kernel relays: a stream that nobody refreshes ends by itself, which is what bounds orphans.

Some lines in one turn of the reactor, the next ones a moment later, until none is due: there may be as many as the range of
ports has room for, and all of them may have begun together, after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from voipcluster.media.offload import Crossing
from voipcluster.net.nft.table import LIFETIME
from voipcluster.services.media.kernel_line import KernelLine

AT_ONCE = 8  # lines refreshed in one turn: 2 to 3 ms
PAUSE = 0.05  # seconds to the next turn; so 160 lines a second


class IApply(Protocol):
    """The part of L{voipcluster.net.nft.table.NftTable} that is needed."""

    def apply(
        self,
        add: Sequence[tuple[Crossing, str]],
        remove: Sequence[Crossing] = (),
        counted: Mapping[Crossing, tuple[int, int]] | None = None,
    ) -> dict[Crossing, tuple[int, int]]: ...


class Refreshing:
    """
    @param lines: that the kernel relays, the owner's; who is refreshed becomes the last one.
    @param credited: told of packets that were counted on the way.
    @param warn: told in words what failed.
    """

    def __init__(
        self,
        clock: IReactorTime,
        table: IApply,
        lines: dict[KernelLine, None],
        credited: Callable[[int], object],
        warn: Callable[[str], object],
    ) -> None:
        self._clock, self._table, self._lines = clock, table, lines
        self._credited, self._warn = credited, warn
        self._next: IDelayedCall | None = None

    def look(self) -> None:
        """Refresh lines that are due, now and in later turns; does nothing while that is under way."""
        if self._next is None:
            self._some()

    def close(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _some(self) -> None:
        self._next = None
        now = self._clock.seconds()
        due = list(islice((line for line in self._lines if now - line.since > LIFETIME / 3), AT_ONCE))
        refreshed = [self._refresh(line, now) for line in due]
        if len(due) == AT_ONCE and any(refreshed):  # else the next reading tries again
            self._next = self._clock.callLater(PAUSE, self._some)

    def _refresh(self, line: KernelLine, now: float) -> bool:
        """Begin anew, in the kernel's eyes, what would otherwise end by itself."""
        crossings = [one.crossing for one in line.handed]
        seen = {crossing: line.seen.get(crossing, (0, 0)) for crossing in crossings}
        del self._lines[line]
        self._lines[line] = None  # also if it fails: others are not to wait behind it
        try:
            last = self._table.apply([(c, line.label) for c in crossings], crossings, seen)
        except OSError as error:
            self._warn(f"what the kernel relays could not be refreshed: {error.strerror}")
            return False
        self._credited(line.credit(last))
        line.seen, line.since = seen, now
        line.left = {crossing: (count[0], 0) for crossing, count in seen.items()}
        return True
