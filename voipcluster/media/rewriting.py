"""
A description as the other side gets it: our address, ports and ICE candidates in place of the writer's, every other octet
as it came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from voipcluster.media.ice import Credentials, candidates
from voipcluster.media.sdp import MEDIA, Ice, Section, SessionDescription, connection_host, end_of_line
from voipcluster.media.target import is_unspecified

# Other ways to the peer, past the relay: ICE (RFC 8839, RFC 8840), RFC 6947. Both ends fall back to c= and m=.
_BYPASS = re.compile(
    rb"a=(?:candidate|remote-candidates|end-of-candidates|ice-[a-z0-9-]+|altc)(?=[:\s]|$)", re.IGNORECASE
)
_MUX = re.compile(rb"a=rtcp-mux(?:-only)?\s*")
_CANDIDATE = re.compile(rb"a=(?:candidate|remote-candidates)[:\s]", re.IGNORECASE)


class Shown(NamedTuple):
    """
    What a media line says instead.

    @ivar rtp: our ports; 0 for a line of a BUNDLE group that has none of its own (RFC 9143 section 7.2.1).
    @ivar ice: we answer ICE checks there; else the line says nothing of ICE.
    @ivar mux: whether C{a=rtcp-mux} is there; L{None}: as it came.
    @ivar components: with a candidate: 2 when RTCP may use its own port.
    """

    rtp: int
    rtcp: int
    ice: bool = False
    mux: bool | None = None
    components: int = 1


def rewritten(
    description: SessionDescription,
    host: str,
    lines: Mapping[int, Shown],
    credentials: Credentials | None = None,
) -> bytes:
    """
    The description with our address in place of the writer's.

    A C{c=} line with the null address stays: it means hold (not with ICE, see L{MediaLine.muted}). Of a line C{49170/2}
    only one port is relayed.

    @param host: an IP literal for every line in C{lines}.
    @param lines: by position of the media line.
    @param credentials: of our ICE agent that faces the reader; needed for lines with C{ice}.
    """
    if not lines:
        return b"".join(description.lines)
    out = list(description.lines)
    address = b"IN IP6 " if ":" in host else b"IN IP4 "
    address += host.encode("ascii")
    session, *sections = description.sections
    inheriting = [
        n
        for n, section in enumerate(sections)
        if section.connection is None and description.media[n].port != 0
    ]
    at_session = session.connection is not None and lines.keys() >= set(inheriting)
    if at_session:
        trickled = bool(inheriting) and all(description.media[n].ice is Ice.FULL for n in inheriting)
        _only_connection(out, session, address, trickled)
    if all(n in lines for n, line in enumerate(description.media) if line.ice is not Ice.NONE and line.port):
        _drop(out, session, _BYPASS)
    with_ice = credentials is not None and any(shown.ice for shown in lines.values())
    for n, shown in lines.items():
        section, line = sections[n], description.media[n]
        _drop(out, section, _BYPASS)
        if shown.rtp:
            out[section.begin] = _with_port(description.lines[section.begin], shown.rtp)
            if section.connection is not None:
                _only_connection(out, section, address, line.ice is Ice.FULL)
            elif not at_session and not line.muted:
                _insert_connection(out, section, address)
            for number in range(section.begin + 1, section.end):
                if out[number].startswith(b"a=rtcp:"):
                    out[number] = b"a=rtcp:%d" % shown.rtcp + end_of_line(out[number])
        if shown.mux is False:
            _drop(out, section, _MUX)
        more_lines = [b"a=rtcp-mux"] if shown.mux and not line.rtcp_mux else []
        if shown.ice and credentials is not None:
            more_lines += credentials.attributes()
            if shown.rtp:
                more_lines += candidates(host, (shown.rtp, shown.rtcp)[: shown.components])
        _append(out, section, more_lines)
    if with_ice:  # RFC 8839 sections 5.3 and 5.6
        _append(out, session, [b"a=ice-lite", b"a=ice-options:ice2"])
    return b"".join(out)


def without_candidates(fragment: bytes) -> bytes:
    """A fragment that trickles candidates (RFC 8840 section 9) without them: they would lead past the relay."""
    return b"".join(line for line in fragment.splitlines(keepends=True) if not _CANDIDATE.match(line))


def _with_port(line: bytes, port: int) -> bytes:
    found = MEDIA.match(line)
    assert found is not None, "parse() accepted this line"
    last = found.end(2) if found[3] is None else found.end(3)
    return line[: found.start(2)] + b"%d" % port + line[last:]


def _only_connection(out: list[bytes], section: Section, address: bytes, trickled: bool) -> None:
    assert section.connection is not None, "the section has one"
    line = out[section.connection]
    if trickled or not is_unspecified(connection_host(line)):
        out[section.connection] = b"c=" + address + end_of_line(line)
    for more in range(section.connection + 1, section.end):
        if out[more].startswith(b"c="):
            out[more] = b""  # a second layer or stream would lead past the relay


def _insert_connection(out: list[bytes], section: Section, address: bytes) -> None:
    title = section.begin + 1  # the order is m=, i=, c= (RFC 8866 section 9)
    place = title if title < section.end and out[title].startswith(b"i=") else section.begin
    _insert_behind(out, place, [b"c=" + address])


def _append(out: list[bytes], section: Section, lines: list[bytes]) -> None:
    """At the end of a section; behind its last line, for what is dropped has no line end to go by."""
    if lines:
        last = next(n for n in range(section.end - 1, section.begin - 1, -1) if out[n])
        _insert_behind(out, last, lines)


def _insert_behind(out: list[bytes], place: int, lines: list[bytes]) -> None:
    ending = end_of_line(out[place])
    if ending:
        out[place] += b"".join(line + ending for line in lines)
    else:
        out[place] += b"".join(b"\r\n" + line for line in lines)


def _drop(out: list[bytes], section: Section, what: re.Pattern[bytes]) -> None:
    for number in range(section.begin, section.end):
        if what.match(out[number]):
            out[number] = b""
