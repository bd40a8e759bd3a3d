"""
The rules of the relay's table, as nft reads them. They never change; what is relayed is in the maps.

A packet goes through a mark, which is the number of its stream: prerouting, or output for senders on this machine, finds it by
remote and relay port and turns the packet to its receiver; postrouting, or input for receivers on this machine, gives it the
relay's address as its source. Since a look-up that fails ends its rule, everything unknown goes on to the sockets.
"""

from __future__ import annotations

VERSION = 2  # of rules and maps; a table of another one is made anew

MAPS = ("stream4", "stream6", "daddr4", "daddr6", "dport", "saddr4", "saddr6", "sport")
"""Streams by remote and relay port; then by stream where to (C{d}) and where from (C{s}). C{sport} counts what has left."""


def commands(table: str, mark: int, size: int) -> str:
    """
    The commands that fill an empty table of the family C{inet}.

    @param mark: what the upper 16 bits of this table's marks are; the lower ones are 0.
    @param size: the most elements of one map.
    """
    t = f"inet {table}"
    maps = [
        ("stream4", "ipv4_addr . inet_service . ipv4_addr . inet_service : mark; flags timeout; counter"),
        ("stream6", "ipv6_addr . inet_service . ipv6_addr . inet_service : mark; flags timeout; counter"),
        ("daddr4", "mark : ipv4_addr"),
        ("daddr6", "mark : ipv6_addr"),
        ("dport", "mark : inet_service"),
        ("saddr4", "mark : ipv4_addr"),
        ("saddr6", "mark : ipv6_addr"),
        ("sport", "mark : inet_service; counter"),
    ]
    lines = [f"add map {t} {name} {{ type {kind}; size {size}; }}" for name, kind in maps]
    stream4 = "meta mark set ip saddr . udp sport . ip daddr . udp dport map @stream4 notrack"
    stream6 = "meta mark set ip6 saddr . udp sport . ip6 daddr . udp dport map @stream6 notrack"
    to_port = "udp dport set meta mark map @dport"
    from_port = "udp sport set meta mark map @sport"
    unsummed, still_unsummed = (
        "udp checksum 0",
        "@th,48,16 set 0",
    )  # else nft would put a wrong sum in (RFC 768)
    done = "meta mark set 0 accept"  # over the loopback interface it comes to the input, too, and is as it should be then
    to_peer = [
        "udp length < 20 accept",  # shorter than an RTP header (RFC 3550 section 5.1)
        "@th,64,2 != 2 accept",  # STUN, DTLS, ZRTP (RFC 7983)
        "@th,73,7 64-95 accept",  # RTCP on the same port (RFC 5761)
        "ip frag-off & 0x3fff != 0 accept",
        f"meta nfproto ipv4 {unsummed} {stream4} {to_port} {still_unsummed} ip daddr set meta mark map @daddr4 accept",
        f"{stream4} {to_port} ip daddr set meta mark map @daddr4 accept",
        "meta nfproto ipv6 exthdr frag exists accept",
        f"{stream6} {to_port} ip6 daddr set meta mark map @daddr6 accept",
    ]
    as_relay = [
        f"meta nfproto ipv4 {unsummed} {from_port} {still_unsummed} ip saddr set meta mark map @saddr4 {done}",
        f"meta nfproto ipv4 {from_port} ip saddr set meta mark map @saddr4 {done}",
        f"{from_port} ip6 saddr set meta mark map @saddr6 {done}",
        "drop",  # of a stream that ended while the packet was on its way
    ]
    ours = f"meta mark & 0xffff0000 == {mark:#010x} goto as_relay"
    through_out = "iif lo accept"  # what comes over the loopback interface went through the output before
    hooks = [
        ("pre", "filter hook prerouting priority -300", [through_out, "meta l4proto udp goto to_peer"]),
        ("out", "route hook output priority -300", ["meta l4proto udp goto to_peer"]),
        ("in", "filter hook input priority 100", [ours]),
        ("post", "filter hook postrouting priority 100", [ours]),
    ]
    for name, rules in (("to_peer", to_peer), ("as_relay", as_relay)):
        lines.append(f"add chain {t} {name}")
        lines += [f"add rule {t} {name} {rule}" for rule in rules]
    for name, hook, rules in hooks:
        lines.append(f"add chain {t} {name} {{ type {hook}; }}")
        lines += [f"add rule {t} {name} {rule}" for rule in rules]
    return "\n".join(lines) + "\n"
