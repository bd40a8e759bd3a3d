"""
Session descriptions as lines that stay as they came (RFC 8866): only what the relay has to know is read, and only
the octets that it has to change are changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from itertools import pairwise
from sys import intern
from typing import Self

from attrs import frozen

from voipcluster.errors import ParseError
from voipcluster.media.codec import Codec, codecs_of
from voipcluster.media.target import is_unspecified
from voipcluster.remember import remember

MAX_MEDIA_LINES = 32

_MEDIA = re.compile(rb"m=([\x21-\x7e]+) +([0-9]{1,5})(?:/([0-9]{1,5}))? +([\x21-\x7e]+)((?: [^\r\n]*)?)")
_CONNECTION = re.compile(rb"c=[ ]*([\x21-\x7e]+) +([\x21-\x7e]+) +([\x21-\x7e]+) *")
_RTCP = re.compile(rb"a=rtcp:([0-9]{1,5})(?: +IN +IP[46] +([\x21-\x7e]+))? *")
# Other ways to the peer, past the relay: ICE (RFC 8839), RFC 6947. Both ends fall back to c= and m=.
_BYPASS = re.compile(
    rb"a=(?:candidate|remote-candidates|end-of-candidates|ice-[a-z0-9-]+|altc)(?=[:\s]|$)", re.IGNORECASE
)


class Direction(Enum):
    """Who sends, seen from the one who wrote the description (RFC 3264 section 5.1)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


class Transport(Enum):
    """How the relay treats a media line: a port pair, one port, or not at all."""

    RTP = "rtp"
    DATAGRAM = "datagram"
    UNTOUCHED = "untouched"


_DIRECTIONS = {b"a=" + d.value.encode(): d for d in Direction}


@remember(64)
def transport_of(protocol: str) -> Transport:
    """What the relay does with a line of that C{proto} (RFC 8866 section 8.2.4)."""
    words = set(protocol.upper().split("/"))
    if "TCP" in words:
        return Transport.UNTOUCHED  # MSRP, BFCP: RFC 4145
    if "RTP" in words:
        return Transport.RTP
    return Transport.DATAGRAM if words & {"UDP", "UDPTL", "DTLS"} else Transport.UNTOUCHED


@frozen
class MediaLine:
    """
    One C{m=} line with what its section and the session say about it.

    @ivar port: 0 for a line that is refused or ended (RFC 3264 section 6).
    @ivar host: as written in C{c=}, without a TTL; an IP literal or a name.
    @ivar rtcp_port: from C{a=rtcp} (RFC 3605), else the port above.
    @ivar rtcp_host: from C{a=rtcp}, else C{host}.
    @ivar codecs: its formats by name, those of media alone.
    """

    kind: str
    port: int
    protocol: str
    host: str
    rtcp_port: int
    rtcp_host: str
    rtcp_mux: bool
    direction: Direction
    codecs: tuple[Codec, ...] = ()

    @property
    def transport(self) -> Transport:
        return transport_of(self.protocol)

    @property
    def relayed(self) -> bool:
        return self.port != 0 and self.transport is not Transport.UNTOUCHED

    @property
    def held(self) -> bool:
        """The writer wants no media: inactive, sendonly, or the null address (RFC 3264 section 8.4)."""
        return self.direction in {Direction.SENDONLY, Direction.INACTIVE} or is_unspecified(self.host)


@frozen
class _Section:
    """The session (C{begin} 0) or one media section: lines C{begin} to before C{end}; C{connection} is a line number."""

    begin: int
    end: int
    connection: int | None


@frozen
class SessionDescription:
    """A parsed description; C{media} has one entry per C{m=} line, in order."""

    lines: tuple[bytes, ...]
    media: tuple[MediaLine, ...]
    _sections: tuple[_Section, ...]

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """
        @param body: lines that end in CRLF or in LF alone; the last one may have no end.
        @raise ParseError: no description that media can be relayed for; C{status_hint} is 488.
        """
        lines = tuple(body.splitlines(keepends=True))
        if not lines or not lines[0].startswith(b"v="):
            raise ParseError("SDP does not begin with v=", 488, 0)
        begins = [0, *(n for n, line in enumerate(lines) if line.startswith(b"m=")), len(lines)]
        if len(begins) - 2 > MAX_MEDIA_LINES:
            raise ParseError(f"SDP has {len(begins) - 2} media lines, more than {MAX_MEDIA_LINES}", 488)
        sections = tuple(
            _Section(begin, end, _first(lines, begin, end, b"c=")) for begin, end in pairwise(begins)
        )
        session = sections[0]
        host = "" if session.connection is None else _connection_host(lines[session.connection])
        direction = _direction(lines, session, Direction.SENDRECV)
        media = tuple(_media_line(lines, section, host, direction) for section in sections[1:])
        return cls(lines, media, sections)

    def rewritten(self, host: str, ports: Mapping[int, tuple[int, int]]) -> bytes:
        """
        The description with our address in place of the writer's.

        A C{c=} line with the null address stays: it means hold. Of a line C{49170/2} only one port is relayed.

        @param host: an IP literal for every line in C{ports}.
        @param ports: by position of the media line: our (RTP, RTCP) ports.
        """
        if not ports:
            return b"".join(self.lines)
        out = list(self.lines)
        address = b"IN IP6 " if ":" in host else b"IN IP4 "
        address += host.encode("ascii")
        session = self._sections[0]
        inheriting = {
            n
            for n, section in enumerate(self._sections[1:])
            if section.connection is None and self.media[n].port != 0
        }
        at_session = session.connection is not None and inheriting <= ports.keys()
        if at_session and session.connection is not None:
            _set_connection(out, session.connection, address)
        _drop_bypass(out, session)
        for n, (rtp, rtcp) in ports.items():
            section = self._sections[n + 1]
            _drop_bypass(out, section)
            out[section.begin] = _with_port(self.lines[section.begin], rtp)
            if section.connection is not None:
                _set_connection(out, section.connection, address)
                for more in range(section.connection + 1, section.end):
                    if out[more].startswith(b"c="):
                        out[more] = b""  # a second layer or stream would lead past the relay
            elif not at_session and not is_unspecified(self.media[n].host):
                _insert_connection(out, section, address)
            for number in range(section.begin + 1, section.end):
                if out[number].startswith(b"a=rtcp:"):
                    out[number] = b"a=rtcp:%d" % rtcp + _end_of_line(out[number])
        return b"".join(out)


