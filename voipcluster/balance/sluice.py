"""
How much of what strangers send is read, while more comes than can be: who is known loses nothing for their sake.

A full socket buffer drops whatever comes next, whoever sent it. To throw a datagram away unread costs a fiftieth of answering
it, so the buffer can be kept short by throwing away what strangers sent. How much is too much shows in the buffer itself: it
grows. The rate that is left to strangers is found as TCP finds it, by halving and slowly raising it.
"""

from __future__ import annotations

import math
from typing import Final

from attrs import define, field

from voipcluster.balance.rate import Bucket

LONG: Final = 1 << 20  # octets that wait, as the kernel counts them: some 800 requests, 0.2 to 0.4 s of work
LEAST: Final = 50.0  # datagrams of strangers a second that are read in any case
OPEN: Final = 20_000.0  # a rate that no flood reaches at once: nothing is kept out any more
RISE: Final = 1.05  # of the rate, with each look at a short buffer
_PAUSE: Final = 0.02  # s of a rate that may come at once


def _closed() -> Bucket:
    return Bucket(LEAST, 1.0)


@define
class Sluice:
    """
    @ivar rate: datagrams of strangers a second that are read; infinite: all of them.
    """

    rate: float = math.inf
    _strangers: Bucket = field(factory=_closed)
    _claims: Bucket = field(factory=_closed)

    @property
    def is_open(self) -> bool:
        return self.rate == math.inf

    def feed(self, waiting: int, room: int, lost: bool, served: float, kept_out: int) -> None:
        """
        Take a look at the buffer; to be called at short intervals, all alike.

        @param waiting: octets in it, of C{room}; C{lost}: whether the kernel lost something since the last look. With a short
            buffer it was not for want of room: overload control had it thrown away.
        @param served: datagrams a second that were read since then; C{kept_out}: how many were not let in.
        """
        most = min(LONG, room // 2)
        short = waiting * 4 <= most
        if (waiting and waiting >= most) or (lost and not short):
            before = served if self.is_open else self.rate
            self._set(max(LEAST, before / 2))
        elif short and not self.is_open:
            rate = self.rate * (RISE if kept_out else 2)  # nothing to keep out: it is over
            self._set(math.inf if rate > OPEN else rate)

    def _set(self, rate: float) -> None:
        self.rate = rate
        if rate < math.inf:
            for bucket in (self._strangers, self._claims):
                bucket.rate, bucket.size = rate, max(1.0, rate * _PAUSE)

    def admits(self, now: float, claims_dialog: bool) -> bool:
        """
        Whether one more datagram of a stranger is read.

        @param claims_dialog: it says that it belongs to a dialog of ours. That is known once it is read, so as much again is
            left for those, and whoever only claims it takes nothing from the others.
        """
        return self.is_open or (self._claims if claims_dialog else self._strangers).take(now) == 0.0
