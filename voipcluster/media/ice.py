"""
The relay as an ICE agent that only answers (RFC 8445 section 2.5, "lite"): one agent a side of a call. It has one host
candidate a port, sends no checks, and learns from those of the other side where media goes.
"""

from __future__ import annotations

from typing import NamedTuple

from attrs import define, field, frozen

from voipcluster.errors import ParseError
from voipcluster.media import stun
from voipcluster.media.latch import Accept, Aim, Arrived, Effect, Guard, State
from voipcluster.media.rtp import Kind
from voipcluster.media.target import Address

# RFC 8445 section 5.1.2.1: type preference 126 (host), local preference 65535 (one address), 256 - component
_PRIORITY = (126 << 24) + (65535 << 8) + 256
FRESH = 6.0  # seconds: a nominated pair is checked more often than that (RFC 7675 section 5.1: 5 s at most)
_SOURCES = 8  # of one side and component that are remembered; a phone has one for each of its interfaces
_GENERATIONS = 4  # of user name fragments: forks, and restarts


@frozen
class Credentials:
    """C{ufrag} and C{password} are of ice-chars (RFC 8839 section 5.4)."""

    ufrag: str
    password: str

    def attributes(self) -> list[bytes]:
        return [b"a=ice-ufrag:" + self.ufrag.encode("ascii"), b"a=ice-pwd:" + self.password.encode("ascii")]


def candidates(host: str, ports: tuple[int, ...]) -> list[bytes]:
    """C{a=candidate} lines for our ports, RTP first (RFC 8839 section 5.1)."""
    return [
        f"a=candidate:1 {component} UDP {_PRIORITY - component} {host} {port} typ host".encode("ascii")
        for component, port in enumerate(ports, 1)
    ]


@define
class Agent:
    """
    What the relay told one side of a call.

    @ivar former: before the side restarted ICE; good until it does again (RFC 8445 section 9).
    """

    current: Credentials
    former: Credentials | None = None

    def renew(self, credentials: Credentials) -> None:
        self.former, self.current = self.current, credentials

    def roll_back(self) -> None:
        """The offer that restarted came to nothing."""
        if self.former is not None:
            self.current, self.former = self.former, self.current

    def password(self, ufrag: str) -> bytes | None:
        for known in (self.current, self.former):
            if known is not None and known.ufrag == ufrag:
                return known.password.encode("ascii")
        return None


@frozen
class Checked:
    """Event: a check with our password came from C{source}."""

    source: Address
    ufrag: str
    priority: int
    nominates: bool


def answer(agent: Agent, datagram: bytes, source: Address) -> tuple[bytes | None, Checked | None]:
    """
    What is said to a STUN message, and the check that it was (RFC 8445 section 7.3).

    Silence for whatever is no request for this call: the relay is no STUN server for everybody, and there is nothing to
    be won for who forges sources. So is a response or an indication, since we ask nothing.
    """
    try:
        message = stun.read_stun(datagram)
    except ParseError:
        return None, None
    names = message.attributes.get(stun.USERNAME, b"").decode("ascii", "replace").split(":")
    password = agent.password(names[0]) if len(names) == 2 else None
    if message.kind != stun.BINDING_REQUEST or password is None:
        return None, None
    transaction, attributes = message.transaction, message.attributes
    if not message.made_with(password):
        return stun.failure(transaction, 401, None), None
    unknown = message.unknown()
    if unknown:
        return stun.failure(transaction, 420, password, unknown), None
    if stun.ICE_CONTROLLED in attributes:  # who faces a lite agent controls (RFC 8445 section 6.1.1)
        return stun.failure(transaction, 487, password), None
    priority = attributes.get(stun.PRIORITY, b"")
    if len(priority) != 4:
        return stun.failure(transaction, 400, password), None
    check = Checked(
        source, names[1], int.from_bytes(priority, "big"), nominates=stun.USE_CANDIDATE in attributes
    )
    return stun.success(transaction, source.host, source.port, password), check


class _Pair(NamedTuple):
    """A source that passed a check; C{at}: seconds, when it last did."""

    priority: int
    nominated: bool
    at: float


@define
class IceLatch:
    """
    One port that faces an ICE agent: media goes to the source that the agent nominated, and is taken from there alone
    (attack M6: DTLS only from where a check came from).

    An agent that nominates one pair after the other (RFC 8445 section 8.1.1) and one that nominates all of them (RFC
    5245) look alike at first: the one with the highest priority among those whose last check nominated counts.

    @ivar ufrag: of the agent whose description is in force.
    @ivar remote: L{None} until something is nominated.
    @ivar checked: see L{Latch}.
    """

    checked: bool = True
    ufrag: str = ""
    remote: Address | None = None
    signalled: Address | None = None
    _pairs: dict[str, dict[Address, _Pair]] = field(factory=dict)

    @property
    def state(self) -> State:
        return State.OPEN if self.remote is None else State.LATCHED

    def expect(self, ufrag: str, signalled: Address | None, now: float) -> list[Effect]:
        """
        Event: a description of that agent comes into force.

        What was nominated before stays until the agent has nominated something (RFC 8445 section 9).
        """
        self.ufrag, self.signalled = ufrag, signalled
        return self._select(now) or [Aim(None) if self.remote is None else Guard(self.remote)]

    def heard(self, check: Checked, now: float) -> list[Effect]:
        """Event: a good check. One that comes before its agent's description is remembered for it."""
        pairs = self._pairs.get(check.ufrag)
        if pairs is None:
            if len(self._pairs) == _GENERATIONS:
                del self._pairs[next(name for name in self._pairs if name != self.ufrag)]
            pairs = self._pairs[check.ufrag] = {}
        if check.source not in pairs and len(pairs) == _SOURCES:
            del pairs[min(pairs, key=lambda source: pairs[source].at)]
        pairs[check.source] = _Pair(check.priority, check.nominates, now)
        return self._select(now) if check.ufrag == self.ufrag else []

    def arrived(self, event: Arrived) -> list[Effect]:
        """Event: a datagram that is no STUN."""
        if event.source != self.remote or (self.checked and event.kind is Kind.OTHER):
            return []
        return [Accept()]

    def _select(self, now: float) -> list[Effect]:
        nominated = [
            (pair.priority, pair.at, source)
            for source, pair in self._pairs.get(self.ufrag, {}).items()
            if pair.nominated and now - pair.at < FRESH
        ]
        if not nominated or (best := max(nominated)[2]) == self.remote:
            return []
        self.remote = best
        return [Guard(best)]
