"""
What we handed to a node and do not see in its reports yet.

A call that we hand over fills a place there at once, but the node's report says so only later. Until then we count it ourselves;
otherwise a burst all goes to the one that looked emptiest. It must not be counted for too long either: among nodes that
report spontaneously silence means "unchanged", so an assignment that was answered is believed to be reported, or too small
to matter, after one report latency.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field

LATENCY = 0.25  # s: an assignment answered this long ago is in the node's report, or less than a step


@define(slots=True)
class Assignments:
    """
    Our assignments to one node. Tickets are numbers, times are seconds.

    @ivar calls: calls among them that the node's report does not show yet.
    """

    calls: int = 0
    _number: int = 0
    _open: dict[int, tuple[float, bool]] = field(factory=dict)  # ticket -> when, whether it is a call
    _answered: deque[float] = field(factory=deque)  # calls only

    @property
    def pending(self) -> int:
        """Requests of any kind without an answer."""
        return len(self._open)

    def assigned(self, call: bool, now: float) -> int:
        self._number += 1
        self._open[self._number] = (now, call)
        self.calls += call
        return self._number

    def answered(self, ticket: int, accepted: bool, now: float) -> None:
        """The first response came; not C{accepted}: it fills no place there. A second answer is harmless."""
        _, call = self._open.pop(ticket, (now, False))
        if not call:
            return
        if accepted:
            self._answered.append(now)
        else:
            self.calls -= 1

    def reported(self, now: float) -> None:
        """A report of the node came: it counts what the node answered before, and what it must have got by now."""
        self.calls -= len(self._answered)
        self._answered.clear()
        lost = [ticket for ticket, (when, _) in self._open.items() if now - when >= LATENCY]
        for ticket in lost:
            self.calls -= self._open.pop(ticket)[1]

    def settle(self, now: float) -> None:
        """Forget what a spontaneously reporting node would have reported by now."""
        answered = self._answered
        while answered and now - answered[0] >= LATENCY:
            answered.popleft()
            self.calls -= 1

    def clear(self) -> None:
        self.calls = 0
        self._open.clear()
        self._answered.clear()
