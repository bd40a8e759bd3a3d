"""
The state that a node tells the others: whether it takes more, in steps that do not flutter.

The measured components pass a hysteresis (up at once, down after a dwell). The calls are a count: they act exactly, so that
a node is OPEN again with the call that brings it below the threshold.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from attrs import define, field, frozen

from voipcluster.balance.workload import Workload
from voipcluster.errors import UsageError


class NodeState(Enum):
    """What a node is to those that place requests; the value is its name on the wire."""

    OPEN = "open"  # below the threshold: takes what it is handed
    SHED = "shed"  # above the threshold: hands new requests on
    FULL = "full"  # at the hard limit or close to it: no target
    DRAIN = "drain"  # told to take nothing new
    UNKNOWN = "unknown"  # silent or failing: never a target (RFC 5390 REQ 8)

    @classmethod
    def _missing_(cls, value: object) -> NodeState:
        return cls.UNKNOWN  # a state of a later version: we do not know what it takes, so it is no target


_RANK = {NodeState.OPEN: 0, NodeState.SHED: 1, NodeState.FULL: 2}
ENTER_FULL = 0.05  # below the hard limit, because measurements arrive late
HYSTERESIS = 0.10


@frozen
class Levels:
    """
    Where the states begin and end, as workload.

    @ivar threshold: from here on a node hands new requests on.
    @ivar hard_limit: from here on it refuses what nobody else takes.
    @ivar dwell: seconds that a node stays in a state before it goes down; it goes up at once.
    @ivar patience: seconds that C{lag} stays at the hard limit before nothing is served here for it.
    """

    threshold: float = 0.75
    hard_limit: float = 0.95
    dwell: float = 1.0
    patience: float = 0.3

    def __attrs_post_init__(self) -> None:
        if not 0.0 < self.threshold <= self.hard_limit <= 1.0:
            raise UsageError(
                f"0 < threshold <= hard_limit <= 1 is wanted, not threshold {self.threshold} and hard_limit {self.hard_limit}"
            )

    @property
    def shed_back(self) -> float:
        return max(0.0, self.threshold - HYSTERESIS)

    @property
    def full(self) -> float:
        return max(self.threshold, self.hard_limit - ENTER_FULL)

    @property
    def full_back(self) -> float:
        return max(0.0, self.full - HYSTERESIS)


class Measured(NamedTuple):
    """Event: the node's workload at a time (seconds)."""

    workload: Workload
    now: float


class DrainOrdered(NamedTuple):
    """Event: take nothing new from now on."""


class DrainRevoked(NamedTuple):
    """Event: take part again."""


class StateChanged(NamedTuple):
    """Effect: tell the others at once."""

    old: NodeState
    new: NodeState


Event = Measured | DrainOrdered | DrainRevoked


@define
class NodeStateMachine:
    """
    The state of the own node.

    Being busy makes it SHED; only what makes requests wait, or has a limit, makes it FULL.

    @ivar drowning: C{lag} has been at the hard limit for C{levels.patience}: serve nothing, give to nodes below
        their threshold what can be given away, refuse the rest. One late timer gives requests away at once, but refuses nobody.
    """

    levels: Levels = field(factory=Levels)
    state: NodeState = NodeState.OPEN
    drowning: bool = False
    _measured: NodeState = NodeState.OPEN
    _since: float = 0.0
    _hard_since: float | None = None
    _counted: NodeState = NodeState.OPEN
    _draining: bool = False

    def feed(self, event: Event) -> list[StateChanged]:
        match event:
            case Measured(workload, now):
                self._measure(workload, now)
                self._counted = self._count(workload.calls)
                self._drown(workload.lag, now)
            case DrainOrdered():
                self._draining = True
            case DrainRevoked():
                self._draining = False
        return self._settle()

    def _measure(self, workload: Workload, now: float) -> None:
        levels, old = self.levels, self._measured
        value, waiting = workload.measured, workload.waiting
        if waiting >= levels.full:
            new = NodeState.FULL
        elif value >= levels.threshold and old is NodeState.OPEN:
            new = NodeState.SHED
        elif now - self._since < levels.dwell:
            new = old
        elif old is NodeState.FULL and waiting < levels.full_back:
            new = NodeState.SHED
        elif old is NodeState.SHED and value < levels.shed_back:
            new = NodeState.OPEN
        else:
            new = old
        if new is not old:
            self._measured, self._since = new, now

    def _count(self, share: float) -> NodeState:
        if share >= self.levels.hard_limit:
            return NodeState.FULL
        return NodeState.SHED if share >= self.levels.threshold else NodeState.OPEN

    def _drown(self, value: float, now: float) -> None:
        if value < self.levels.hard_limit:
            self._hard_since, self.drowning = None, False
        elif self._hard_since is None:
            self._hard_since = now
        else:
            self.drowning = now - self._hard_since >= self.levels.patience

    def _settle(self) -> list[StateChanged]:
        new = NodeState.DRAIN if self._draining else max(self._measured, self._counted, key=_RANK.__getitem__)
        old, self.state = self.state, new
        return [] if new is old else [StateChanged(old, new)]
