"""
What the kernel can relay in our place: both directions of an RTP line whose two latches are firm.

Everything else stays with the sockets: lines that are not RTP, a side that is muted or still learns, IPv4 to IPv6, and a
phone on a loopback address whose peer is on another one (the kernel does not route between the two).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

from voipcluster.media.latch import State
from voipcluster.media.offer_answer import Side
from voipcluster.media.stream import RTP, SPOTS, Stream
from voipcluster.media.target import Address, literal

LONGEST_LABEL = 120  # octets; nft shows comments of up to 128


class Crossing(NamedTuple):
    """
    One direction of a line, as rewriting: what comes from C{source} to C{entry} leaves from C{exit} to C{target}.

    C{entry} is the relay port that faces the sender, C{exit} the one that faces the receiver. All four are of one IP version.
    """

    source: Address
    entry: Address
    exit: Address
    target: Address

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.entry.family


def crossings(stream: Stream, facing: Mapping[Side, Mapping[int, Address]]) -> tuple[Crossing, ...]:
    """
    The two directions that the kernel may relay now, or none.

    @param facing: for each side the addresses of its RTP ports that are connected to the latched peer, by IP version.
    """
    if not stream.paired:
        return ()
    ends = []
    for side in Side:
        latch = stream.latch(SPOTS[side][RTP])
        if latch.state is not State.LATCHED or latch.remote is None or stream.muted(side):
            return ()
        local = facing.get(side, {}).get(latch.remote.family)
        if local is None:
            return ()
        ends.append((local, latch.remote))
    (near, caller), (far, callee) = ends
    if near.family != far.family or len({_is_loopback(a) for a in (near, caller, far, callee)}) > 1:
        return ()
    return Crossing(caller, near, far, callee), Crossing(callee, far, near, caller)


def _is_loopback(address: Address) -> bool:
    parsed = literal(address.host)
    return parsed is not None and parsed.is_loopback


def label_of(call_id: str, from_tag: str) -> str:
    """
    The name of a call that is kept beside what the kernel relays of it, so that another process can tell whose it is.

    @return: Call-ID and From tag with a blank between them; a digest of both where that is too long, or holds what nft
        would not read again in its own listing.
    """
    text = f"{call_id} {from_tag}"
    if len(text) <= LONGEST_LABEL and text.isascii() and text.isprintable() and not set(text) & set('"\\'):
        return text
    return "sha256 " + sha256(f"{call_id}\0{from_tag}".encode()).hexdigest()
