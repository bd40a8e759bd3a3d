"""C{[dns]}: finding the servers of a name (RFC 3263)."""

from __future__ import annotations

from attrs import frozen

from voipcluster.config.kinds import NameServer, Number, Whole, Words
from voipcluster.config.option import option


@frozen
class DnsOptions:
    """Finding the servers of a name (RFC 3263)."""

    servers: tuple[str, ...] = option(
        (),
        Words(NameServer(), "addresses of DNS servers"),
        'such as "127.0.0.1:5353"; [] = those of /etc/resolv.conf, which is read anew when it changes',
    )
    timeout: float = option(
        10.0, Number(0.1, 60, "s"), "s until one question counts as unanswered", live=True
    )
    queries: int = option(
        200, Whole(1, 10_000), "questions at the same time; what is more is refused", live=True
    )
    cache: int = option(10_000, Whole(1, 1_000_000), "answers that are kept", live=True)
    max_ttl: float = option(3600.0, Number(0, 604_800, "s"), "s that an answer is kept at most", live=True)
    negative_ttl: float = option(
        60.0, Number(0, 86_400, "s"), 's that "no such name" is kept at most', live=True
    )
    next_after: float = option(
        5.0,
        Number(0, 32, "s"),
        "s of silence after which an INVITE goes to the next server of a name; 0 = 64*t1",
        live=True,
    )
    penalty: float = option(
        30.0,
        Number(0, 86_400, "s"),
        "s for which a silent or refusing server is tried last; doubles each time",
        live=True,
    )
    max_penalty: float = option(600.0, Number(0, 86_400, "s"), "s that it doubles to at most", live=True)
