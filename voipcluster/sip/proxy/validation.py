"""What a request must be before a proxy looks at it any further (RFC 3261 section 16.3)."""

from __future__ import annotations

from voipcluster.errors import ParseError, PeerError
from voipcluster.sip.message import Request
from voipcluster.sip.uri import parse_uri, scheme_of

PROXY_EXTENSIONS: frozenset[str] = frozenset()  # option tags that we support in Proxy-Require

_PLAIN_MAX_FORWARDS = {b"Max-Forwards: %d" % number: number for number in range(256)}
_SCHEMES = frozenset({"sip", "sips"})


class Refused(PeerError):
    """
    The request is answered with C{status_hint}.

    @ivar headers: (name, value) to put into the answer.
    """

    def __init__(self, message: str, status_hint: int, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message, status_hint)
        self.headers = headers


def check_request(request: Request) -> int:
    """
    Check what every request needs, in the order of section 16.3.

    @return: its Max-Forwards, 70 when it has none (16.6 step 3).
    @raise PeerError: C{status_hint} 400, 416, 420 or 483.
    """
    layout = request.layout
    if layout.flaw:
        raise Refused(layout.flaw, 400)
    if request.cseq[1] != request.method:
        raise Refused(f"CSeq names {request.cseq[1]}, the request is {request.method}", 400)
    if request.from_tag is None and request.top_via.branch.startswith("z9hG4bK"):
        raise Refused("From has no tag", 400)
    if request.uri[:4] != "sip:" and scheme_of(request.uri) not in _SCHEMES:
        if not scheme_of(request.uri):
            raise Refused("the Request-URI is no URI", 400)
        raise Refused("the scheme of the Request-URI is not supported", 416)
    max_forwards = _max_forwards(request)
    if max_forwards == 0:
        raise Refused("Max-Forwards is used up", 483)
    if "proxy-require" in layout.at:
        unknown = [tag for tag in request.values("proxy-require") if tag.lower() not in PROXY_EXTENSIONS]
        if unknown and request.method not in ("ACK", "CANCEL"):
            raise Refused("Proxy-Require", 420, (("Unsupported", ", ".join(unknown)),))
    parse_uri(request.uri)
    return max_forwards


def _max_forwards(request: Request) -> int:
    index = request.layout.at.get("max-forwards")
    if index is None:
        return 70
    plain = _PLAIN_MAX_FORWARDS.get(request.lines[index])
    if plain is not None:
        return plain
    value = request.get("max-forwards") or ""
    if not (value.isascii() and value.isdigit() and len(value) <= 3) or int(value) > 255:
        raise ParseError(f"not a Max-Forwards: {value[:20]!r}")
    return int(value)