def _first(lines: tuple[bytes, ...], begin: int, end: int, prefix: bytes) -> int | None:
    return next((n for n in range(begin, end) if lines[n].startswith(prefix)), None)


def _end_of_line(line: bytes) -> bytes:
    return line[len(line.rstrip(b"\r\n")) :]


def _connection_host(line: bytes) -> str:
    found = _CONNECTION.fullmatch(line.rstrip(b"\r\n"))
    if found is None:
        raise ParseError("SDP line c= has not the form c=IN IP4 address", 488)
    if found[1].upper() != b"IN":
        return ""
    return found[3].partition(b"/")[0].decode("ascii")


def _direction(lines: tuple[bytes, ...], section: _Section, inherited: Direction) -> Direction:
    for number in range(section.begin, section.end):
        if (direction := _DIRECTIONS.get(lines[number].strip())) is not None:
            return direction
    return inherited


def _media_line(
    lines: tuple[bytes, ...], section: _Section, session_host: str, inherited: Direction
) -> MediaLine:
    found = _MEDIA.fullmatch(lines[section.begin].rstrip(b"\r\n"))
    port = 65536 if found is None else int(found[2])
    if found is None or port > 65535 or (found[3] is not None and int(found[3]) == 0):
        raise ParseError("SDP line m= has not the form m=media port protocol formats", 488)
    host = session_host if section.connection is None else _connection_host(lines[section.connection])
    rtcp_port, rtcp_host, mux = port + 1, host, False
    for number in range(section.begin + 1, section.end):
        line = lines[number]
        if line.startswith(b"a=rtcp:"):
            rtcp = _RTCP.fullmatch(line.rstrip(b"\r\n"))
            if rtcp is None or not 1 <= int(rtcp[1]) <= 65535:
                raise ParseError("SDP line a=rtcp has not the form a=rtcp:port IN IP4 address", 488)
            rtcp_port = int(rtcp[1])
            rtcp_host = host if rtcp[2] is None else rtcp[2].decode("ascii")
        elif line.startswith(b"a=rtcp-mux"):
            mux = True
    line_ = MediaLine(
        kind=intern(found[1].decode("ascii")),
        port=port,
        protocol=intern(found[4].decode("ascii")),
        host=host,
        rtcp_port=rtcp_port,
        rtcp_host=rtcp_host,
        rtcp_mux=mux,
        direction=_direction(lines, section, inherited),
        codecs=codecs_of(found[5], lines[section.begin + 1 : section.end]),
    )
    if line_.relayed and not host:
        raise ParseError(f"SDP has no usable c= line for m={line_.kind}", 488)
    return line_


def _with_port(line: bytes, port: int) -> bytes:
    found = _MEDIA.match(line)
    assert found is not None, "parse() accepted this line"
    last = found.end(2) if found[3] is None else found.end(3)
    return line[: found.start(2)] + b"%d" % port + line[last:]


def _set_connection(out: list[bytes], number: int, address: bytes) -> None:
    line = out[number]
    if not is_unspecified(_connection_host(line)):
        out[number] = b"c=" + address + _end_of_line(line)


def _insert_connection(out: list[bytes], section: _Section, address: bytes) -> None:
    title = section.begin + 1  # the order is m=, i=, c= (RFC 8866 section 9)
    place = title if title < section.end and out[title].startswith(b"i=") else section.begin
    ending = _end_of_line(out[place])
    if ending:
        out[place] += b"c=" + address + ending
    else:
        out[place] += b"\r\nc=" + address


def _drop_bypass(out: list[bytes], section: _Section) -> None:
    for number in range(section.begin, section.end):
        if _BYPASS.match(out[number]):
            out[number] = b""
