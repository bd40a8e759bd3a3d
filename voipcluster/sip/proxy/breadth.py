"""How many branches a request may still become (RFC 5393 section 5)."""

from __future__ import annotations

from typing import Final

from voipcluster.errors import ParseError, PeerError
from voipcluster.sip.message import Request

RECOMMENDED: Final = 60  # for who sends none, and as the most that is taken (section 5.3.3)
_ANY = 10**9  # stands for any number above it


def incoming_breadth(request: Request) -> int | None:
    """
    The Incoming Max-Breadth of a request; of several values the smallest, since each proxy must send a single one.

    @return: L{None} when it has none.
    @raise PeerError: 440, not even one copy may be sent; L{ParseError}: it is no number.
    """
    if "max-breadth" not in request.layout.at:
        return None
    breadth = _ANY
    for value in request.values("max-breadth") or [""]:
        number = value.lstrip("0") or value[:1]
        if not (number.isascii() and number.isdigit()):
            raise ParseError(f"not a Max-Breadth: {value[:20]!r}")
        breadth = (
            min(breadth, int(number)) if len(number) < 10 else breadth
        )  # no time for thousands of digits
    if breadth < 1:
        raise PeerError("Max-Breadth is used up", 440)
    return breadth
