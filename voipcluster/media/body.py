"""Finding the session description in a message body, alone or as one part of a multipart body (RFC 5621, RFC 2046)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from voipcluster.errors import ParseError

MAX_DEPTH = 3
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_PLAIN_ENCODINGS = {b"", b"7bit", b"8bit", b"binary"}


class Part(NamedTuple):
    """
    Where the description is: octets C{begin} to before C{end} of the body.

    C{length} is the place of the digits of the part's own Content-Length, when it has one.
    """

    begin: int
    end: int
    length: tuple[int, int] | None = None


def is_fragment(content_type: str) -> bool:
    """Whether a body has candidates that trickle (RFC 8840 section 9)."""
    return content_type.partition(";")[0].strip().lower() == "application/trickle-ice-sdpfrag"


def find_sdp(content_type: str | None, body: bytes) -> Part | None:
    """
    @param content_type: value of the Content-Type header, or L{None} when there is none.
    @raise ParseError: an SDP part in an encoding that cannot be edited in place; C{status_hint} is 488.
    """
    if content_type is None or not body:
        return None
    return _find(content_type, body, 0, len(body), 0)


def replace_part(body: bytes, part: Part, sdp: bytes) -> bytes:
    """The body with other octets in the part, everything else bit for bit."""
    head = body[: part.begin]
    if part.length is not None:
        begin, end = part.length
        head = body[:begin] + b"%d" % len(sdp) + body[end : part.begin]
    return head + sdp + body[part.end :]


def _find(content_type: str, body: bytes, begin: int, end: int, depth: int) -> Part | None:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/sdp":
        return Part(begin, end)
    if not kind.startswith("multipart/") or depth == MAX_DEPTH:
        return None
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return None
    delimiter = b"--" + (boundary[1] or boundary[2]).encode("utf-8", "surrogateescape")
    line = re.compile(rb"(?:\r?\n|(?<![^\n]))" + re.escape(delimiter) + rb"(?:--)?[ \t]*(?=\r?\n|$)")
    marks = list(line.finditer(body, begin, end))
    for mark, following in pairwise(marks):
        part = _entity(body, mark.end(), following.start(), depth)
        if part is not None:
            return part
    return None


def _entity(body: bytes, begin: int, end: int, depth: int) -> Part | None:
    """Look into one part; C{begin} is at the line end behind its delimiter."""
    blank = re.compile(rb"\r?\n\r?\n").search(body, begin, end)
    if blank is None:
        return None
    headers = body[begin : blank.start()]
    content_type = _header(headers, b"Content-Type")
    if content_type is None:
        return None
    part = _find(content_type[0].decode("utf-8", "surrogateescape"), body, blank.end(), end, depth + 1)
    if part is None or part.begin != blank.end() or part.end != end:
        return part
    encoding = _header(headers, b"Content-Transfer-Encoding")
    if encoding is not None and encoding[0].strip().lower() not in _PLAIN_ENCODINGS:
        raise ParseError("SDP part with a Content-Transfer-Encoding", 488)
    length = _header(headers, b"Content-Length")
    if length is None or not length[0].strip().isdigit():
        return part
    at = begin + length[1]
    return Part(part.begin, part.end, (at, at + len(length[0].rstrip())))


def _header(headers: bytes, name: bytes) -> tuple[bytes, int] | None:
    """Value of a header, unfolded lines not joined, and where it begins."""
    found = re.search(
        rb"(?:^|\n)" + re.escape(name) + rb"[ \t]*:[ \t]*([^\r\n]*(?:\r?\n[ \t]+[^\r\n]*)*)", headers, re.I
    )
    return None if found is None else (found[1], found.start(1))
