"""Every option with its default, its range and a line of explanation, as F{etc/voipcluster.toml} shows them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import NamedTuple

from attrs import Attribute, Factory, fields, frozen

from voipcluster.config.allowance import AllowanceOptions
from voipcluster.config.kinds import (
    NODE_NAME,
    POLICY_NAME,
    Address,
    BindAddress,
    Choice,
    DatabaseUrl,
    Domain,
    FilePath,
    Flag,
    HttpUrl,
    JoinToken,
    Kind,
    NameServer,
    Network,
    Number,
    Octets,
    Origin,
    Path,
    Ports,
    Rate,
    Whole,
    Words,
    kind_of,
    option,
)
from voipcluster.config.numbers import NumbersOptions
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.rates import RateTable
from voipcluster.gateway.routing import Route

POLICIES = ("planned", "sequence", "least-loaded", "two-choices")
MODES = ("forward", "redirect", "auto")
RELAYS = ("auto", "kernel", "userspace", "off")
ICE = ("relay", "pass", "remove")
ROLES = ("primary", "secondary")
ALGORITHMS = ("SHA-256", "MD5")


@frozen
class ClusterOptions:
    """Options of the whole cluster; the same on every node."""

    domain: tuple[str, ...] = option(
        ("example.com",),
        Words(Domain(), 'domains such as "example.com"', 1),
        "SIP domains that this cluster serves",
    )
    threshold: float = option(
        0.75, Number(0, 1, above=True), "workload (0..1) above which a node hands new requests on"
    )
    hard_limit: float = option(
        0.95, Number(0, 1, above=True), "workload above which it refuses what nobody else takes"
    )
    mode: str = option(
        "forward", Choice(MODES), "forward | redirect | auto: how a client gets to the chosen node"
    )
    policy: str = option(
        "planned",
        POLICY_NAME,
        "planned | sequence | least-loaded | two-choices | a plugin's name",
    )
    sequence: tuple[str, ...] = option(
        (), Words(NODE_NAME, "node names"), 'node names, for policy = "sequence"; [] = order of joining'
    )
    period: float = option(1.0, Number(0, 3600, "s", above=True), "s between workload reports")
    hop_budget: int = option(2, Whole(0, 16), "how many times one request may be handed on")
    step: float = option(
        0.02, Number(0, 1, above=True), "a workload that moved by more than this is reported at once"
    )
    slow_start: float = option(
        5.0,
        Number(0, 3600, "s"),
        "s in which a node that has started doubles what it takes, from a tenth of its share on; 0 = all at once",
    )
    port: int = option(8787, Whole(1, 65535), "TCP port of the link between the nodes (TLS)")


@frozen
class LimitsOptions:
    """What one node takes; the first five are the scale of its workload, the others protect it (F{docs/security.md})."""

    calls: int = option(2000, Whole(1, 10_000_000), "calls in progress that count as workload 1.0")
    registrations_per_user: int = option(10, Whole(1, 10_000), "bindings of one user at the same time")
    transactions: int = option(20_000, Whole(1, 10_000_000), "SIP transactions that count as workload 1.0")
    packets_per_second: int = option(
        50_000, Whole(1, 100_000_000), "relayed RTP packets per second that count as workload 1.0"
    )
    memory: int = option(
        2 << 30,
        Octets(64 << 20, 1 << 50),
        'octets of memory that count as workload 1.0; "2G" is the same as 2147483648',
    )
    message_size: int = option(65_535, Octets(1500, 1 << 24), "octets of one SIP message")
    header_lines: int = option(256, Whole(32, 10_000), "header lines of one SIP message")
    connections: int = option(10_000, Whole(1, 1_000_000), "SIP connections at the same time")
    connections_per_address: int = option(
        200, Whole(1, 1_000_000), "SIP connections of one address at the same time"
    )
    registrations: int = option(
        200_000, Whole(0, 100_000_000), "bindings of all users at the same time; 0 = any number"
    )
    unanswered_calls_per_user: int = option(
        50, Whole(0, 1_000_000), "calls of one user that ring at the same time; 0 = any number"
    )
    unanswered_calls_per_address: int = option(
        200, Whole(0, 1_000_000), "the same for callers of one address who are no users of ours"
    )
    unanswered_requests_per_address: int = option(
        200,
        Whole(0, 1_000_000),
        "requests other than INVITE of one address that wait for an answer, of no users of ours; 0 = any number",
    )
    unanswered_of_strangers: int = option(
        1000,
        Whole(0, 10_000_000),
        "requests that wait for an answer, of all who proved no password; 0 = any number",
    )
    strangers: float = option(
        0.75,
        Number(0, 1, above=True),
        "workload of calls and transactions from which on who proved no password is refused; 1 = never for that",
    )
    ended_calls: int = option(
        500,
        Whole(0, 1_000_000),
        "answered calls that ended lately, which voipctl calls CALL-ID still finds; 0 = none",
    )
    requests_per_address: float = option(
        500.0,
        Rate(),
        "requests a second of one address (5 s' worth may come at once), else it is banned; 0 = any number",
    )
    requests_per_user: float = option(
        100.0, Rate(), "the same for one user who is known by password; 0 = any number"
    )
    ban: float = option(60.0, Number(1, 86_400, "s"), "s for which who exceeds them is not served")
    wrong_passwords_per_user: int = option(
        10,
        Whole(0, 100_000),
        "for one user name from one address within guess_ban, else it is refused there; 0 = any number",
    )
    wrong_passwords_per_address: int = option(
        100, Whole(0, 100_000), "for all user names, else the address is banned; 0 = any number"
    )
    refused_numbers: int = option(
        30,
        Whole(0, 100_000),
        "calls of one user or address to numbers that he may not call, else he is banned; 0 = any number",
    )
    guess_ban: float = option(600.0, Number(1, 604_800, "s"), "s for which these last")
    trusted: tuple[str, ...] = option(
        (),
        Words(Network(), 'networks such as "192.0.2.0/24"'),
        "networks that are never banned nor limited by address or user",
    )
    media_ports_per_user: float = option(
        0.25, Number(0, 1), "share of media.ports that the calls of one user may hold; 0 = any number"
    )
    media_ports_per_address: float = option(
        0.5, Number(0, 1), "the same for the callers of one address, users or not; 0 = any number"
    )


@frozen
class MediaOptions:
    """The RTP relay."""

    ports: tuple[int, int] = option((30000, 39999), Ports(), "UDP ports for RTP and RTCP, first-last")
    relay: str = option(
        "auto",
        Choice(RELAYS),
        "auto | kernel | userspace | off; auto = the kernel where it can (docs/media.md)",
    )
    marks: int = option(
        0x52, Whole(1, 255), "upper octet of the packet marks (nftables, ip rule) that the kernel path uses"
    )
    ice: str = option(
        "relay",
        Choice(ICE),
        "relay | pass | remove: what becomes of ICE in session descriptions (docs/sdp.md)",
    )
    gather: float = option(
        0.001,
        Number(0, 0.01, "s"),
        "s that packets relayed in user space may wait for others, once they are many; 0 = none",
    )
    timeout: float = option(
        60.0, Number(1, 86_400, "s"), "s without any packet of a call after which its relay is given up"
    )
    hold_timeout: float = option(3600.0, Number(1, 604_800, "s"), "the same in s for a call on hold")
    silence: float = option(
        10.0,
        Number(0, 3600, "s"),
        "s for which one side sends nothing while both are to send, until that is told as one-way; 0 = never",
    )
    quarantine: float = option(
        5.0, Number(0, 3600, "s"), "s before a port is used again, so that late packets find no new call"
    )
    third_hosts: bool = option(
        False,
        Flag(),
        "send to a host that only a description names, before it sent anything; limits.trusted may name any",
    )
    lab_networks: tuple[str, ...] = option(
        (),
        Words(Network(), 'networks such as "127.0.0.0/8"'),
        "send media there although it is loopback, multicast or the like; for laboratories only",
    )


@frozen
class OverloadOptions:
    """Refusing what is too much before it costs much (F{docs/workload.md})."""

    enabled: bool = option(True, Flag(), "refuse new requests unread (503) while more come than are served")
    target: float = option(
        0.02, Number(0, 1, "s", above=True), "s that messages may wait for the node before that begins"
    )
    kernel: bool = option(
        True, Flag(), "let the kernel throw away new INVITEs over UDP where even refusing them is too much"
    )
    expires_jitter: float = option(
        0.2,
        Number(0, 0.9),
        "share by which a registration that comes meanwhile is shortened at most, so that they do not return as one wave",
    )
    feedback: bool = option(
        True, Flag(), "tell proxies that say oc in Via how much they may send (RFC 7339, RFC 7415)"
    )
    offer: bool = option(
        True, Flag(), "say oc to other nodes and servers, and send no more than they say; not to phones"
    )


@frozen
class AuthOptions:
    """Digest authentication (RFC 8760)."""

    required: bool = option(True, Flag(), "digest for users of our domains")
    algorithms: tuple[str, ...] = option(
        ALGORITHMS,
        Words(Choice(ALGORITHMS), "SHA-256 and MD5", 1),
        "offered to clients that can choose, the preferred one first",
    )
    nonce_lifetime: float = option(
        300.0, Number(1, 86_400, "s"), "s before a client is asked for a new digest"
    )
    trust_source: bool = option(
        True, Flag(), "within a call, the address and port of a user's datagrams show who sent them"
    )


@frozen
class SipOptions:
    """Transport, registrar and transactions."""

    port: int = option(5060, Whole(1, 65535), "UDP and TCP port for SIP")
    min_expires: int = option(60, Whole(1, 86_400, "s"), "s; a shorter registration is refused with 423")
    default_expires: int = option(3600, Whole(1, 604_800, "s"), "s of a registration that names no time")
    max_expires: int = option(3600, Whole(1, 604_800, "s"), "s; a longer registration is cut to this")
    outbound: bool = option(
        True, Flag(), "keep several flows of a phone apart and tell it so (RFC 5626, Require: outbound)"
    )
    flow_timer: int = option(
        0,
        Whole(0, 3600, "s"),
        "s in which such a phone has to send something over TCP or TLS; 0 = not told, not checked",
    )
    gruu: bool = option(True, Flag(), "give URIs of their own to phones that ask for them (RFC 5627)")
    require_path_support: bool = option(
        False, Flag(), "refuse a REGISTER that has a Path but no Supported: path (RFC 3327)"
    )
    idle_timeout: float = option(
        3700.0,
        Number(1, 604_800, "s"),
        "s without traffic before a TCP connection is closed; above max_expires",
    )
    t1: float = option(0.5, Number(0.01, 10, "s"), "s; estimated round trip, RFC 3261 section 17.1.1.1")
    timer_c: float = option(
        185.0, Number(180, 3600, "s", above=True), "s that a call may ring, RFC 3261 section 16.6"
    )
    session_expires: int = option(
        0,
        Whole(0, 86_400, "s"),
        "s within which a call has to be refreshed (RFC 4028); 0 = only where its phones want that",
    )
    min_session_expires: int = option(90, Whole(90, 86_400, "s"), "s; less is refused with 422")
    max_breadth: int = option(
        60, Whole(1, 1000), "branches that one request may become, here and behind us (RFC 5393 Max-Breadth)"
    )


@frozen
class TlsOptions:
    """SIP over TLS; it is off until there is a certificate."""

    certificate: str = option(
        "", FilePath(), 'PEM file: certificate of this node, then those up to its CA; "" = no TLS'
    )
    key: str = option("", FilePath(), 'PEM file of its private key; "" = in the file of the certificate')
    ca: str = option(
        "", FilePath(), 'PEM file: CAs that vouch for peers; "" = those of the system, no client is asked'
    )
    client_certificate: bool = option(
        False, Flag(), "refuse who connects without a certificate of such a CA; needs ca"
    )
    port: int = option(5061, Whole(1, 65535), "TCP port for SIP over TLS")


@frozen
class DnsOptions:
    """Finding the servers of a name (RFC 3263)."""

    servers: tuple[str, ...] = option(
        (),
        Words(NameServer(), "addresses of DNS servers"),
        'such as "127.0.0.1:5353"; [] = those of /etc/resolv.conf, which is read anew when it changes',
    )
    timeout: float = option(10.0, Number(0.1, 60, "s"), "s until one question counts as unanswered")
    queries: int = option(200, Whole(1, 10_000), "questions at the same time; what is more is refused")
    cache: int = option(10_000, Whole(1, 1_000_000), "answers that are kept")
    max_ttl: float = option(3600.0, Number(0, 604_800, "s"), "s that an answer is kept at most")
    negative_ttl: float = option(60.0, Number(0, 86_400, "s"), 's that "no such name" is kept at most')
    next_after: float = option(
        5.0,
        Number(0, 32, "s"),
        "s of silence after which an INVITE goes to the next server of a name; 0 = 64*t1",
    )
    penalty: float = option(
        30.0,
        Number(0, 86_400, "s"),
        "s for which a silent or refusing server is tried last; doubles each time",
    )
    max_penalty: float = option(600.0, Number(0, 86_400, "s"), "s that it doubles to at most")


@frozen
class DatabaseOptions:
    """A database that all nodes share: call records go there (F{docs/records.md})."""

    url: str = option(
        "",
        DatabaseUrl(),
        'such as "postgresql://voipcluster@db.example.com/voipcluster"; "" = none, each node keeps what is its own',
    )
    password_file: str = option(
        "",
        FilePath(),
        'file of mode 0600 whose first line is the password; "" = as libpq finds it (.pgpass, peer)',
    )


@frozen
class RecordsOptions:
    """Call records (F{docs/records.md})."""

    days: int = option(
        30, Whole(0, 36_500), "days for which a node keeps the records of its calls; 0 = not at all"
    )
    queue: int = option(
        1_000_000,
        Whole(1000, 1_000_000_000),
        "rows that may wait on the disk for the shared database, or for the webhook, while it is gone",
    )
    webhook: str = option(
        "", HttpUrl(), 'URL that each record is sent to by POST, again until it is accepted; "" = none'
    )
    webhook_secret_file: str = option(
        "",
        FilePath(),
        'file of mode 0600 with the key of the signature in X-Voipcluster-Signature; "" = not signed',
    )


@frozen
class WebOptions:
    """Dashboard, JSON and metrics; read-only."""

    port: int = option(8080, Whole(0, 65535), "TCP port of the web page, /api and /metrics; 0 = off")
    host: str = option(
        "",
        BindAddress(),
        'address to listen on; "" = the node\'s own if it is a loopback address, else 127.0.0.1',
    )
    tls: bool = option(False, Flag(), "https (and wss under /sip) with the certificate of [tls]")


@frozen
class WebSocketOptions:
    """SIP over WebSocket (RFC 7118): under /sip of the web port, and on a port of its own."""

    port: int = option(
        0, Whole(0, 65535), "TCP port of its own, on the node's address; 0 = only under /sip of the web port"
    )
    tls: bool = option(True, Flag(), "wss on that port, with the certificate of [tls]; false = ws")
    origins: tuple[str, ...] = option(
        (),
        Words(Origin(), "origins"),
        'such as "https://phone.example.com", whose pages may connect; [] = of the same host or of cluster.domain; "*" = any',
    )


@frozen
class NodeOptions:
    """This node; usually given by flags, since the file is the same on every node."""

    name: str = option("", NODE_NAME, '"" = first label of the host name (--name)')
    role: str = option("", Choice(ROLES), "primary | secondary (--role)")
    address: str = option("", Address(), '"" = the address of the default route (--address)')
    also: tuple[str, ...] = option(
        (),
        Words(Address(), 'addresses of this machine, such as "2001:db8::1"'),
        "its address of the other IP version, for phones that have only that; nodes call each other by address (--set)",
    )
    advertised: str = option(
        "",
        Address(),
        "behind a one-to-one NAT: what phones are to call it instead of address, of the same IP version",
    )
    state_dir: str = option("voipcluster-state", Path(), "keys, accounts and the admin socket (--state-dir)")
    join: str = option(
        "", JoinToken(), "what voipctl join-token printed, for a secondary's first start (--join)"
    )


@frozen
class Config:
    """
    All that can be set, checked and complete.

    @ivar gateways: those of the file; C{routes} and C{rates}: the routes to them, and what they cost.
    @ivar path: the file that it came from, or L{None}.
    """

    cluster: ClusterOptions = Factory(ClusterOptions)
    limits: LimitsOptions = Factory(LimitsOptions)
    overload: OverloadOptions = Factory(OverloadOptions)
    media: MediaOptions = Factory(MediaOptions)
    auth: AuthOptions = Factory(AuthOptions)
    sip: SipOptions = Factory(SipOptions)
    tls: TlsOptions = Factory(TlsOptions)
    dns: DnsOptions = Factory(DnsOptions)
    numbers: NumbersOptions = Factory(NumbersOptions)
    database: DatabaseOptions = Factory(DatabaseOptions)
    records: RecordsOptions = Factory(RecordsOptions)
    web: WebOptions = Factory(WebOptions)
    websocket: WebSocketOptions = Factory(WebSocketOptions)
    node: NodeOptions = Factory(NodeOptions)
    allowance: AllowanceOptions = Factory(AllowanceOptions)
    gateways: tuple[Gateway, ...] = ()
    routes: tuple[Route, ...] = ()
    rates: RateTable = Factory(RateTable)
    path: str | None = None

    @property
    def web_host(self) -> str:
        """
        Where the web page listens: C{web.host}, else the node's own loopback address, else 127.0.0.1.

        The page needs no password, so it is not shown to a network that nobody asked for.
        """
        if self.web.host:
            return self.web.host
        address = self.node.address
        return address if address and ipaddress.ip_address(address).is_loopback else "127.0.0.1"


SECTIONS: dict[str, type] = {
    "cluster": ClusterOptions,
    "limits": LimitsOptions,
    "overload": OverloadOptions,
    "media": MediaOptions,
    "auth": AuthOptions,
    "sip": SipOptions,
    "tls": TlsOptions,
    "dns": DnsOptions,
    "numbers": NumbersOptions,
    "database": DatabaseOptions,
    "records": RecordsOptions,
    "allowance": AllowanceOptions,
    "web": WebOptions,
    "websocket": WebSocketOptions,
    "node": NodeOptions,
}


class Option(NamedTuple):
    """One option: where it is, what it holds when nobody sets it, and what it is for."""

    section: str
    key: str
    default: object
    kind: Kind[object]
    doc: str

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"


def options() -> Iterator[Option]:
    """All options, in the order of the sample file."""
    for section, made_from in SECTIONS.items():
        attribute: Attribute[object]
        for attribute in fields(made_from):
            yield Option(
                section,
                attribute.name,
                attribute.default,
                kind_of(attribute.metadata),
                attribute.metadata["doc"],
            )
