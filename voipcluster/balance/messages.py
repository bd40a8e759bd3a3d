"""
The other messages of the cluster link, as frozen values; L{voipcluster.balance.codec} turns each into a dict and back.

Each message names its sender's node, boot epoch and sequence number, so that a receiver can drop what is old.
"""

from __future__ import annotations

from attrs import field, frozen


@frozen(slots=True, kw_only=True)
class Member:
    """
    One node of the cluster, as the primary lists it.

    @ivar role: C{primary} or C{secondary}.
    @ivar address: an IP literal: where it listens for SIP.
    @ivar port: of the cluster link at that address.
    @ivar epoch: its latest start that is known.
    @ivar state: a L{NodeState} value, as last heard.
    """

    name: str
    role: str
    address: str
    port: int = 8787
    epoch: int = 0
    state: str = "unknown"


@frozen(slots=True, kw_only=True)
class Membership:
    """Who belongs to the cluster, in the order of joining. C{seq} counts the changes of the list."""

    node: str
    epoch: int
    seq: int
    nodes: tuple[Member, ...] = ()


@frozen(slots=True, kw_only=True)
class Binding:
    """
    One binding of the location service (RFC 3261 section 10), held by C{node} of C{epoch}, which owns the client's flow.

    A removed one is told by the node that removed it, whoever owned the flow; it names the state that it ends.

    @ivar aor: canonical C{user@domain}.
    @ivar contact: the Contact URI.
    @ivar path: Path URIs (RFC 3327), nearest proxy first.
    @ivar expires: seconds left; 0 removes the binding.
    @ivar age: seconds since the REGISTER that it speaks of, the one that removed it when it was removed by one: an old copy
        never wins over a newer one. -1 from a node that does not tell.
    @ivar received: where the REGISTER came from, C{udp:192.0.2.1:5060}.
    @ivar flow: the flow token (RFC 5626 section 5.2) with which C{node} finds the client's connection.
    @ivar instance: C{+sip.instance} without quotes, or empty; C{reg_id} (RFC 5626 section 4.2) is 0 when absent.
    """

    node: str
    epoch: int
    seq: int
    aor: str
    contact: str
    path: tuple[str, ...] = ()
    expires: int
    q: float = 1.0
    call_id: str
    cseq: int
    user_agent: str = ""
    received: str = ""
    flow: str = ""
    instance: str = ""
    reg_id: int = 0
    age: float = -1.0


@frozen(slots=True, kw_only=True)
class Bindings:
    """
    Many bindings in one message, for a node that joins or comes back.

    @ivar complete: C{items} are the last ones of all that C{node} holds: what it did not name is gone.
    """

    node: str
    epoch: int
    seq: int
    items: tuple[Binding, ...] = ()
    complete: bool = False


@frozen(slots=True, kw_only=True)
class Ha1:
    """H(A1) of a user for one digest algorithm (RFC 7616 section 3.4.2), in lower-case hex; a secret."""

    algorithm: str
    ha1: str = field(repr=False)


@frozen(slots=True, kw_only=True)
class Preference:
    """One thing that a user wants (L{voipcluster.sip.preferences}); in a change an empty text ends it."""

    name: str
    text: str = ""


@frozen(slots=True, kw_only=True)
class Account:
    """
    One user.

    @ivar new: to the primary: only if there is none yet; L{False} in what is kept.
    @ivar removed: the account exists no more.
    @ivar version: of two states of it the one with the greater counts: microseconds since 1970, or more where it was changed
        twice within one. 0 from a node that does not tell.
    @ivar preferences: all that he has, when the primary tells of the account; it leaves them alone when it is told of one.
    """

    username: str
    domain: str
    ha1: tuple[Ha1, ...] = ()
    disabled: bool = False
    removed: bool = False
    preferences: tuple[Preference, ...] = ()
    version: int = 0
    new: bool = False


@frozen(slots=True, kw_only=True)
class PreferenceChange:
    """What a user wants otherwise from now on; told to the primary."""

    username: str
    domain: str
    items: tuple[Preference, ...] = ()


@frozen(slots=True, kw_only=True)
class Accounts:
    """Accounts as the primary has them. C{complete}: what is not named does not exist."""

    node: str
    epoch: int
    seq: int
    items: tuple[Account, ...] = ()
    complete: bool = False


