"""
The message layer: bytes to a message and back (RFC 3261 sections 7 and 25).

Lazy: a message is its received lines and a key for each; a value is parsed when somebody asks for it, and what is only
forwarded keeps the bytes it arrived with. Here is the parser; what it makes is in L{voipcluster.sip.lazy_message}, the names of
headers in L{voipcluster.sip.header}, what leaves in L{voipcluster.sip.outgoing}. These modules may be replaced by a faster
implementation of the same names: L{parse}, L{forward_request}, L{forward_response}, L{reply}, L{Request}, L{Response}.
"""

from __future__ import annotations

import re
from typing import Final

from voipcluster.remember import remember
from voipcluster.sip.header import (
    COMMA,
    KEYS,
    QUOTE,
    TOKEN,
    header_line,
    key_of,
    key_of_line,
    octets_of,
    tag_of,
    text_of,
    value_of,
)
from voipcluster.sip.layout import Layout, learn, learned
from voipcluster.sip.lazy_message import (
    BRANCH,
    COOKIE,
    METHODS,
    MalformedMessage,
    Message,
    Request,
    Response,
    plain_cseq,
)

__all__ = [
    "BRANCH", "COMMA", "COOKIE", "MAX_HEADERS", "QUOTE", "REASONS", "MalformedMessage", "Message", "Request", "Response",
    "header_line", "key_of", "octets_of", "parse", "plain_cseq", "tag_of", "value_of",
]  # fmt: skip

MAX_HEADERS: Final = (
    256  # header lines of one message; more is an attack (RFC 3261 section 26 names no number)
)
_REQUEST_LINE = re.compile(rb"([A-Za-z0-9\-.!%*_+`'~]+) ([^ \t\r\n]+) (SIP/([0-9]+\.[0-9]+))", re.IGNORECASE)
_STATUS_LINE = re.compile(rb"SIP/([0-9]+\.[0-9]+) ([1-6][0-9][0-9])(?: (.*))?", re.IGNORECASE | re.DOTALL)

_STATUSES = {b"%d" % status: status for status in range(100, 700)}
_LENGTHS = {b"Content-Length: %d" % length: length for length in range(2048)}
_startswith = bytes.startswith
# the next hop may take it for the end of a line, and read a header that we did not see
_ALONE = "a CR or LF alone"
_LF = ord("\n")
_ODD_IN_URI = re.compile(rb"[^!-~]")

REASONS: Final = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress", 200: "OK",
    202: "Accepted", 300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    407: "Proxy Authentication Required", 408: "Request Timeout", 413: "Request Entity Too Large",
    415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension", 421: "Extension Required",
    422: "Session Interval Too Small", 423: "Interval Too Brief", 430: "Flow Failed", 439: "First Hop Lacks Outbound Support",
    440: "Max-Breadth Exceeded", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
    482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete", 486: "Busy Here", 487: "Request Terminated",
    488: "Not Acceptable Here", 491: "Request Pending", 500: "Server Internal Error", 501: "Not Implemented",
    502: "Bad Gateway", 503: "Service Unavailable", 504: "Server Time-out", 505: "Version Not Supported",
    513: "Message Too Large", 600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}  # fmt: skip

_STATUS_LINES = {
    f"SIP/2.0 {status} {phrase}".encode(): (status, phrase) for status, phrase in REASONS.items()
}

_new = object.__new__


@remember(4096)
def plain_request_line(start: bytes) -> tuple[str, str] | None:
    """
    Method and Request-URI of a request line as nearly everybody writes it; L{None} is for the whole grammar.

    Kept, since a phone refreshes with the same one, and ACK, BYE and their copies of a phone's calls come with few.
    """
    words = start.split(b" ")
    if len(words) != 3 or words[2] != b"SIP/2.0" or words[0] not in METHODS:
        return None
    uri = words[1]
    return None if not uri or _ODD_IN_URI.search(uri) else (METHODS[words[0]], uri.decode("ascii"))


def _fold(lines: list[bytes]) -> list[bytes]:
    """Put continuation lines back to the line that they continue, line breaks kept (7.3.1)."""
    folded: list[bytes] = []
    if not any(line[:1] in (b" ", b"\t") for line in lines[1:]):
        return lines
    for line in lines:
        if line[:1] in (b" ", b"\t") and folded:
            folded[-1] += b"\r\n" + line
        else:
            folded.append(line)
    return folded


