"""What a request must be before a proxy looks at it any further (RFC 3261 section 16.3)."""

from __future__ import annotations

import re
from collections.abc import Collection

from voipcluster.errors import ParseError, PeerError
from voipcluster.sip.message import COMMA, QUOTE, Request
from voipcluster.sip.uri import parse_uri, scheme_of
from voipcluster.sip.values import parse_name_addr

PROXY_EXTENSIONS: frozenset[str] = frozenset()  # option tags that we support in Proxy-Require

_PLAIN_MAX_FORWARDS = {b"Max-Forwards: %d" % number: number for number in range(256)}
_PLAIN_NAME = re.compile(rb'[A-Za-z]+: "[^"\\\\<>]*" ?<[^<>"]+>[^<>"]*')
_SCHEMES = frozenset({"sip", "sips"})


class Refused(PeerError):
    """
    The request is answered with C{status_hint}.

    @ivar headers: (name, value) to put into the answer.
    @ivar about: what is known of the call that it would have been, by the name of the field of its record.
    """

    def __init__(self, message: str, status_hint: int, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message, status_hint)
        self.headers = headers
        self.about: dict[str, str] = {}


def check_request(request: Request, also: Collection[str] = ()) -> int:
    """
    Check what every request needs, in the order of section 16.3.

    @param also: schemes of Request-URIs that are taken besides sip and sips; what is in such a URI is not looked at.
    @return: its Max-Forwards; 71 when it has none, for a copy of it is to say 70 (16.6 step 3).
    @raise PeerError: C{status_hint} 400, 416, 420 or 483.
    """
    layout = request.layout
    if layout.flaw:
        raise Refused(layout.flaw, 400)
    method = request.method
    if request.cseq[1] != method:
        raise Refused(f"CSeq names {request.cseq[1]}, the request is {method}", 400)
    if request.from_tag is None and request.top_via.branch.startswith("z9hG4bK"):
        raise Refused("From has no tag", 400)
    if request.uri[:4] != "sip:" and scheme_of(request.uri) not in _SCHEMES:
        if not scheme_of(request.uri):
            raise Refused("the Request-URI is no URI", 400)
        if scheme_of(request.uri) not in also:
            raise Refused("the scheme of the Request-URI is not supported", 416)
    index = layout.at.get("max-forwards")
    plain = None if index is None else _PLAIN_MAX_FORWARDS.get(request.lines[index])
    max_forwards = _max_forwards(request) if plain is None else plain
    if max_forwards == 0:
        raise Refused("Max-Forwards is used up", 483)
    if "proxy-require" in layout.at:
        unknown = [tag for tag in request.values("proxy-require") if tag.lower() not in PROXY_EXTENSIONS]
        if unknown and method not in ("ACK", "CANCEL"):
            raise Refused("Proxy-Require", 420, (("Unsupported", ", ".join(unknown)),))
    if not also or scheme_of(request.uri) not in also:
        parse_uri(request.uri)
    return max_forwards


def _max_forwards(request: Request) -> int:
    """By the whole grammar, for what is not written as nearly everybody does."""
    value = request.get("max-forwards")
    if value is None:
        return 71
    number = value.lstrip("0") or value[:1]  # zeros in front mean nothing (RFC 4475 section 3.1.1.1)
    if not (number.isascii() and number.isdigit() and len(number) <= 3) or int(number) > 255:
        raise ParseError(f"not a Max-Forwards: {value[:20]!r}")
    return int(number)


def check_display_names(request: Request) -> None:
    """
    Check the display names of From and To in a request that begins something.

    @raise ParseError: a quote that never ends, or a comma without quotes: the next hop could read another URI than we do.
    """
    for key in ("from", "to"):
        line = request.lines[request.layout.at[key]]
        if (QUOTE in line or COMMA in line) and not _PLAIN_NAME.fullmatch(line):
            address = parse_name_addr(request.get(key) or "")
            if "," in address.display and QUOTE not in line.partition(b"<")[0]:
                raise ParseError(f"a comma without quotes in the display name of {key}")