@frozen(slots=True, kw_only=True)
class Way:
    """Patterns of who may call whom in one direction of a gateway (L{voipcluster.gateway.permission})."""

    callers: tuple[str, ...] = ("*",)
    numbers: tuple[str, ...] = ("*",)


TO_USERS, ANYTHING = Way(numbers=("users",)), Way()
NOT_ALIVE = (408, 503)


@frozen(slots=True, kw_only=True)
class StoredGateway:
    """
    A gateway of the database, with the options of C{[[gateway]]} as they are written there. C{removed}: it is none any more.

    @ivar password: ours at the gateway, a secret.
    @ivar switch: it is a gateway of the file, and only C{enabled} counts.
    @ivar version: and C{new}: as those of an L{Account}.
    """

    name: str
    kind: str = "voip"
    servers: tuple[str, ...] = ()
    transport: str = "udp"
    sources: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    username: str = ""
    behind: tuple[str, ...] = ()
    registrar: str = ""
    auth_user: str = ""
    password: str = field(default="", repr=False)
    aor: str = ""
    contact_user: str = ""
    realm: str = ""
    probe: float = 5.0
    not_alive: tuple[int, ...] = NOT_ALIVE
    channels: int = 0
    calls_per_minute: int = 0
    minutes_per_day: int = 0
    hours: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()
    incoming: Way = TO_USERS
    outgoing: Way = ANYTHING
    trusted: bool = False
    enabled: bool = True
    switch: bool = False
    removed: bool = False
    version: int = 0
    new: bool = False


@frozen(slots=True, kw_only=True)
class StoredGateways:
    """Gateways of the database as the primary has them. C{complete}: what is not named does not exist."""

    node: str
    epoch: int
    seq: int
    items: tuple[StoredGateway, ...] = ()
    complete: bool = False


@frozen(slots=True, kw_only=True)
class PagePassword:
    """
    The password of the web pages, as it is kept (L{voipcluster.web.passwords}); a secret. C{removed}: there is none any more.

    @ivar name: always C{web}: there is one.
    """

    name: str = "web"
    kept: str = field(default="", repr=False)
    removed: bool = False


@frozen(slots=True, kw_only=True)
class PagePasswords:
    """The password of the web pages, or that there is none; nothing while nobody has said either."""

    node: str
    epoch: int
    seq: int
    items: tuple[PagePassword, ...] = ()
    complete: bool = False


@frozen(slots=True, kw_only=True)
class Drain:
    """
    An order to C{target}: take nothing new (C{on}) or take part again.

    @ivar stop: end the process when no call is left.
    """

    node: str
    epoch: int
    seq: int
    target: str
    on: bool = True
    stop: bool = False


@frozen(slots=True, kw_only=True)
class Call:
    """
    A call in progress, for people (C{voipctl calls}).

    @ivar caller: and C{callee}: addresses of record or URIs.
    @ivar node: where it is served; C{ingress}: the node that the client sent it to.
    @ivar state: a word: C{ringing}, C{up}, C{ending}.
    @ivar started: and C{answered}: seconds since 1970; 0 when not yet.
    @ivar source: the client's true address and port, C{192.0.2.1:5060}; C{transport} in upper case.
    @ivar user: who authenticated, or empty.
    @ivar visited: the nodes that handed it on.
    @ivar relayed: its media goes through the relay of C{node}.
    """

    call_id: str
    caller: str
    callee: str
    node: str
    ingress: str = ""
    state: str = ""
    started: float = 0.0
    answered: float = 0.0
    source: str = ""
    transport: str = ""
    user: str = ""
    visited: tuple[str, ...] = ()
    relayed: bool = False
    packets: int = 0


@frozen(slots=True, kw_only=True)
class Calls:
    """Some of the calls of C{node}. C{more}: not all of them are in this message."""

    node: str
    epoch: int
    seq: int
    items: tuple[Call, ...] = ()
    more: bool = False


@frozen(slots=True, kw_only=True)
class Tally:
    """What a node has counted under one key; 0: nothing any more."""

    key: str
    count: int = 0


@frozen(slots=True, kw_only=True)
class Tallies:
    """Counts of C{node}. C{complete}: they are the last ones of all that it has."""

    node: str
    epoch: int
    seq: int
    items: tuple[Tally, ...] = ()
    complete: bool = False
