"""
What we handed to a node and do not see in its reports yet.

A call that we hand over fills a place there at once, but the node's report says so only later. Until then we count it ourselves;
otherwise a burst all goes to the one that looked emptiest. It must not be counted for too long either: among nodes that
report spontaneously silence means "unchanged", so an assignment that was answered is believed to be reported, or too small
to matter, after one report latency.

A report and an answer travel on different connections, and either can overtake the other. What a report that comes close to an
answer includes is told by how much the node's calls have risen.

How long a node takes to say anything is news of it, too, and the only one that comes without it: what was handed to it and has
no answer waits there, be it slow, stopped or gone, while its reports are what it said before.
"""

from __future__ import annotations

from attrs import define, field

LATENCY = 0.25  # s: an assignment answered this long ago is in the node's report, or less than a step
GONE = 4.0  # s after which an assignment that nobody closed is none; each is closed after 1 s (services/sip/placing)
NEARER = 0.002  # s per second by which the least answer time is believed to rise: a route may become longer
KNOWN, WEIGHT = 8, 0.125  # answers that tell what is usual, and the weight of a new one in their mean
SOON, TIMES = 0.03, 3.0  # s, and times the mean: no answer is late before
OVERTAKING = 0.05  # s: a report that comes this much later than an answer was sent after it


@define(slots=True)
class Assignments:
    """Our assignments to one node. Tickets are numbers, times are seconds."""

    _number: int = 0
    _pending: dict[int, float] = field(factory=dict)  # ticket without an answer -> when it was assigned
    _open: dict[int, float] = field(factory=dict)  # the same, also of what a report has made us forget
    _quickest: float = 0.0  # s, the least time of an answer; 0.0 before the first one
    _answered_at: float = 0.0
    _usual: float = 0.0  # s, the mean time of an answer
    _answers: int = 0
    _calls: dict[int, float | None] = field(
        factory=dict
    )  # call not reported yet, oldest first -> when answered

    @property
    def calls(self) -> int:
        """Calls that the node's reports do not show yet."""
        return len(self._calls)

    @property
    def pending(self) -> int:
        """Requests of any kind without an answer."""
        return len(self._pending)

    def overdue(self, now: float) -> float:
        """
        Seconds by which the oldest request without an answer has waited longer than the quickest answer took: that long at least
        has the node not come to it. The quickest one stands for the way there and back.
        """
        while self._open:
            ticket, since = next(iter(self._open.items()))
            if now - since < GONE:
                return max(0.0, now - since - self._quickest)
            del self._open[ticket]
        return 0.0

    def is_late(self, now: float, most: float) -> bool:
        """
        Whether an answer takes so much longer than usual that the node has become slow, or stopped.

        @param most: seconds that are too long for any node, and for one of which too little is known.
        """
        known = self._answers >= KNOWN
        return self.overdue(now) > (min(most, max(SOON, TIMES * self._usual)) if known else most)

    def assigned(self, call: bool, now: float) -> int:
        self._number = ticket = self._number + 1
        self._pending[ticket] = self._open[ticket] = now
        if call:
            self._calls[ticket] = None
        return ticket

    def answered(self, ticket: int, accepted: bool, now: float) -> None:
        """The first response came; not C{accepted}: it fills no place there. A second answer is harmless."""
        since = self._open.pop(ticket, None)
        if since is not None and accepted and now > since:  # a redirect is answered as it is sent
            took, rise = now - since, NEARER * (now - self._answered_at)
            self._quickest = min(took, self._quickest + rise) if self._answered_at else took
            self._answered_at = now
            self._usual += (took - self._usual) * (WEIGHT if self._answers else 1.0)
            self._answers += 1
        if self._pending.pop(ticket, None) is None or ticket not in self._calls:
            return
        if accepted:
            self._calls[ticket] = now
        else:
            del self._calls[ticket]

    def reported(self, risen: int, now: float) -> None:
        """A report of the node came, which shows C{risen} calls more than the one before."""
        lost = [ticket for ticket, when in self._pending.items() if now - when >= LATENCY]
        for ticket in lost:  # it has it and counts it, or it will never have it
            del self._pending[ticket]
        if not self._calls:
            return
        shown = [
            ticket
            for ticket, answered in self._calls.items()
            if (ticket not in self._pending if answered is None else now - answered >= OVERTAKING)
        ]
        for ticket in shown:
            del self._calls[ticket]
        for ticket in list(self._calls)[: max(0, risen - len(shown))]:
            del self._calls[ticket]

    def settle(self, now: float) -> None:
        """Forget what a spontaneously reporting node would have reported by now."""
        while self._calls:
            ticket, answered = next(iter(self._calls.items()))
            if answered is None or now - answered < LATENCY:
                return
            del self._calls[ticket]

    def clear(self) -> None:
        self._pending.clear()
        self._open.clear()
        self._calls.clear()
