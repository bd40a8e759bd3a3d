"""C{[limits]} and C{[overload]}: how much a node takes, and what becomes of more."""

from __future__ import annotations

from attrs import frozen

from voipcluster.config.kinds import Flag, Network, Number, Octets, Rate, Whole, Words
from voipcluster.config.option import option


@frozen
class LimitsOptions:
    """What one node takes; the first five are the scale of its workload, the others protect it (C{docs/security.md})."""

    calls: int = option(2000, Whole(1, 10_000_000), "calls in progress that count as workload 1.0", live=True)
    registrations_per_user: int = option(
        10, Whole(1, 10_000), "bindings of one user at the same time", live=True
    )
    transactions: int = option(
        20_000, Whole(1, 10_000_000), "SIP transactions that count as workload 1.0", live=True
    )
    packets_per_second: int = option(
        50_000, Whole(1, 100_000_000), "relayed RTP packets per second that count as workload 1.0", live=True
    )
    memory: int = option(
        2 << 30,
        Octets(64 << 20, 1 << 50),
        'octets of memory that count as workload 1.0; "2G" is the same as 2147483648',
        live=True,
    )
    message_size: int = option(65_535, Octets(1500, 1 << 24), "octets of one SIP message")
    header_lines: int = option(256, Whole(32, 10_000), "header lines of one SIP message")
    connections: int = option(10_000, Whole(1, 1_000_000), "SIP connections at the same time", live=True)
    connections_per_address: int = option(
        200, Whole(1, 1_000_000), "SIP connections of one address at the same time", live=True
    )
    registrations: int = option(
        200_000, Whole(0, 100_000_000), "bindings of all users at the same time; 0 = any number", live=True
    )
    unanswered_calls_per_user: int = option(
        50, Whole(0, 1_000_000), "calls of one user that ring at the same time; 0 = any number", live=True
    )
    unanswered_calls_per_address: int = option(
        200, Whole(0, 1_000_000), "the same for callers of one address who are no users of ours", live=True
    )
    unanswered_requests_per_address: int = option(
        200,
        Whole(0, 1_000_000),
        "requests other than INVITE of one address that wait for an answer, of no users of ours; 0 = any number",
        live=True,
    )
    unanswered_of_strangers: int = option(
        1000,
        Whole(0, 10_000_000),
        "requests that wait for an answer, of all who proved no password; 0 = any number",
        live=True,
    )
    strangers: float = option(
        0.75,
        Number(0, 1, above=True),
        "workload of calls and transactions from which on who proved no password is refused; 1 = never for that",
        live=True,
    )
    ended_calls: int = option(
        500,
        Whole(0, 1_000_000),
        "answered calls that ended lately, which voipctl calls CALL-ID still finds; 0 = none",
        live=True,
    )
    requests_per_address: float = option(
        500.0,
        Rate(),
        "requests a second of one address (5 s' worth may come at once), else it is banned; 0 = any number",
        live=True,
    )
    requests_per_user: float = option(
        100.0, Rate(), "the same for one user who is known by password; 0 = any number", live=True
    )
    ban: float = option(60.0, Number(1, 86_400, "s"), "s for which who exceeds them is not served", live=True)
    wrong_passwords_per_user: int = option(
        10,
        Whole(0, 100_000),
        "for one user name from one address within guess_ban, else it is refused there; 0 = any number",
        live=True,
    )
    wrong_passwords_per_address: int = option(
        100, Whole(0, 100_000), "for all user names, else the address is banned; 0 = any number", live=True
    )
    refused_numbers: int = option(
        30,
        Whole(0, 100_000),
        "calls of one user or address to numbers that he may not call, else he is banned; 0 = any number",
        live=True,
    )
    guess_ban: float = option(600.0, Number(1, 604_800, "s"), "s for which these last", live=True)
    trusted: tuple[str, ...] = option(
        (),
        Words(Network(), 'networks such as "192.0.2.0/24"'),
        "networks that are never banned nor limited by address or user",
        live=True,
    )
    media_ports_per_user: float = option(
        0.25,
        Number(0, 1),
        "share of media.ports that the calls of one user may hold; 0 = any number",
        live=True,
    )
    media_ports_per_address: float = option(
        0.5, Number(0, 1), "the same for the callers of one address, users or not; 0 = any number", live=True
    )


@frozen
class OverloadOptions:
    """Refusing what is too much before it costs much (C{docs/workload.md})."""

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
        live=True,
    )
    feedback: bool = option(
        True, Flag(), "tell proxies that say oc in Via how much they may send (RFC 7339, RFC 7415)", live=True
    )
    offer: bool = option(
        True,
        Flag(),
        "say oc to other nodes and servers, and send no more than they say; not to phones",
        live=True,
    )