def parse(data: bytes, most_headers: int = MAX_HEADERS) -> Request | Response:
    """
    Parse one whole message; octets behind C{Content-Length} are dropped (RFC 3261 section 18.3).

    @param data: a datagram, or what a stream framer cut out; leading CRLFs are ignored (7.5).
    @raise MalformedMessage: C{status_hint} 400, 505 for another SIP version, 513 for too many headers.
    """
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank or head[:2] in (b"\r\n", b""):
        data = data.lstrip(b"\r\n")
        head, blank, body = data.partition(b"\r\n\r\n")
        if not blank:
            head = head.rstrip(b"\r\n")  # a datagram may end behind its last header
            data = head + b"\r\n\r\n"
    # A CR or LF alone ends a line here, too. So there are as many lines as CRLFs, with what the pattern says of CR, only when
    # there is none: counting them in all octets would cost as much again as the lines.
    lines = head.splitlines()
    fault: MalformedMessage | None = None
    for layout in learned.get((len(lines) - 1, head[:4]), ()):
        fits = layout.fits
        if fits is not None and fits(head) and head[-1] != _LF and len(lines) <= most_headers:
            start = lines.pop(0)
            break
    else:
        start, layout, lines, fault = _line_by_line(head, most_headers)
    message: Request | Response
    known = _STATUS_LINES.get(start)
    plain = plain_request_line(start) if known is None else None
    if known is None and plain is None:
        message = _with_start_line(start, layout, lines, body)
    else:
        # As Request() and Response() do it, without their calls.
        if known is not None:
            message = response = _new(Response)
            response.status, response.reason = known
            response.received = data
        elif plain is not None:
            message = request = _new(Request)
            request.method, request.uri = plain
            request.received = None
        message.start = start
        message.layout = layout
        message.lines = lines
        message.body = body
        message._call_id = message._contact = message._cseq = message._from_uri = None
        message._tags = message._top_via = None
    if layout.content_length >= 0 and _LENGTHS.get(lines[layout.content_length]) != len(body):
        try:
            _cut_to_content_length(message)
        except MalformedMessage as error:
            fault = fault or error
    if fault is not None:
        fault.request = message if isinstance(message, Request) else None
        raise fault
    return message


def _line_by_line(
    head: bytes, most_headers: int
) -> tuple[bytes, Layout, list[bytes], MalformedMessage | None]:
    """Start line, layout, header lines and what is wrong with them, for what is in no order that comes often."""
    lines = head.split(b"\r\n")
    breaks = len(lines) - 1
    start = lines.pop(0)
    fault: MalformedMessage | None = None
    if breaks > most_headers:
        fault = MalformedMessage(f"more than {most_headers} header lines", 513)
        del lines[most_headers:]  # what came first is enough for an answer
    elif head.count(b"\n") != breaks:
        fault = MalformedMessage(_ALONE)
    for layout in learned.get((len(lines), start[:4]), ()):
        if all(map(_startswith, lines, layout.begins)) and head.count(b"\r") == breaks:
            layout.is_met()
            return start, layout, lines, fault
    if head.count(b"\r") != breaks:
        fault = fault or MalformedMessage(_ALONE)
    lines = _fold(lines)
    keys = [KEYS.get(line[: line.find(b":") + 1]) or key_of_line(line) for line in lines]
    if "" in keys:
        fault = fault or MalformedMessage(f"not a header: {lines[keys.index('')][:60]!r}")
    return start, learn(start, lines, keys) if fault is None else Layout(tuple(keys)), lines, fault


def _with_start_line(start: bytes, layout: Layout, lines: list[bytes], body: bytes) -> Request | Response:
    """A message by the whole grammar of its start line, for what is not written as nearly everybody does."""
    words = start.split(b" ")
    if words[0] == b"SIP/2.0" and len(words) > 2 and words[1] in _STATUSES:
        return Response(_STATUSES[words[1]], text_of(start[12:]), start, layout, lines, body)
    match = _REQUEST_LINE.fullmatch(start)
    if match is not None:
        request = Request(text_of(match[1]), text_of(match[2]), start, layout, lines, body)
        if match[4] != b"2.0":
            raise MalformedMessage(f"SIP version {text_of(match[4])}", 505, request)
        return request
    match = _STATUS_LINE.fullmatch(start)
    if match is not None:
        if match[1] != b"2.0":
            raise MalformedMessage(f"SIP version {text_of(match[1])}", 505)
        return Response(int(match[2]), text_of(match[3] or b""), start, layout, lines, body)
    # the method is all that an answer needs of a broken request line
    word = TOKEN.match(start)
    broken = None
    if word is not None and not start.upper().startswith(b"SIP/"):
        broken = Request(text_of(word[0]), "", start, layout, lines, body)
    raise MalformedMessage(f"not a start line: {start[:60]!r}", 400, broken)


def _cut_to_content_length(message: Message) -> None:
    line = message.lines[message.layout.content_length]
    value = line[line.index(b":") + 1 :].strip()
    if not (value.isdigit() and len(value) < 10):
        raise MalformedMessage(f"not a Content-Length: {value[:40]!r}")
    length = int(value)
    if length < len(message.body):
        message.body = message.body[:length]
        message.received = None
    elif length > len(message.body):
        raise MalformedMessage(f"Content-Length {length}, but {len(message.body)} octets came")
