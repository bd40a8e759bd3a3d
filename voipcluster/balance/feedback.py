"""
What a server of overload control does (RFC 7339 and RFC 7415): shares out what it can take, and tells each upstream its part.

Upstreams are the (address, port) of those that say C{oc} in their Via. All others are one more, that nobody can tell anything:
what is too much of theirs is refused here, and so is what an upstream sends in spite of what it was told.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Final

from attrs import define, field

from voipcluster.balance.admission import Priority, PriorityBucket
from voipcluster.balance.overload import OverloadController, OverloadSettings, Sample
from voipcluster.balance.shares import fair_shares
from voipcluster.balance.throttle import LOSS, RATE, Feedback

LOSS_VALIDITY, RATE_VALIDITY = 0.5, 1.0  # s; a tick of control is a fifth of the shorter one
MOST_UPSTREAMS: Final = 4096
KEPT: Final = (
    3600.0  # s without a request after which an upstream is forgotten, and the choice for it (section 5.8)
)
SMOOTH: Final = 0.5  # s: what each asks for is measured over so long
DEFIANT: Final = 15  # ticks after which an upstream counts as one that does not take part
TICKS_BACK: Final = 10  # that are remembered: what was told one after the other
HEADROOM: Final = (
    1.25  # times what it asks for is what an upstream may have: chance brings more now and less then
)
CHANCE, FORGET = 4.0, 0.2  # standard deviations that are no chance; how much of the old counts then
ROOM, MUCH_ROOM = (
    1.1,
    3.0,
)  # times its share, see C{Upstream.tell}; the latter while all together ask for less than there is
GROWTH: Final = 2.0  # times what it asked for before, at most, in one tick
MOST_LOSS: Final = 0.99
QUICK, SLOW = 0.8, 0.3  # how much of a new value counts at once, on the way up and down


@define
class Upstream:
    """
    One that takes part.

    @ivar algorithm: the one chosen for it; C{told}: what it is told now.
    @ivar fresh: new requests of it that were let in since the last tick; C{refused}: that were not; C{others}: in dialogs.
    """

    algorithm: str
    told: Feedback
    bucket: PriorityBucket = field(factory=lambda: PriorityBucket(math.inf))
    used: float = 0.0
    fresh: int = 0
    refused: int = 0
    others: int = 0
    _demand: float = 0.0
    _kept_back: float = 0.0  # share of its new requests that it was told to hold back
    _other_rate: float = 0.0
    _carry: float = 0.0
    _told_before: list[float] = field(factory=lambda: [0.0] * TICKS_BACK)  # C{_kept_back}, the latest last
    _defiant: int = 0  # ticks in a row in which most of what it sent was too much

    @property
    def demand(self) -> float:
        """New requests per second that it would send if it might."""
        return self._demand

    @property
    def usual(self) -> float:
        """New requests per second that it was expected to send."""
        return self._demand * (1.0 - self._kept_back)

    def measure(self, elapsed: float, delay: float, keep: float) -> float:
        """
        Take one tick's counts; new requests per second that it would send if it might.

        @param delay: seconds that what is handled now has waited: it was sent by what was told then.
        @param keep: how much of what was known before counts still.
        """
        seen = self.fresh + self.refused
        self._defiant = self._defiant + 1 if 2 * self.refused > seen else 0
        demand = seen / elapsed
        if (
            self._defiant < DEFIANT
        ):  # else it does not hold back what it is told to, and gains nothing by it (section 11)
            passed = max(1.0 - min(self._told_before[-2 - int(delay / elapsed) :]), 1.0 - MOST_LOSS)
            demand = min(demand / passed, GROWTH * max(self._demand, demand))
        self._demand = self._demand * keep + demand * (1.0 - keep)
        self._other_rate = self._other_rate * keep + self.others / elapsed * (1.0 - keep)
        self.fresh = self.refused = self.others = 0
        return self._demand

    def tell(self, share: float, sequence: float, at_once: bool = False, room: float = 1.0) -> None:
        """
        Say how much it may send.

        @param at_once: whether things are quite others than before.
        @param room: times its share is what is told as a rate, since a bucket lets through less than its rate.
        @param share: new requests per second; what it sends in dialogs comes on top, since a value is for all requests (5.3).
        """
        wanted = min(MOST_LOSS, max(0.0, 1.0 - share / self._demand)) if self._demand > 0.0 else 0.0
        self._told_before = [*self._told_before[1:], self._kept_back]
        if self.algorithm == RATE:
            self._kept_back = wanted
            self.told = Feedback(
                RATE, max(1.0, round(room * share + self._other_rate)), RATE_VALIDITY, sequence
            )
            return
        before = self._kept_back
        self._kept_back = before + (1.0 if at_once else QUICK if wanted > before else SLOW) * (
            wanted - before
        )
        total = self._demand + self._other_rate
        percent = 100.0 * self._kept_back * (self._demand / total if total else 1.0) + self._carry
        value = min(100.0, max(0.0, float(round(percent))))
        self._carry = percent - value  # so that the percentages are right on average
        self.told = Feedback(LOSS, value, LOSS_VALIDITY, sequence)

    def release(self, sequence: float) -> None:
        """Say that there is no overload (5.7)."""
        self._kept_back = self._carry = 0.0
        self.told = Feedback(self.algorithm, 0.0, 0.0, sequence)


@define
class OverloadServer:
    """
    Decides who is let in, and what upstreams are told.

    What the node can take is split between those who take part and the others in proportion to what they ask for, so that neither
    has an advantage (RFC 7339 section 5.10.2), and among those who take part by max-min fairness.

    @ivar controller: how much the node can take; C{active} is its own.
    @ivar calls_only: whether only calls are kept out, because the packets of the relay are what is too much.
    @ivar refused: new requests that were not let in since the start, by class.
    @ivar anybody: those that take part, but have no part of their own: they are told what share of all others' has no room.
    """

    controller: OverloadController = field(factory=lambda: OverloadController(OverloadSettings()))
    sequence: float = 0.0
    calls_only: bool = False
    upstreams: dict[Hashable, Upstream] = field(factory=dict)
    refused: dict[Priority, int] = field(factory=lambda: dict.fromkeys(Priority, 0))
    anybody: Upstream = field(factory=lambda: Upstream(LOSS, Feedback(LOSS, 0.0, 0.0, 0.0)))
    _others: PriorityBucket = field(factory=lambda: PriorityBucket(math.inf))
    _other_refused: int = 0
    _other_demand: float = 0.0

    @property
    def active(self) -> bool:
        return self.controller.active

    def upstream(self, key: Hashable, offered: Iterable[str], now: float) -> Upstream:
        """
        The upstream with that key, which it begins to be with its first C{oc}.

        @param offered: the algorithms that it knows. C{rate} is taken where offered: a sudden rise does not get through (RFC
            8582); the choice stays.
        """
        upstream = self.upstreams.get(key)
        if upstream is None:
            if len(self.upstreams) >= MOST_UPSTREAMS:
                self._forget(now)
            algorithm = RATE if RATE in offered else LOSS
            upstream = Upstream(algorithm, Feedback(algorithm, 0.0, 0.0, self.sequence))
            if self.active:
                upstream.bucket.rate = self.controller.allowed / (len(self.upstreams) + 1)
            self.upstreams[key] = upstream
        upstream.used = now
        return upstream

    def _forget(self, now: float) -> None:
        for key in [key for key, upstream in self.upstreams.items() if now - upstream.used > KEPT]:
            del self.upstreams[key]
        if (
            len(self.upstreams) >= MOST_UPSTREAMS
        ):  # somebody makes them up: the one that is silent for longest goes
            del self.upstreams[min(self.upstreams, key=lambda key: self.upstreams[key].used)]

    def admits(self, key: Hashable, priority: Priority, now: float, call: bool = True) -> bool:
        """Whether a new request from there is let in, an INVITE or not (C{call}); to be asked while C{active}."""
        if self.calls_only and not call:
            return True
        upstream = self.upstreams.get(key)
        if upstream is None:
            if self._others.admits(priority, now):
                return True
            self._other_refused += 1
        elif upstream.bucket.admits(priority, now):
            return True
        else:
            upstream.refused += 1
        self.refused[priority] += 1
        return False

    def takes_call(self, now: float) -> bool:
        """As L{admits} for a call of somebody who takes no part; who has no room is not refused, and may be asked for again."""
        return self._others.admits(Priority.CALL, now)

    def room(self, now: float) -> float:
        """How many calls of those who take no part would be let in now; one is, if it is 1 at least."""
        return self._others.room(now)

    def tick(
        self, elapsed: float, busy: float, delay: float, admitted: int, wall: float, hidden: bool = False
    ) -> None:
        """
        Look at what was since the tick before, and say anew who gets what.

        @param elapsed: C{busy}, C{delay}, C{admitted}: as in L{Sample}; C{admitted} counts those of all; C{hidden} likewise.
        @param wall: seconds since 1970, which number what is told (section 4.4).
        """
        was_active = self.controller.active
        self.sequence = max(self.sequence + 0.001, round(wall, 3))
        upstreams = list(self.upstreams.values())
        of_upstreams = sum(upstream.fresh for upstream in upstreams)
        elapsed = max(elapsed, 1e-6)
        refused = self._other_refused + sum(upstream.refused for upstream in upstreams)
        others = max(0, admitted - of_upstreams) + self._other_refused
        keep = math.exp(-elapsed / SMOOTH)
        usual = elapsed * (self._other_demand + sum(upstream.usual for upstream in upstreams))
        seen = of_upstreams + others + refused - self._other_refused
        changed = usual - seen > CHANCE * (math.sqrt(usual) + 1.0)
        if changed:
            keep = FORGET
        self.anybody.measure(elapsed, delay, keep)
        demands = [upstream.measure(elapsed, delay, keep) for upstream in upstreams]
        self._other_demand = self._other_demand * keep + others / elapsed * (1.0 - keep)
        self._other_refused = 0
        offered = sum(demands) * elapsed + others
        self.controller.feed(Sample(elapsed, busy, delay, admitted, offered, refused, hidden))
        if self.controller.active:
            self._share_out(upstreams, demands, changed)
        elif was_active:
            for upstream in [*upstreams, self.anybody]:
                upstream.release(self.sequence)
                upstream.bucket = PriorityBucket(math.inf)

    def _share_out(self, upstreams: list[Upstream], demands: list[float], changed: bool) -> None:
        allowed, asked = self.controller.allowed, sum(demands)
        total = asked + self._other_demand
        room = ROOM if total > allowed else MUCH_ROOM
        theirs = allowed * asked / total if total else allowed / 2
        for upstream, share in zip(
            upstreams, fair_shares(theirs, [HEADROOM * one for one in demands]), strict=True
        ):
            upstream.bucket.rate = share
            upstream.tell(share, self.sequence, changed, room)
        left = self._others.rate = allowed - theirs
        part = min(1.0, left / self._other_demand) if self._other_demand else 1.0
        self.anybody.tell(part * self.anybody.demand, self.sequence, changed)
