"""
Why a request went where it went: one record per placement, kept for C{voipctl explain}.

A record is made for every request, so making one is cheap: what was not looked at is shared between the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import define, field, frozen


@frozen(slots=True)
class Considered:
    """
    One node as the placing node saw it.

    @ivar state: a L{NodeState} value.
    @ivar workload: with our own unanswered assignments added.
    @ivar age: seconds since its report came; -1 when there was none.
    @ivar reason: why it was taken or passed over.
    @ivar wait: seconds that a request would wait there, by its report and our unanswered requests.
    @ivar room: requests per second that the plan of the rates has for it from others; -1 when the policy makes no such plan.
    """

    node: str
    state: str
    workload: float
    age: float
    reason: str
    wait: float = 0.0
    room: float = -1.0


class Candidates(Sequence[Considered]):
    """
    The nodes as the placing node saw them: those it asked, then the others.

    Put together when somebody reads it: with hundreds of nodes it would cost more than the decision.
    """

    __slots__ = ("_all", "_asked", "_others")

    def __init__(self, asked: tuple[Considered, ...], others: tuple[Considered, ...]) -> None:
        self._asked, self._others = asked, others
        self._all: tuple[Considered, ...] | None = None

    def _together(self) -> tuple[Considered, ...]:
        if self._all is None:
            asked = {one.node for one in self._asked}
            self._all = (*self._asked, *(one for one in self._others if one.node not in asked))
        return self._all

    def __len__(self) -> int:
        return len(self._together())

    def __getitem__(self, at: Any) -> Any:
        return self._together()[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._together() == tuple(other)

    def __hash__(self) -> int:
        return hash(self._together())


@define(slots=True)  # made for every request, and a frozen one of so many fields costs a microsecond more
class Explanation:
    """
    One decision; nobody changes it.

    @ivar node: who decided; C{own} is its workload then, C{leading} the component that led.
    @ivar hops: how often the request had been handed over before.
    @ivar gate: below this a node serves at this hop; C{hard_limit}: from here on it refuses.
    @ivar outcome: C{serve}, C{hand-over} or C{refuse}; C{chosen} the node that serves or takes it, or empty.
    @ivar time: the placing node's clock, seconds.
    @ivar delay: seconds that a request waited here then.
    @ivar share: of its clients' requests the plan of the rates gave away; -1 when the policy made none.
    @ivar fresh: whether the reports were fresh enough to compare what waits at the candidates.
    """

    call_id: str
    node: str
    time: float
    hops: int
    own: float
    leading: str
    gate: float
    hard_limit: float
    policy: str
    outcome: str
    chosen: str
    reason: str
    candidates: Sequence[Considered] = ()
    delay: float = 0.0
    share: float = -1.0
    fresh: bool = True


@frozen(slots=True, kw_only=True)
class Explained:
    """What one node knows about one Call-ID: its decisions, oldest first."""

    node: str
    epoch: int
    seq: int
    call_id: str
    items: tuple[Explanation, ...] = ()


LONGEST = (
    256  # characters of a Call-ID that is remembered; a longer one is somebody who wants to fill our memory
)


@define
class ExplainLog:
    """
    The latest decisions by Call-ID, in two generations: taking the oldest one out of a dict each time is slow, since the places
    of those before it are passed over one by one.

    @ivar capacity: Call-IDs that are kept; those that had no decision for longest go first, half of them together.
    @ivar depth: decisions kept per Call-ID, the latest ones (a phone registers for ever with one Call-ID).
    """

    capacity: int = 2000
    depth: int = 8
    _kept: dict[str, tuple[Explanation, ...]] = field(factory=dict)
    _kept_before: dict[str, tuple[Explanation, ...]] = field(factory=dict)

    def add(self, explanation: Explanation) -> None:
        call_id = explanation.call_id
        if len(call_id) > LONGEST:
            return
        kept = self._kept
        earlier = kept.get(call_id) or self._kept_before.pop(call_id, ())
        if len(kept) >= self.capacity // 2 and call_id not in kept:
            self._kept_before, self._kept = kept, {}
        self._kept[call_id] = (*earlier, explanation)[-self.depth :] if earlier else (explanation,)

    def get(self, call_id: str) -> tuple[Explanation, ...]:
        """The decisions about that Call-ID, oldest first; none when it is not known (any more)."""
        return self._kept.get(call_id) or self._kept_before.get(call_id, ())

    def call_ids(self) -> Iterable[str]:
        return [*self._kept_before, *self._kept]
