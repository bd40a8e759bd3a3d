"""An offer without the codecs that its reader may not use (RFC 3264 section 5.1: a format that is left out is not offered)."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from voipcluster.errors import ParseError
from voipcluster.media.codec import BESIDE, STATIC
from voipcluster.media.sdp import MEDIA, SessionDescription, Transport, end_of_line

_OF_FORMAT: Final = re.compile(rb"a=(?:rtpmap|fmtp|rtcp-fb):([0-9]{1,3})(?=[ \r\n])")
_RTPMAP: Final = re.compile(rb"a=rtpmap:([0-9]{1,3}) +([\x21-\x2e\x30-\x7e]{1,32})/")
_APT: Final = re.compile(rb"a=fmtp:([0-9]{1,3}) .*\bapt=([0-9]{1,3})")
_MOST: Final = 128  # payload types there are


def encodings(body: bytes) -> list[str]:
    """
    The encoding names (RFC 8866 section 6.6) of an offer, as RFC 3551 spells them, in upper case; none of what goes beside.

    @return: empty when it is no description.
    """
    try:
        description = SessionDescription.parse(body)
    except ParseError:
        return []
    names = [
        name
        for section in description.sections[1:]
        for name in _names(description.lines[section.begin : section.end]).values()
    ]
    return [name for name in dict.fromkeys(names) if name not in BESIDE]


def only_encodings(body: bytes, allowed: Collection[str]) -> bytes:
    """
    The same offer with these encodings only; what goes beside them (digits, comfort noise, retransmission) stays.

    A line of RTP that is left without any gets port 0, as if it were not wanted (RFC 3264 section 5.1).

    @param allowed: encoding names, in any case.
    @raise ParseError: 488, nothing would be left to talk with; or it is no description.
    """
    description = SessionDescription.parse(body)
    names = {name.upper() for name in allowed}
    out = list(description.lines)
    left = False
    for line, section in zip(description.media, description.sections[1:], strict=True):
        if line.transport is not Transport.RTP or line.port == 0:
            left = left or line.port != 0
            continue
        begin, end = section.begin, section.end
        found = _names(description.lines[begin:end])
        kept = {payload for payload, name in found.items() if name in names and name not in BESIDE}
        if not kept:
            out[begin] = _refused(out[begin])
            continue
        left = True
        with_what = _retransmits(description.lines[begin:end])
        kept |= {
            payload
            for payload, name in found.items()
            if name in BESIDE and with_what.get(payload, payload) in kept | {payload}
        }
        media = MEDIA.match(out[begin])
        assert media is not None, "parse() accepted this line"
        formats = b"".join(b" " + payload for payload in media[5].split() if payload in kept)
        out[begin] = out[begin][: media.start(5)] + formats + end_of_line(out[begin])
        for number in range(begin + 1, end):
            of_format = _OF_FORMAT.match(out[number])
            if of_format is not None and of_format[1] in found and of_format[1] not in kept:
                out[number] = b""
    if not left:
        raise ParseError(f"no codec of the offer may be used; allowed are {', '.join(sorted(names))}", 488)
    return b"".join(out)


def _names(lines: tuple[bytes, ...]) -> dict[bytes, str]:
    """The encoding name of each format of a media section, in its order; formats without a name are left out."""
    media = MEDIA.match(lines[0])
    assert media is not None, "parse() accepted this line"
    known = {payload: codec.name for payload, codec in STATIC.items()} | {b"13": "CN"}
    for line in lines[1:]:
        found = _RTPMAP.match(line)
        if found is not None:
            known[found[1]] = found[2].decode("ascii").upper()
    return {payload: known[payload] for payload in media[5].split()[:_MOST] if payload in known}


def _retransmits(lines: tuple[bytes, ...]) -> dict[bytes, bytes]:
    """Which format those of RTX belong to (RFC 4588 section 8.1)."""
    return {found[1]: found[2] for line in lines if (found := _APT.match(line)) is not None}


def _refused(line: bytes) -> bytes:
    media = MEDIA.match(line)
    assert media is not None, "parse() accepted this line"
    last = media.end(2) if media[3] is None else media.end(3)
    return line[: media.start(2)] + b"0" + line[last:]
