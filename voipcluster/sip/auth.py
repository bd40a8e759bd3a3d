"""
Who sent this request: stateless signed nonces and the check of digest credentials (RFC 3261 section 22, RFC 7616, RFC 8760).

A nonce is C{time, random bits} sealed for one node and one start of it, so that a flood of challenges costs no memory. What is
remembered is the nonce counts of nonces that proved a password. They are known to that node only, so an answer that somebody has
overheard is good nowhere else, and not after a restart: there the client gets C{stale=true}, which costs it one more round trip
and its user nothing. A request that is handed over within the cluster is not challenged again.

A nonce is also good for one source only, and no password is looked at without a good nonce. So who answered a challenge was where
it went: wrong passwords can be counted against a source, without anybody being able to forge them for somebody else.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import field, frozen

from voipcluster.errors import ParseError, PeerError, UsageError
from voipcluster.seal import Sealer
from voipcluster.sip import digest

RANDOM_SIZE: Final = 8  # octets of a nonce that make it unpredictable; the seal adds 128 bits
MAX_ANSWERS: Final = 4  # credentials of our realm looked at in one request
WINDOW: Final = 64  # nonce counts behind the highest one that may still arrive
SKEW: Final = 60.0  # seconds that the clocks of two nodes may differ

_TIME = struct.Struct(">Q")  # milliseconds


@frozen
class Credentials:
    """
    What is known of one account.

    @ivar ha1: hexadecimal C{H(username:realm:password)} by algorithm, see L{digest.ALGORITHMS}.
    """

    username: str
    domain: str
    ha1: Mapping[str, str] = field(repr=False)


@frozen
class Accepted:
    """The request is from this user; C{line_index} counts the lines handed to C{check}, for the caller to drop it."""

    username: str
    domain: str
    line_index: int


@frozen
class Rejected:
    """
    The request is to be challenged.

    @ivar stale: the nonce was not good, so that nothing is said of the password (RFC 7616 section 3.3), or the password was right
        and the nonce count was not: a client retries without asking its user.
    @ivar reason: for logs, never for the peer.
    @ivar guessed: credentials of our realm were wrong, with a nonce that went to this source; counts against it (password
        guessing).
    @ivar username: whose they were then.
    """

    stale: bool
    reason: str
    guessed: bool = False
    username: str = field(default="", eq=False)


Lookup = Callable[
    [str, str], Credentials | None
]  # (username, realm); must take the same time for unknown users


class NonceCounts:
    """
    Which nonce counts were seen (RFC 7616 section 3.4: the same one twice is a replay).

    Requests over UDP overtake each other, so a count may be up to L{WINDOW} behind the highest one, but none is accepted
    twice. At most C{size} nonces are kept. One that is pushed out takes all older unknown ones with it (C{floor}), so that
    forgetting never lets a replay in: their clients get C{stale=true} and a new nonce.
    """

    def __init__(self, size: int, lifetime: float) -> None:
        self._size, self._lifetime = size, lifetime
        self._seen: OrderedDict[str, tuple[float, int, int]] = (
            OrderedDict()
        )  # issued, highest, bits behind it
        self._floor = float("-inf")

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, nonce: str, issued: float, count: int, now: float) -> bool:
        """Whether the count is fresh; it is noted then. C{issued} and C{now} in seconds."""
        self._forget(now)
        known = self._seen.get(nonce)
        if known is None:
            if issued <= self._floor:
                return False
            if len(self._seen) >= self._size:
                _, (oldest, _, _) = self._seen.popitem(last=False)
                self._floor = max(self._floor, oldest)
                if issued <= self._floor:
                    return False
            self._seen[nonce] = issued, count, 1
            return True
        _, highest, bits = known
        if count > highest:
            bits = ((bits << min(count - highest, WINDOW)) | 1) & ((1 << WINDOW) - 1)
            self._seen[nonce] = issued, count, bits
            return True
        behind = highest - count
        if behind >= WINDOW or bits >> behind & 1:
            return False
        self._seen[nonce] = issued, highest, bits | 1 << behind
        return True

    def live_for(self, lifetime: float, now: float) -> None:
        """Nonces live so long from now on; what was forgotten under a shorter time stays so."""
        self._floor = max(self._floor, now - self._lifetime - SKEW)
        self._lifetime = lifetime

    def _forget(self, now: float) -> None:
        while self._seen:
            nonce = next(iter(self._seen))
            if self._seen[nonce][0] + self._lifetime + SKEW >= now:
                return
            del self._seen[nonce]


def nonce_sealer(cluster_key: bytes, node: str, epoch: int) -> Sealer:
    """What seals the nonces of one start of a node (its C{epoch})."""
    return Sealer(cluster_key, f"nonce {node} {epoch}".encode())


class Authenticator:
    """
    Challenges, and checks the answers to them. Times are unix seconds.

    @param sealer: see L{nonce_sealer}.
    @param algorithms: offered and accepted ones, the preferred one first (RFC 8760 section 2.3).
    @param nonce_lifetime: seconds until a nonce is stale.
    @param size: nonces whose count is kept.
    """

    def __init__(
        self,
        sealer: Sealer,
        algorithms: Sequence[str] = digest.ALGORITHMS,
        nonce_lifetime: float = 300.0,
        size: int = 50_000,
    ) -> None:
        self._sealer, self._lifetime = sealer, nonce_lifetime
        self._counts = NonceCounts(size, nonce_lifetime)
        self._offer(algorithms)

    def _offer(self, algorithms: Sequence[str]) -> None:
        if not algorithms or any(name not in digest.ALGORITHMS for name in algorithms):
            raise UsageError(f"digest algorithms are of {', '.join(digest.ALGORITHMS)}, not {algorithms!r}")
        self._algorithms = tuple(algorithms)
        # an unknown user costs the same hashes as a wrong password (RFC 7616 section 5.7)
        self._nobody = {name: digest.digest(name, b"") for name in self._algorithms}

    def use(self, algorithms: Sequence[str], nonce_lifetime: float, now: float) -> None:
        """Challenge with these from now on; nonces that are out are good as long as that says."""
        self._offer(algorithms)
        self._lifetime = nonce_lifetime
        self._counts.live_for(nonce_lifetime, now)

    @property
    def nonces_kept(self) -> int:
        return len(self._counts)

    def challenges(
        self,
        realm: str,
        now: float,
        random_bits: bytes,
        stale: bool = False,
        only_md5: bool = False,
        source: str = "",
    ) -> list[str]:
        """
        One WWW-Authenticate or Proxy-Authenticate value for each algorithm, one line each.

        @param random_bits: L{RANDOM_SIZE} random octets or more, never used twice.
        @param only_md5: offer nothing else, if it is one of ours: for clients that give up at the sight of another one.
        @param source: whom the nonce is good for, as of L{check}; empty for those who need none.
        """
        assert len(random_bits) >= RANDOM_SIZE, "a nonce needs random bits"
        payload = _TIME.pack(int(now * 1000)) + random_bits[:RANDOM_SIZE]
        nonce = self._sealer.seal(payload, source.encode())
        return [
            str(digest.Challenge(realm, nonce, name, ("auth",), None, stale))
            for name in (("MD5",) if only_md5 and "MD5" in self._algorithms else self._algorithms)
        ]

    def check(
        self,
        method: str,
        values: Sequence[str],
        realm: str,
        now: float,
        lookup: Lookup,
        uri_ok: Callable[[str], bool] = lambda uri: True,
        source: str = "",
    ) -> Accepted | Rejected:
        """
        Check the credentials of one request; ACK and CANCEL are never checked (RFC 3261 section 22.1), see to it before.

        Credentials of other realms, of other schemes and broken ones are as if they were not there. Those without qop
        (RFC 2069) are accepted once for each nonce.

        @param values: the Authorization (registrar, user agent) or Proxy-Authorization (proxy) values, one for each line.
        @param uri_ok: whether the credentials' C{uri}, which may differ from the Request-URI, names something we serve.
        @param source: where the request comes from, see L{voipcluster.address.source_of}.
        """
        refusal = Rejected(False, "no credentials of this realm")
        looked_at = 0
        for index, value in enumerate(values):
            try:
                given = digest.parse_answer(value)
            except ParseError:
                continue
            if given.realm != realm:
                continue
            if looked_at == MAX_ANSWERS:
                break
            looked_at += 1
            result = self._check_one(given, method, now, lookup, uri_ok, source, index)
            if isinstance(result, Accepted):
                return result
            if looked_at == 1 or (result.stale and not refusal.stale):
                refusal = result
        return refusal

    def _check_one(
        self,
        given: digest.DigestAnswer,
        method: str,
        now: float,
        lookup: Lookup,
        uri_ok: Callable[[str], bool],
        source: str,
        index: int,
    ) -> Accepted | Rejected:
        if given.algorithm not in self._algorithms or given.qop not in ("auth", None):
            return Rejected(False, f"algorithm {given.algorithm!r} or qop {given.qop!r} was not offered")
        if not uri_ok(given.uri):
            return Rejected(False, f"credentials for {given.uri[:80]!r}")
        # before the password, which would be guessed for nothing if "stale" told that only the nonce was wrong
        issued = self._issued(given.nonce, source)
        if issued is None:
            return Rejected(True, "a nonce that is not ours, or of another source")
        if not -SKEW <= now - issued <= self._lifetime:
            return Rejected(True, "the nonce expired")
        account = lookup(given.username, given.realm)
        known = account.ha1.get(given.algorithm) if account is not None else None
        proved = digest.proves(given, self._nobody[given.algorithm] if known is None else known, method)
        if account is None or known is None or not proved:
            return Rejected(False, "wrong user name or password", guessed=True, username=given.username)
        # without qop there is no count: such a nonce is good for one request
        if not self._counts.note(given.nonce, issued, given.count, now):
            return Rejected(True, "the nonce count was used before")
        return Accepted(account.username, account.domain, index)

    def _issued(self, nonce: str, source: str) -> float | None:
        """When a nonce of ours for that source was made, in unix seconds; L{None} when it is not one."""
        try:
            payload = self._sealer.open(nonce, source.encode())
        except PeerError:
            return None
        if len(payload) != _TIME.size + RANDOM_SIZE:
            return None
        milliseconds: int = _TIME.unpack_from(payload)[0]
        return milliseconds / 1000
