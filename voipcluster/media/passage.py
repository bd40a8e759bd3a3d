"""
Whether what the kernel takes to relay also gets out: a foreign firewall, or a sysctl, may stop what is forwarded.

One machine an IP version. A line that does not get through is given back to the sockets by itself; the whole kernel path is
given up only when nothing shows that it works, since a caller can make his own line fail (by packets that live for one hop).
"""

from __future__ import annotations

from enum import Enum

from attrs import define

FEWEST = 5  # packets of which none left: fewer may be on their way while they are counted
IN_A_ROW = 3  # lines that fail, without one that works between them
FIRST_PAUSE, LONGEST_PAUSE = 300.0, 86400.0  # seconds until the kernel is tried again


class Verdict(Enum):
    """What to do about one line."""

    FINE = "nothing"
    LINE = "give this line back to the sockets"
    ALL = "give all lines back, and try again after a pause"


@define
class Passage:
    """@ivar proved: something got through since it was last tried."""

    proved: bool = False
    _failed: int = 0
    _pause: float = FIRST_PAUSE
    _shut_until: float | None = None

    def is_open(self, now: float) -> bool:
        """Whether to hand lines to the kernel; the first call after a pause begins anew."""
        if self._shut_until is not None and now >= self._shut_until:
            self._shut_until = None
        return self._shut_until is None

    def counted(self, taken: int, left: int, now: float) -> Verdict:
        """
        Event: so many packets of one direction of a line were taken in, and so many left, since the last time.

        @param left: counted after C{taken} was.
        """
        if left:
            self.proved, self._failed, self._pause = True, 0, FIRST_PAUSE
            return Verdict.FINE
        if taken < FEWEST or not self.is_open(now):
            return Verdict.FINE  # too few to tell, or given up already
        self._failed += 1
        if self.proved and self._failed < IN_A_ROW:
            return Verdict.LINE
        self.proved, self._failed, self._shut_until = False, 0, now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return Verdict.ALL
