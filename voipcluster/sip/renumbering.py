"""
CSeq numbers that are others on one side of us than on the other (RFC 3261 sections 8.1.1.5, 12.2.1.1 and 22.2).

Who answers a challenge in a caller's place sends one request more than the caller did: it must have the next number, for a server
takes what has the old one for a copy of the request that it has challenged. From then on all numbers of that caller are behind by
so much on his side.
"""

from __future__ import annotations

from typing import NamedTuple

from voipcluster.errors import ParseError
from voipcluster.sip.message import Request


class Renumbered(NamedTuple):
    """C{drop}: indexes of header lines of the request that are left out; C{add}: (key, value) in their place."""

    drop: tuple[int, ...] = ()
    add: tuple[tuple[str, str], ...] = ()


def renumbered(request: Request, by: int) -> Renumbered:
    """
    A request with a CSeq that is greater by so much; the RAck of a PRACK, which repeats that of its INVITE, too (RFC 3262
    section 7.2).

    @raise ParseError: its numbers cannot be read, or are used up.
    """
    if not by:
        return Renumbered()
    number, method = request.cseq
    if number + by >= 1 << 31:
        raise ParseError(f"CSeq {number} cannot be moved by {by}")
    drop, add = [*request.layout.indexes("cseq")], [("cseq", f"{number + by} {method}")]
    rack = request.get("rack")
    if rack is not None:
        words = rack.split()
        if len(words) != 3 or not all(
            word.isascii() and word.isdigit() and len(word) < 11 for word in words[:2]
        ):
            raise ParseError(f"not a RAck: {rack[:80]!r}")
        drop += request.layout.indexes("rack")
        add.append(("rack", f"{words[0]} {int(words[1]) + by} {words[2]}"))
    return Renumbered(tuple(drop), tuple(add))
