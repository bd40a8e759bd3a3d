"""Limits against fraud: what users have of gateways, and what gateways carry, counted over all nodes (docs/gateways.md)."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from voipcluster.errors import PeerError
from voipcluster.gateway.allowance import DESTINATION, NO_LIMIT, Allowance, Excess, Usage, excess
from voipcluster.gateway.causes import reason_of
from voipcluster.services.gateway.book import GatewayBook, ITallies
from voipcluster.services.media.relay import CallKey
from voipcluster.services.notices import Notices
from voipcluster.services.sip.calls import Call
from voipcluster.sip.preferences import Preferences
from voipcluster.sip.proxy.validation import Refused
from voipcluster.sip.values import quote

MINUTE = 60.0  # s for which a call counts as begun
TICK = 10.0  # s between two looks at the calls that are up
_LONGEST_DAY = 1 << 40  # seconds of all calls of one user or gateway in a day; more is a damaged file
USER, GATEWAY = "user", "gateway"
_REJECTED = 21  # cause of Q.850


class Spent(Refused):
    """
    403: a user has had what he may have. 503 would bring the call to another node, and 480 is about who is called.

    @ivar kind: one of L{voipcluster.gateway.allowance.KINDS}.
    """

    def __init__(self, excess: Excess) -> None:
        headers = (("Warning", f"399 voipcluster {quote(excess.text)}"), ("Reason", reason_of(_REJECTED)))
        super().__init__(excess.text, 403, headers)
        self.kind = excess.kind


@define
class _Running:
    """
    A call that counts, and how many of its seconds have been counted.

    @ivar payers: how many of its INVITEs each user pays for; C{answers}: how many of them were answered.
    """

    payers: Counter[str] = Factory(Counter)
    answers: int = 0
    gateways: tuple[str, ...] = ()
    answered: float | None = None
    counted: int = 0


class Forbidden(Refused):
    """403: nobody lets the caller have that number."""


def is_forbidden(error: PeerError) -> bool:
    """Whether a call was refused for its number: who does that often looks for numbers that cost others money."""
    return isinstance(error, Forbidden) or (isinstance(error, Spent) and error.kind == DESTINATION)


class Allowances:
    """
    @ivar everybody: what each user has who has no preference of his own.
    @param preferences: those of the users, by address of record.
    @param wall: seconds since 1970; C{local}: the local time of such a moment, in which a day begins.
    @ivar keep: told at most every L{TICK}, and at the end, which counts of today have changed: the day and the seconds by key.
    @ivar refused: how many calls were refused, by C{user} or C{gateway} and kind.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        tallies: ITallies,
        book: GatewayBook,
        everybody: Allowance,
        preferences: Mapping[str, Preferences],
        wall: Callable[[], float],
        local: Callable[[float], time.struct_time] = time.localtime,
    ) -> None:
        self._clock, self._tallies, self._book = clock, tallies, book
        self.everybody, self._preferences = everybody, preferences
        self._wall, self._local = wall, local
        self._running: dict[CallKey, _Running] = {}
        self._begun: deque[tuple[float, str]] = deque()  # when each counts no more, the oldest first
        self._today: dict[str, int] = {}  # by key: seconds that this node has counted today
        self._changed: set[str] = set()  # of these keys, since they were kept
        self._day = ""
        self.keep: Callable[[str, Mapping[str, int]], object] = lambda day, seconds: None
        self._timer: IDelayedCall | None = None
        self.refused: Counter[tuple[str, str]] = Counter()
        self._notices = Notices(clock.seconds, self._log)

    def resume(self, read: Callable[[str], Mapping[str, int]]) -> None:
        """
        Go on with what an earlier process has counted today.

        @param read: gives the seconds by key that were kept of a day.
        """
        for name, seconds in read(self._today_now()).items():
            if 0 < seconds <= _LONGEST_DAY:
                self._today[name] = self._today.get(name, 0) + seconds
                self._tallies.add(name, seconds)

    def _keep_changes(self) -> None:
        changed, self._changed = self._changed, set()
        seconds = {name: self._today[name] for name in changed if name in self._today}
        if seconds:
            self.keep(self._day, seconds)

    def stop(self) -> None:
        """What was counted is kept, and no timer is left behind."""
        for running in self._running.values():
            self._add_seconds(running)
        self._keep_changes()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- what may be done

    def of_user(self, aor: str) -> Allowance:
        """What a user has: his own preferences, and for the rest what everybody has."""
        wishes, all_ = self._preferences.get(aor), self.everybody
        if wishes is None:
            return all_
        return Allowance(
            all_.calls if wishes.calls is None else wishes.calls,
            all_.rate if wishes.rate is None else wishes.rate,
            all_.minutes if wishes.minutes is None else wishes.minutes,
            all_.destinations if wishes.destinations is None else wishes.destinations,
        )

    def check_user(self, aor: str, number: str) -> None:
        """
        Whether a user may have one more call to a number.

        @param aor: the user, or empty: a call of nobody is not limited here.
        @raise Spent: he has had what he may have.
        """
        allowance = self.of_user(aor) if aor else NO_LIMIT
        found = excess(allowance, lambda: self.usage(USER, aor), number) if allowance.limits else None
        if found is not None:
            self.refused[USER, found.kind] += 1
            text = "{user} is refused a call to {number}: {why}"
            self._notices.warn(f"{aor} {found.kind}", text, user=aor, number=number, why=found.text)
            raise Spent(found)

    def gateway_excess(self, name: str) -> Excess | None:
        """What one more call would exceed at a gateway; its channels and numbers are its own (L{GatewayBook})."""
        gateway = self._book.get(name)
        if gateway is None or not (gateway.calls_per_minute or gateway.minutes_per_day):
            return None
        allowance = Allowance(0, gateway.calls_per_minute, gateway.minutes_per_day)
        return excess(allowance, lambda: self.usage(GATEWAY, name), "")

    def passed_over(self, name: str) -> None:
        """A call goes to another gateway, or nowhere, for what this one has carried."""
        found = self.gateway_excess(name)
        if found is not None:
            self.refused[GATEWAY, found.kind] += 1

    def usage(self, kind: str, name: str) -> Usage:
        """What a user or a gateway has used, on all nodes."""
        self._expire()
        total = self._tallies.total
        key = f"{kind}:{name}"
        return Usage(
            total(f"{key}:calls"), total(f"{key}:minute"), total(self._seconds_key(key, self._today_now()))
        )

    # -- what is done

    def begun(self, key: CallKey, payer: str) -> None:
        """
        An INVITE to a number begins; what it goes to one after the other is one call.

        Those of one Call-ID and From tag count each: else a stolen password could have any number of calls as one.

        @param payer: the user who has it made, or empty.
        """
        running = self._running.setdefault(key, _Running())
        if payer:
            running.payers[payer] += 1
            self._count(f"{USER}:{payer}")
            self._tallies.add(f"{USER}:{payer}:calls", 1)
        self._wake()

    def seized(self, name: str) -> None:
        """A call is brought to a gateway, or comes from one."""
        self._count(f"{GATEWAY}:{name}")
        self._wake()

    def answered(self, key: CallKey, *gateways: str) -> None:
        """A call was answered: its seconds count for who pays, and for the gateways that it goes through."""
        running = self._running.setdefault(key, _Running())
        self._add_seconds(running)
        running.answers += 1
        if running.answered is None:
            running.answered = self._clock.seconds()
        running.gateways = tuple(dict.fromkeys((*running.gateways, *filter(None, gateways))))
        self._wake()

    def over(self, call: Call, reason: str) -> None:
        """A call has ended, whatever it was."""
        running = self._running.pop(call.key, None)
        if running is None:
            return
        self._add_seconds(running)
        for payer, calls in running.payers.items():
            self._tallies.add(f"{USER}:{payer}:calls", -calls)

    def adopt(self, call: Call) -> None:
        """A call of the last process goes on; what it has lasted until now was counted there."""
        if not (call.gateway_in or call.gateway_out):
            return
        payer = call.user
        running = self._running[call.key] = _Running()
        if payer:
            running.payers[payer] = 1
            self._tallies.add(f"{USER}:{payer}:calls", 1)
        self.answered(call.key, call.gateway_in, call.gateway_out)

    def _count(self, key: str) -> None:
        self._tallies.add(f"{key}:minute", 1)
        self._begun.append((self._clock.seconds() + MINUTE, f"{key}:minute"))

    def _expire(self) -> None:
        now = self._clock.seconds()
        while self._begun and self._begun[0][0] <= now:
            self._tallies.add(self._begun.popleft()[1], -1)

    # -- time

    def _wake(self) -> None:
        if self._timer is None:
            self._timer = self._clock.callLater(TICK, self._tick)

    def _tick(self) -> None:
        """The others are to know how long calls have lasted that are still up, and what counts no more."""
        self._timer = None
        self._expire()
        for running in self._running.values():
            self._add_seconds(running)
        self._today_now()
        self._keep_changes()
        if self._running or self._begun:
            self._wake()

    def _add_seconds(self, running: _Running) -> None:
        if running.answered is None:
            return
        lasted = int(self._clock.seconds() - running.answered)
        more, running.counted = lasted - running.counted, lasted
        if more <= 0:
            return
        day = self._today_now()
        times = [(f"{GATEWAY}:{name}", 1) for name in running.gateways]
        times += [(f"{USER}:{payer}", min(calls, running.answers)) for payer, calls in running.payers.items()]
        for key, count in times:
            name = self._seconds_key(key, day)
            self._today[name] = self._today.get(name, 0) + more * count
            self._changed.add(name)
            self._tallies.add(name, more * count)

    def _seconds_key(self, key: str, day: str) -> str:
        return f"{key}:seconds:{day}"

    def _today_now(self) -> str:
        """The date; when it has changed, what was counted yesterday is taken back."""
        day = time.strftime("%Y-%m-%d", self._local(self._wall()))
        if day != self._day:
            for name, seconds in self._today.items():
                self._tallies.add(name, -seconds)
            self._today.clear()
            self._day = day
        return day
