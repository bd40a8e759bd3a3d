"""
How much one source and one user may ask for (RFC 3261 section 26.3.2.4 leaves floods to the implementation).

Requests are counted in token buckets: one for each source, and one for each user who proved a password from an address and
port, so that those behind a NAT do not pay for their neighbour. A bucket that runs dry is a ban, and so are wrong passwords.

L{RequestLimits.check} is asked for each request, and must cost well under 1 us. So a bucket is one number, the time at which
it is full again, as in the generic cell rate algorithm (ITU-T I.371), and a ban is a time that is never reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from attrs import define, field, frozen

from voipcluster.address import source_of

Address = tuple[str, int]

ADMITTED: Final = 0
BANNED: Final = 1  # not answered: an answer would tell that it arrived, and cost more than the request
BUSY: Final = 2  # a user whom we know: told so with 503

BURST: Final = (
    5.0  # seconds' worth of requests that may come at once: all phones behind a NAT after a power cut
)
MOST_SOURCES: Final = 50_000  # remembered; some 15 MB
MOST_PROVEN: Final = 100_000
MOST_PAIRS: Final = 50_000
ADDRESSES_OF_USER: Final = 16  # that are remembered as proven, the oldest is forgotten first
PORTS_OF_TRUNKS: Final = 64  # likewise, of one source
USERS_OF_TRUNKS: Final = 4096  # likewise

_NEVER: Final = float("inf")


@frozen(kw_only=True)
class LimitSettings:
    """
    0 is: without limit.

    @ivar requests_per_address: a second, of one IPv4 address or IPv6 /64; C{requests_per_user} of one authenticated user.
    @ivar ban: seconds for which who exceeds them is banned.
    @ivar wrong_passwords_per_user: for one user name from one source, until that user name is refused there;
        C{wrong_passwords_per_address} for any user names from one source, until that source is banned.
    @ivar refused_numbers: calls from one source, or of one user, to numbers that they may not call, until who makes them is
        banned.
    @ivar guess_ban: seconds within which wrong passwords and refused numbers are counted, and which the bans last.
    @ivar keep: seconds for which a proof of a password counts; as long as a registration may last.
    """

    requests_per_address: float = 500.0
    requests_per_user: float = 100.0
    ban: float = 60.0
    wrong_passwords_per_user: int = 10
    wrong_passwords_per_address: int = 100
    refused_numbers: int = 30
    guess_ban: float = 600.0
    keep: float = 3660.0


class Ban(NamedTuple):
    """C{who}: an address, an IPv6 /64 or C{user@domain}; C{left}: seconds."""

    who: str
    reason: str
    left: float


@define(eq=False)
class _Bucket:
    """
    @ivar due: when it is full again; L{_NEVER} while banned. C{interval}: seconds for which one request counts.
    @ivar until: end of the ban, 0 when there is none; C{reserve}: the bucket for what is served in spite of a ban.
    @ivar wrong: the bucket of wrong passwords, C{refused} that of refused numbers.
    @ivar kept: until when proofs count, and C{remotes} from where; of users and trunks only.
    """

    name: str
    interval: float
    user: bool = False
    due: float = 0.0
    until: float = 0.0
    reason: str = ""
    reserve: float = 0.0
    wrong: float = 0.0
    refused: float = 0.0
    kept: float = 0.0
    remotes: dict[Address, None] = field(factory=dict)


@define(eq=False)
class _Trunks(_Bucket):
    """
    All trunks of a source.

    @ivar users: who proved a password there, from which port last, and until when that counts.
    """

    users: dict[str, tuple[Address, float]] = field(factory=dict)


class RequestLimits:
    """
    @param is_trusted: whether a source (an IP literal) is never limited: the white list, and the nodes of the cluster.
    @param on_ban: called with each new ban.
    @ivar banned: sources that are banned, as their buckets; C{banned_users} likewise, by C{user@domain}.
    @ivar bans_begun: how many there were: of an C{address}, a C{user}, a C{password} from one source.
    """

    def __init__(
        self,
        settings: LimitSettings = LimitSettings(),
        is_trusted: Callable[[str], bool] = lambda host: False,
        on_ban: Callable[[Ban], object] = lambda ban: None,
    ) -> None:
        self._settings, self._is_trusted, self._on_ban = settings, is_trusted, on_ban
        self._interval = _interval(settings.requests_per_address)
        self._user_interval = _interval(settings.requests_per_user)
        self._sources: dict[
            str, _Bucket
        ] = {}  # by host; the hosts of an IPv6 /64 share one, also listed under that
        self._users: dict[str, _Bucket] = {}
        self._proven: dict[Address, _Bucket] = {}
        self._guests: Counter[str] = Counter()  # proven addresses of each source
        self._pairs: dict[tuple[str, str], float] = {}  # (source, user name): bucket of wrong passwords
        self._shut_out: dict[tuple[str, str], float] = {}  # until when
        self.banned: dict[str, _Bucket] = {}
        self.banned_users: dict[str, _Bucket] = {}
        self.bans_begun: Counter[str] = Counter()

    def use(self, settings: LimitSettings) -> None:
        """Count by these from now on; bans that are in force go on."""
        self._settings = settings
        self._interval = _interval(settings.requests_per_address)
        self._user_interval = _interval(settings.requests_per_user)
        for bucket in [*self._sources.values(), *self.banned.values(), *self._users.values()]:
            bucket.interval = self._user_interval if bucket.user else self._interval

    def check(self, remote: Address, now: float) -> int:
        """Count one request; C{now} in seconds. L{ADMITTED}, L{BANNED} or L{BUSY}."""
        bucket = self._proven.get(remote)
        if bucket is None:
            bucket = self._sources.get(remote[0])
            if bucket is None:
                bucket = self._source(remote[0], now)
        due = bucket.due
        if due < now:  # noqa: PLR1730 - max() would cost half as much again as all the rest
            due = now
        due += bucket.interval
        if due - now <= BURST:
            bucket.due = due
            return ADMITTED
        return self._over(bucket, remote[0], now)

    def reserve(self, remote: Address, now: float) -> bool:
        """Count a request that is served in spite of a ban, as far as the reserve goes: of a dialog, of a user who comes back."""
        bucket = self._proven.get(remote) or self._source(remote[0], now)
        due = _from(bucket.reserve, now, BURST) + bucket.interval
        if due - now > BURST:
            return False
        bucket.reserve = due
        return True

    def shuns(self, host: str, now: float) -> bool:
        """Whether nothing at all from that source is served: it is banned, and no user ever proved a password from there."""
        key = source_of(host)
        bucket = self.banned.get(key)
        if bucket is None or self._guests[key]:
            return False
        if self._is_over(bucket, now):
            self._lift(bucket)
            return False
        return True

    def is_proven(self, remote: Address) -> bool:
        return remote in self._proven

    def returns(self, remote: Address, user: str) -> bool:
        """Whether that user proved a password from this source, perhaps from another port: a phone that was restarted."""
        key = source_of(remote[0])
        trunks = self._users.get(_trunks(key))
        if isinstance(trunks, _Trunks) and user in trunks.users:
            return True
        bucket = self._users.get(user)
        return bucket is not None and any(source_of(host) == key for host, _ in bucket.remotes)

    def left(self, remote: Address, now: float) -> float:
        """Seconds until the ban of that address ends."""
        bucket = self._proven.get(remote) or self._sources.get(remote[0])
        return 0.0 if bucket is None else max(0.0, bucket.until - now)

    # -- passwords

    def proved(self, remote: Address, user: str, now: float) -> None:
        """C{user}, as C{user@domain}, sent the right digest from there."""
        bucket = self._proven.get(remote)
        if bucket is None or (bucket.user and bucket.name != user):
            bucket = self._first_proof(remote, user, bucket)
        if bucket is not None:
            bucket.kept = now + self._settings.keep
            if isinstance(bucket, _Trunks):
                bucket.users.pop(user, None)  # the one who proved it last is the last to be forgotten
                bucket.users[user] = remote, bucket.kept
                if len(bucket.users) > USERS_OF_TRUNKS:
                    del bucket.users[next(iter(bucket.users))]

    def _first_proof(self, remote: Address, user: str, other: _Bucket | None) -> _Bucket | None:
        if self._is_trusted(remote[0]):
            return None
        if other is not None:
            # two users of one port are a trunk, another proxy or a load generator: what they send together counts as one
            # source. It is one for all such ports, or two accounts would have as many buckets as there are ports
            self._forget_proof(other, remote)
            name = _trunks(source_of(remote[0]))
            trunks = self._users.get(name)
            if not isinstance(trunks, _Trunks):
                trunks = _Trunks(name, self._interval)
            trunks.users[other.name] = remote, other.kept
            bucket: _Bucket = trunks
        else:
            name = user
            bucket = self._users.get(name) or _Bucket(name, self._user_interval, user=True)
        self._users[name] = bucket
        if len(bucket.remotes) >= (ADDRESSES_OF_USER if bucket.user else PORTS_OF_TRUNKS):
            self._forget_proof(bucket, next(iter(bucket.remotes)))
        if len(self._proven) >= MOST_PROVEN:
            oldest = next(iter(self._proven))
            self._forget_proof(self._proven[oldest], oldest)
        bucket.remotes[remote] = None
        self._proven[remote] = bucket
        self._guests[source_of(remote[0])] += 1
        return bucket

    def _forget_proof(self, bucket: _Bucket, remote: Address) -> None:
        del self._proven[remote], bucket.remotes[remote]
        key = source_of(remote[0])
        self._guests[key] -= 1
        if not self._guests[key]:
            del self._guests[key]

    def may_try(self, remote: Address, user: str, now: float) -> bool:
        """
        Whether another digest of that C{user@domain} from there is looked at.

        Who proved it before from that port keeps service; who did from another port of that source, for as many wrong
        passwords as the source may send: it may be the phone after a restart, or a neighbour who guesses.
        """
        if not self._shut_out or not self._is_shut_out(source_of(remote[0]), user, now):
            return True
        bucket = self._proven.get(remote)
        if isinstance(bucket, _Trunks):
            if user in bucket.users and bucket.users[user][0] == remote:
                return True
        elif bucket is not None and bucket.name == user:
            return True
        if not self._settings.wrong_passwords_per_address or not self.returns(remote, user):
            return False
        return not self._is_wrong_too_often(self._source(remote[0], now), now)

    def _is_shut_out(self, key: str, user: str, now: float) -> bool:
        return now < self._shut_out.get((key, user), 0.0) <= now + self._settings.guess_ban

    def _is_wrong_too_often(self, bucket: _Bucket, now: float) -> bool:
        most = self._settings.guess_ban
        return _from(bucket.wrong, now, most) - now > most - most / self._settings.wrong_passwords_per_address

    def failed(self, remote: Address, user: str, now: float) -> None:
        """A wrong digest, for a user who exists or not, came from there."""
        if self._is_trusted(remote[0]):
            return
        settings, key = self._settings, source_of(remote[0])
        if settings.wrong_passwords_per_user:
            each = settings.guess_ban / settings.wrong_passwords_per_user
            if len(self._pairs) >= MOST_PAIRS:
                self._pairs.clear()
            due = _fuller(self._pairs.get((key, user), 0.0), each, now, settings.guess_ban)
            self._pairs[key, user] = due
            if due - now > settings.guess_ban - each:
                is_new = not self._is_shut_out(key, user, now)
                self._shut_out[key, user] = now + settings.guess_ban
                if is_new:
                    self._told(Ban(f"{user} from {key}", "wrong passwords", settings.guess_ban), "password")
        if settings.wrong_passwords_per_address:
            each = settings.guess_ban / settings.wrong_passwords_per_address
            for bucket in (self._source(remote[0], now), self._proven.get(remote)):
                if bucket is not None:
                    bucket.wrong = _fuller(bucket.wrong, each, now, settings.guess_ban)
                    if self._is_wrong_too_often(bucket, now) and not bucket.until:
                        self._ban(bucket, "wrong passwords", now, settings.guess_ban)

    def refused_number(self, remote: Address, now: float) -> None:
        """
        A call to a number was refused to who is there: a user who proved himself, else the source.

        To be told of what cannot be forged alone, else anybody could have anybody banned.
        """
        settings = self._settings
        if not settings.refused_numbers or self._is_trusted(remote[0]):
            return
        bucket = self._proven.get(remote) or self._source(remote[0], now)
        each = settings.guess_ban / settings.refused_numbers
        bucket.refused = _fuller(bucket.refused, each, now, settings.guess_ban)
        if bucket.refused - now > settings.guess_ban - each and not bucket.until:
            self._ban(bucket, "calls to numbers without permission", now, settings.guess_ban)

    # -- bans

    def bans(self, now: float) -> Iterator[Ban]:
        """All bans in force."""
        for bucket in [*self.banned.values(), *self.banned_users.values()]:
            if bucket.until > now:
                yield Ban(bucket.name, bucket.reason, bucket.until - now)
        for (key, user), until in self._shut_out.items():
            if until > now:
                yield Ban(f"{user} from {key}", "wrong passwords", until - now)

    def lift(self, who: str) -> bool:
        """End a ban, named as L{bans} names it; whether there was one."""
        bucket = self.banned.get(who) or self.banned_users.get(who)
        if bucket is not None:
            self._lift(bucket)
            bucket.wrong = bucket.refused = 0.0
            return True
        user, _, key = who.rpartition(" from ")
        self._pairs.pop((key, user), None)
        return self._shut_out.pop((key, user), None) is not None

    def _over(self, bucket: _Bucket, host: str, now: float) -> int:
        if bucket.until:
            if self._is_over(bucket, now):
                self._lift(bucket)
                return ADMITTED
        elif bucket.due > now + BURST:  # more than it ever holds: the clock was put back
            bucket.due = now
            return ADMITTED
        elif bucket.remotes or not self._is_trusted(host):
            self._ban(bucket, "too many requests", now, self._settings.ban)
        else:
            bucket.due = now
            return ADMITTED
        return BUSY if bucket.remotes else BANNED

    def _is_over(self, bucket: _Bucket, now: float) -> bool:
        """Whether a ban has ended, or would last longer than any does because the clock was put back."""
        return not now < bucket.until <= now + max(self._settings.ban, self._settings.guess_ban)

    def _ban(self, bucket: _Bucket, reason: str, now: float, seconds: float) -> None:
        bucket.due, bucket.until, bucket.reason = _NEVER, now + seconds, reason
        known = bool(bucket.remotes)
        (self.banned_users if known else self.banned)[bucket.name] = bucket
        self._told(Ban(bucket.name, reason, seconds), "user" if known else "address")

    def _told(self, ban: Ban, kind: str) -> None:
        self.bans_begun[kind] += 1
        self._on_ban(ban)

    def _lift(self, bucket: _Bucket) -> None:
        bucket.due = bucket.until = 0.0
        self.banned.pop(bucket.name, None)
        self.banned_users.pop(bucket.name, None)

    # -- memory

    @property
    def remembered(self) -> int:
        """Sources, users, addresses and wrong passwords that are kept."""
        return len(self._sources) + len(self._users) + len(self._proven) + len(self._pairs)

    def _source(self, host: str, now: float) -> _Bucket:
        known = self._sources.get(host)
        if known is not None:
            return known
        key = source_of(host)
        bucket = self.banned.get(key) or self._sources.get(key)
        if len(self._sources) >= MOST_SOURCES:
            self._forget_sources(now)
            if len(self._sources) > MOST_SOURCES // 2:
                # a flood from everywhere: no count of a single source would help against it, and bans are in another dict
                self._sources = dict(self.banned)
        if bucket is None:
            bucket = _Bucket(key, self._interval)
        self._sources[key] = self._sources[host] = bucket
        return bucket

    def _forget_sources(self, now: float) -> None:
        self._sources = {
            host: bucket
            for host, bucket in self._sources.items()
            if bucket.due > now or bucket.wrong > now or bucket.refused > now
        }

    def sweep(self, now: float) -> None:
        """Forget what counts no more; to be called every few seconds."""
        for bucket in [
            b for b in [*self.banned.values(), *self.banned_users.values()] if self._is_over(b, now)
        ]:
            self._lift(bucket)
        self._forget_sources(now)
        for bucket in [b for b in self._users.values() if b.kept <= now]:
            for remote in list(bucket.remotes):
                self._forget_proof(bucket, remote)
            self._lift(bucket)
            del self._users[bucket.name]
        for bucket in [b for b in self._users.values() if isinstance(b, _Trunks)]:
            for user in [user for user, (_, kept) in bucket.users.items() if kept <= now]:
                del bucket.users[user]
        for table in (self._pairs, self._shut_out):
            for pair in [pair for pair, due in table.items() if due <= now]:
                del table[pair]


def _from(due: float, now: float, most: float) -> float:
    """When a bucket is full again that was last left at C{due}; one that is more than empty is of a clock that was put back."""
    return due if now < due <= now + most else now


def _fuller(due: float, each: float, now: float, most: float) -> float:
    """When a bucket is full again after one more; never beyond C{most}, which would look like a clock that was put back."""
    return min(_from(due, now, most) + each, now + most)


def _trunks(key: str) -> str:
    """The name of the bucket of all trunks of a source, which is no C{user@domain}."""
    return f"trunks at {key}"


def _interval(rate: float) -> float:
    return 1.0 / rate if rate else 0.0
