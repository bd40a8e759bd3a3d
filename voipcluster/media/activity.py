"""When a call counts as dead because no media comes any more."""

from __future__ import annotations

from typing import NamedTuple

from attrs import define


class Counted(NamedTuple):
    """Event: C{packets} were received from both sides since the call began."""

    packets: int
    held: bool


class TimedOut(NamedTuple):
    """Effect: nothing came for C{silent} seconds; given once."""

    silent: float


@define
class Activity:
    """
    Media time-out of one call.

    @ivar timeout: seconds without a packet from any side.
    @ivar hold_timeout: the same for a call on hold.
    @ivar since: when something was last seen to move.
    """

    timeout: float
    hold_timeout: float
    since: float
    _packets: int = 0
    _over: bool = False

    def moved(self, now: float) -> None:
        """Event: signalling of the call passed, which is a sign of life too."""
        self.since = now

    def feed(self, event: Counted, now: float) -> list[TimedOut]:
        if event.packets != self._packets:
            self._packets, self.since = event.packets, now
            return []
        silent = now - self.since
        if self._over or silent < (self.hold_timeout if event.held else self.timeout):
            return []
        self._over = True
        return [TimedOut(silent)]
