"""What a registrar grants, to whom, and what it answers: the values of one REGISTER (RFC 3261 section 10.3)."""

from __future__ import annotations

from enum import Enum, auto

from attrs import frozen

from voipcluster.address import TCP, TLS, UDP, Flow
from voipcluster.errors import PeerError
from voipcluster.sip.location import Binding


@frozen
class Settings:
    """
    What the registrar grants.

    @ivar min_expires: seconds; less is answered with 423. C{max_expires}: more is cut to it.
    @ivar default_expires: seconds, when the client names none.
    @ivar bindings_per_aor: contacts that one address of record may have at a time.
    @ivar require_path_support: answer a Path that the client has no C{Supported: path} for with 420 (RFC 3327 section 5.3
        recommends it; by default it is accepted, for few phones name it).
    @ivar outbound: promise RFC 5626 to clients that ask for it; the binding's key follows its section 6 in any case.
    @ivar flow_timer: seconds in which a client of outbound is to send something over TCP or TLS (RFC 5626 section 4.4), 0: it is
        not told. Over UDP it is left to send STUN every 24 to 29 s, for a NAT holds its port no longer; a browser sends none.
    @ivar gruu: give GRUUs to clients that ask for them (RFC 5627).
    @ivar shorten: share of the time asked for that is not granted, though C{min_expires} always is: with another share for each
        client those who came together do not come together again.
    """

    min_expires: int = 60
    max_expires: int = 3600
    default_expires: int = 3600
    bindings_per_aor: int = 10
    require_path_support: bool = False
    outbound: bool = True
    flow_timer: int = 0
    gruu: bool = True
    shorten: float = 0.0

    @property
    def extensions(self) -> tuple[str, ...]:
        """The option tags that we support."""
        return ("path", *(("outbound",) if self.outbound else ()), *(("gruu",) if self.gruu else ()))


@frozen
class Source:
    """
    Where a REGISTER came from: what its bindings say of the way back.

    @ivar node: the node that owns the client's flow, C{flow_token} names the flow to it.
    @ivar flow: when it is a flow of this process. C{remote}: the client's own address as text, for people. C{host}: its IP
        literal; when it is empty every contact is the client's own.
    @ivar first_hop: no proxy outside the cluster is between the client and us. C{transport}: of the client.
    """

    node: str
    flow_token: str = ""
    flow: Flow | None = None
    remote: str = ""
    first_hop: bool = True
    transport: str = UDP
    host: str = ""

    @property
    def watched(self) -> bool:
        """Whether we notice that the client sends no keep-alives: over a connection of this process that is its own."""
        return self.flow is not None and self.transport in (TCP, TLS) and self.first_hop


class Kind(Enum):
    ADDED = auto()
    REFRESHED = auto()
    REMOVED = auto()


@frozen
class Change:
    kind: Kind
    binding: Binding


@frozen
class RegisterResult:
    """
    The answer to a REGISTER, and what it changes: all of it or, with a status above 299, nothing.

    @ivar headers: (key, value) to go with the response, one line each.
    @ivar flow_timer: seconds in which the client has been told to send something over its connection, 0: it was not.
    """

    status: int
    reason: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    changes: tuple[Change, ...] = ()
    flow_timer: int = 0


class Refused(PeerError):
    """An answer other than 200; C{headers} go with it."""

    def __init__(self, status: int, reason: str | None = None, *headers: tuple[str, str]) -> None:
        super().__init__(reason or str(status), status)
        self.reason, self.headers = reason, headers
