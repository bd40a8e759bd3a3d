"""When a node tells the others at once what changed, instead of waiting for its next periodic report."""

from __future__ import annotations

from attrs import define, field

from voipcluster.balance.decision import Own
from voipcluster.balance.rate import Bucket
from voipcluster.balance.report import NOTHING
from voipcluster.balance.workload import Workload

REPORTS, BURST = 45.0, 5.0  # per second, and at once after a pause: never more than 50 in any second
READ = 600.0  # triggered reports per second that one node is to read of all others
DELAY_STEP = 0.010  # s: a wait that changed by less is noise
DELAY_SHARE = 0.25
CAPACITY_SHARE = 0.2
SPARE = 2.0  # reports that are kept for what is urgent
LEAST = 2.0  # per second, however little of a processor the node gets
URGENT_DELAY, URGENT_TIMES = 0.02, 2.0  # s, and times what was told: more waits than the plan can have meant
URGENT_CAPACITY = 0.6  # of what was told: less is another machine


def is_urgent(told_delay: float, told_capacity: float, delay: float, capacity: float) -> bool:
    """
    Whether a node has become so much slower that no plan of before holds.

    A capacity of 0 is not known: nobody has become slower by that, but by L{NOTHING}.
    """
    if 0.0 < capacity < URGENT_CAPACITY * told_capacity or (not told_capacity and 0.0 < capacity <= NOTHING):
        return True
    return delay >= told_delay + URGENT_DELAY and delay >= URGENT_TIMES * told_delay


@define(slots=True)
class Changes:
    """
    What is worth a report of its own, measured from what was told last.

    Calls and other things that are counted are exact, and a step of them matters. What is measured jitters: of the time (C{cpu},
    C{lag}) only a change of the wait matters, of the rates only what changes the plan; the periodic reports tell the rest.

    @ivar step: workload.
    """

    step: float = 0.02
    _own: Own = field(factory=lambda: Own(Workload()))
    _calls: int = 0

    def tell(self, own: Own, calls: int) -> None:
        """This is what the others know from now on."""
        self._own, self._calls = own, calls

    def matter(self, own: Own, calls: int, limit: int) -> bool:
        """
        Whether the others must hear at once that the node is as C{own} says.

        @param calls: in progress; C{limit}: how many count as workload 1.0, or 0.
        """
        told = self._own
        if own.state is not told.state or own.weight != told.weight:
            return True
        if limit and (calls >= limit) != (self._calls >= limit):
            return True
        if abs(own.workload.counted - told.workload.counted) > self.step:
            return True
        moved = abs(own.delay - told.delay)
        if moved >= DELAY_STEP and moved >= DELAY_SHARE * told.delay:
            return True
        return abs(own.capacity - told.capacity) > CAPACITY_SHARE * told.capacity

    def urgent(self, own: Own) -> bool:
        """Whether that cannot wait for its turn."""
        return is_urgent(self._own.delay, self._own.capacity, own.delay, own.capacity)


@define(slots=True)
class Pace:
    """
    How often a node may report changes: not more than some 50 times a second, and in a large cluster less often, since each
    report is read by all the others. A node that gets a part of a processor reports that part as often: one that got a twentieth
    used it up to say so, and served nothing.
    """

    _bucket: Bucket = field(factory=lambda: Bucket(REPORTS, BURST))
    _others: int = -1
    _most: float = REPORTS

    def wait(self, now: float, others: int, urgent: bool = False, granted: float = 1.0) -> float:
        """
        Take one report and return 0.0, or take none and return the seconds until there is one.

        @param urgent: some are kept for that.
        @param granted: share of a processor that the node gets.
        """
        if others != self._others:
            self._others = others
            rate = min(REPORTS, READ / max(1, others))
            self._most = rate
            self._bucket = Bucket(rate, min(BURST, max(1.0, rate)))
        self._bucket.rate = min(self._most, max(LEAST, granted * self._most))
        return self._bucket.take(now, 0.0 if urgent else min(SPARE, self._bucket.size - 1.0))
