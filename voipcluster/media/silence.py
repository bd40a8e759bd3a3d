"""When a relayed line is dead or goes one way only, though both sides agreed to send."""

from __future__ import annotations

from typing import NamedTuple

from attrs import define

from voipcluster.media.offer_answer import Side

RTCP_RATE = 2.0  # packets per second that may be RTCP or checks of ICE where these share the port with media

SLOWEST_READING = 10.0  # seconds between readings of the kernel's counters on a busy node


class Counted(NamedTuple):
    """
    Event: so many packets came from each side since the call began.

    @ivar due: both sides are to send: answered, C{sendrecv} on both sides, not held.
    @ivar mixed: the counters have more in them than media.
    """

    caller: int
    callee: int
    due: bool
    mixed: bool


class Missing(NamedTuple):
    """Effect: nothing comes from C{side}, or, for L{None}, from neither side; given once until it comes again."""

    side: Side | None


@define
class Silence:
    """
    Looks at the counters now and then.

    @ivar limit: seconds for which a side sends nothing while the other one does; when neither does, L{SLOWEST_READING} more.
    @ivar missing: what is the matter now; L{None} when all is well.
    """

    limit: float
    missing: Missing | None = None
    _packets: tuple[int, int] = (0, 0)
    _looked: float = 0.0
    _moved: tuple[float, float] = (0.0, 0.0)
    _due: bool = False

    def feed(self, event: Counted, now: float) -> list[Missing]:
        counts = event.caller, event.callee
        if not event.due or not self._due:
            self._due, self.missing = event.due, None
            self._packets, self._looked, self._moved = counts, now, (now, now)
            return []
        few = RTCP_RATE * (now - self._looked) if event.mixed else 0.0
        # counters go back when a line gets other ports, which is no silence
        caller, callee = (
            not 0 <= count - known <= few for count, known in zip(counts, self._packets, strict=True)
        )
        self._moved = now if caller else self._moved[0], now if callee else self._moved[1]
        self._packets, self._looked = counts, now
        former, self.missing = self.missing, self._judge(now)
        return [self.missing] if self.missing is not None and self.missing != former else []

    def _judge(self, now: float) -> Missing | None:
        """Against each other rather than the clock: counters of the kernel are read now and then, all at once."""
        caller, callee = self._moved
        if now - max(caller, callee) >= self.limit + SLOWEST_READING:
            return Missing(None)
        if callee - caller >= self.limit:
            return Missing(Side.CALLER)
        if caller - callee >= self.limit:
            return Missing(Side.CALLEE)
        return None
