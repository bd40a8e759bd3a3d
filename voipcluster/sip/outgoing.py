"""
What leaves: copies of what is forwarded, and messages of our own (RFC 3261 sections 8.2.6, 16.6 and 16.7).

This belongs to the message layer: nothing but what must change is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from voipcluster.sip.layout import layout_of
from voipcluster.sip.message import (
    COMMA,
    REASONS,
    Request,
    Response,
    header_line,
    key_of,
    octets_of,
    value_of,
)
from voipcluster.sip.overload import without_params
from voipcluster.sip.values import Via, split_list

_OF_BODIES = ("content-length", "content-type", "content-disposition", "content-encoding", "content-language")


def forward_request(
    request: Request,
    *,
    uri: str,
    via: str,
    max_forwards: int,
    received_via: Via | None = None,
    record_route: str | None = None,
    routes: Sequence[str] | None = None,
    drop_lines: Iterable[int] = (),
    add: Sequence[tuple[str, str]] = (),
    body: bytes | None = None,
    max_breadth: int = 0,
) -> bytes:
    """
    The bytes of the copy that goes to one target (RFC 3261 section 16.6); nothing else is touched or reordered.

    @param via: our value, put on top; C{received_via}: the changed value of the former top one (18.2.1), or L{None}.
    @param record_route: our value, put in front of others; C{routes}: all values of Route, or L{None}: as they came.
    @param drop_lines: indexes of header lines to leave out; C{add}: (key, value) of headers to append.
    @param body: the new body, or L{None}: as it came.
    @param max_breadth: what takes the place of any Max-Breadth (RFC 5393 section 5.3.3); 0: as it came.
    """
    layout, lines = request.layout, request.lines.copy()
    dropped = [*drop_lines]
    top = layout.via
    old_top = lines[top] if received_via is None else _replace_first(lines[top], str(received_via))
    lines[top] = b"Via: %b\r\n%b" % (via.encode("ascii"), old_top)
    hops = layout.at.get("max-forwards")
    if hops is not None:
        lines[hops] = b"Max-Forwards: %d" % max_forwards
    else:
        lines[top] = b"Max-Forwards: %d\r\n%b" % (max_forwards, lines[top])
    if routes is not None:
        dropped += layout.indexes("route")
        if routes:
            lines[top] += b"".join(b"\r\nRoute: " + octets_of(route) for route in routes)
    if body is None:
        body = request.body
    if body is not request.body or layout.content_length < 0:
        dropped += layout.indexes("content-length")
        lines.append(b"Content-Length: %d" % len(body))
    if max_breadth:
        lines.append(b"Max-Breadth: 60" if max_breadth == 60 else b"Max-Breadth: %d" % max_breadth)
        if "max-breadth" in layout.at:
            dropped += layout.indexes("max-breadth")
    if dropped:
        for index in sorted(dropped, reverse=True):
            del lines[index]
    for key, value in add:
        lines.append(header_line(key, value))
    start = f"{request.method} {uri} SIP/2.0".encode("utf-8", "surrogateescape")
    if record_route is not None:
        # first of all lines: those of other proxies may stand above Via, as ours do, or below it
        start += b"\r\nRecord-Route: " + record_route.encode("ascii")
    return b"\r\n".join([start, *lines, b"", body])


def _replace_first(line: bytes, value: str) -> bytes:
    """Put C{value} in the place of the first one of a comma list."""
    rest = split_list(value_of(line))[1:]
    return octets_of("Via: " + ", ".join([value, *rest]))


def forward_response(response: Response, body: bytes | None = None) -> bytes:
    """
    The bytes of a response without its topmost Via, which was ours (RFC 3261 section 16.7 step 3).

    Whoever answers cannot say to those before us what they may send: what is for one hop is taken out of their Vias (RFC 7339
    section 5.4).

    @param body: the new body, or L{None}: as it came; with an empty one goes what describes the former one.
    """
    layout, lines, top = response.layout, response.lines, response.layout.via
    received = response.received
    if body is None and received is not None and layout.vias == 2 and layout.content_length >= 0:
        line = lines[top]
        at = received.find(b"\r\n%b\r\n" % line)  # with its ends: nobody else's line is taken for it
        others = lines[layout.second_via]
        if at > 0 and COMMA not in line and others.lower().find(b"oc") < 0:
            # as nearly all are: what came, without that line
            return received[:at] + received[at + len(line) + 2 :]
    lines = lines.copy()
    if layout.vias > 1:
        for index in layout.indexes("via"):
            # find(): "in" for octets raises and drops an exception inside, at ten times its price in CPython 3.11
            if index != top and lines[index].lower().find(b"oc") >= 0:
                lines[index] = without_params(lines[index])
    if body is None:
        body = response.body
    if body is not response.body or layout.content_length < 0:
        lines.append(b"Content-Length: %d" % len(body))
        gone: Sequence[int] = layout.indexes("content-length")
        if not body and response.body:
            gone = sorted(index for key in _OF_BODIES for index in layout.indexes(key))
        for index in reversed(gone):
            del lines[index]
            top -= index < top
    rest = split_list(value_of(lines[top]))[1:] if COMMA in lines[top] else None
    if rest:
        lines[top] = without_params(octets_of("Via: " + ", ".join(rest)))
    else:
        del lines[top]
    start = response.start
    if start[:8] != b"SIP/2.0 ":
        start = b"SIP/2.0" + start[7:]
    return b"\r\n".join([start, *lines, b"", body])


def trying(request: Request, received_via: Via | None = None) -> bytes:
    """The bytes of a 100 Trying (17.2.1), as L{reply} makes it; each INVITE gets one."""
    if received_via is not None:
        return reply(request, 100, received_via=received_via).to_bytes()
    copied = request.layout.copy_to_100(request.lines)
    return b"\r\n".join([b"SIP/2.0 100 Trying", *copied, b"Content-Length: 0", b"", b""])


def reply(
    request: Request,
    status: int,
    reason: str | None = None,
    to_tag: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    received_via: Via | None = None,
) -> Response:
    """
    Our own response to a request (RFC 3261 section 8.2.6).

    @param to_tag: put on To unless it has one; L{None} for a 100 (8.2.6.2).
    @param headers: (key or name, value), one line each.
    @param received_via: the changed value of the top Via (18.2.1), or L{None}: as it came.
    """
    keys: list[str] = []
    lines: list[bytes] = []
    layout = request.layout
    for index in layout.copied_to_100 if status == 100 else layout.copied:
        key, line = layout.keys[index], request.lines[index]
        if key == "to" and to_tag is not None and request.to_tag is None:
            line += b";tag=" + octets_of(to_tag)
        elif key == "via" and received_via is not None:
            line = _replace_first(line, str(received_via))
            received_via = None
        keys.append(key)
        lines.append(line)
    for name, value in headers:
        key = key_of(name)
        keys.append(key)
        lines.append(header_line(key, value))
    keys.append("content-length")
    lines.append(b"Content-Length: %d" % len(body))
    phrase = reason or REASONS.get(status, "Unknown")
    return Response(
        status, phrase, octets_of(f"SIP/2.0 {status} {phrase}"), layout_of(tuple(keys)), lines, body
    )


def build_request(method: str, uri: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> Request:
    """A request of our own from (name, value) pairs in their order; Content-Length is added."""
    keys: list[str] = []
    lines: list[bytes] = []
    for name, value in headers:
        key = key_of(name)
        keys.append(key)
        lines.append(header_line(key, value))
    keys.append("content-length")
    lines.append(b"Content-Length: %d" % len(body))
    return Request(method, uri, octets_of(f"{method} {uri} SIP/2.0"), layout_of(tuple(keys)), lines, body)
