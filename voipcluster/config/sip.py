"""C{[sip]} and C{[auth]}: transactions, the registrar, and who has to prove who he is."""

from __future__ import annotations

from attrs import frozen

from voipcluster.config.kinds import Choice, Flag, Number, Whole, Words
from voipcluster.config.option import option

ALGORITHMS = ("SHA-256", "MD5")


@frozen
class AuthOptions:
    """Digest authentication (RFC 8760)."""

    required: bool = option(True, Flag(), "digest for users of our domains")
    algorithms: tuple[str, ...] = option(
        ALGORITHMS,
        Words(Choice(ALGORITHMS), "SHA-256 and MD5", 1),
        "offered to clients that can choose, the preferred one first",
        live=True,
    )
    nonce_lifetime: float = option(
        300.0, Number(1, 86_400, "s"), "s before a client is asked for a new digest", live=True
    )
    trust_source: bool = option(
        True,
        Flag(),
        "within a call, the address and port of a user's datagrams show who sent them",
        live=True,
    )


@frozen
class SipOptions:
    """Transport, registrar and transactions."""

    port: int = option(5060, Whole(1, 65535), "UDP and TCP port for SIP")
    min_expires: int = option(
        60, Whole(1, 86_400, "s"), "s; a shorter registration is refused with 423", live=True
    )
    default_expires: int = option(
        3600, Whole(1, 604_800, "s"), "s of a registration that names no time", live=True
    )
    max_expires: int = option(
        3600, Whole(1, 604_800, "s"), "s; a longer registration is cut to this", live=True
    )
    outbound: bool = option(
        True,
        Flag(),
        "keep several flows of a phone apart and tell it so (RFC 5626, Require: outbound)",
        live=True,
    )
    flow_timer: int = option(
        0,
        Whole(0, 3600, "s"),
        "s in which such a phone has to send something over TCP or TLS; 0 = not told, not checked",
        live=True,
    )
    gruu: bool = option(
        True, Flag(), "give URIs of their own to phones that ask for them (RFC 5627)", live=True
    )
    require_path_support: bool = option(
        False, Flag(), "refuse a REGISTER that has a Path but no Supported: path (RFC 3327)", live=True
    )
    idle_timeout: float = option(
        3700.0,
        Number(1, 604_800, "s"),
        "s without traffic before a TCP connection is closed; above max_expires",
        live=True,
    )
    t1: float = option(0.5, Number(0.01, 10, "s"), "s; estimated round trip, RFC 3261 section 17.1.1.1")
    timer_c: float = option(
        185.0, Number(180, 3600, "s", above=True), "s that a call may ring, RFC 3261 section 16.6"
    )
    session_expires: int = option(
        0,
        Whole(0, 86_400, "s"),
        "s within which a call has to be refreshed (RFC 4028); 0 = only where its phones want that",
        live=True,
    )
    min_session_expires: int = option(90, Whole(90, 86_400, "s"), "s; less is refused with 422", live=True)
    max_breadth: int = option(
        60,
        Whole(1, 1000),
        "branches that one request may become, here and behind us (RFC 5393 Max-Breadth)",
        live=True,
    )
