"""
Session descriptions as lines that stay as they came (RFC 8866): only what the relay has to know is read. What it has to
change, changes L{voipcluster.media.rewriting}.
"""

from __future__ import annotations

import re
from enum import Enum
from itertools import pairwise
from sys import intern
from typing import Self

from attrs import field, frozen

from voipcluster.errors import ParseError
from voipcluster.media.codec import Codec, codecs_of
from voipcluster.media.target import is_unspecified
from voipcluster.remember import remember

MAX_MEDIA_LINES = 32

MEDIA = re.compile(rb"m=([\x21-\x7e]+) +([0-9]{1,5})(?:/([0-9]{1,5}))? +([\x21-\x7e]+)((?: [^\r\n]*)?)")
_CONNECTION = re.compile(rb"c=[ ]*([\x21-\x7e]+) +([\x21-\x7e]+) +([\x21-\x7e]+) *")
_RTCP = re.compile(rb"([0-9]{1,5})(?: +IN +IP[46] +([\x21-\x7e]+))? *")
_UFRAG = re.compile(rb"[A-Za-z0-9+/]{4,256}")  # RFC 8839 section 5.4
_SECOND_COMPONENT = re.compile(rb"[A-Za-z0-9+/]{1,32} +2 ")


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


class Ice(Enum):
    """What the writer does about ICE on a line (RFC 8839): nothing, checks, or answers to checks (RFC 8445 section 2.5)."""

    NONE = "none"
    FULL = "full"
    LITE = "lite"


_DIRECTIONS = {d.value.encode(): d for d in Direction}
_READ = {
    *(b"rtcp", b"rtcp-mux", b"rtcp-mux-only", b"mid", b"ice-ufrag", b"ice-lite"),
    b"bundle-only",
    *_DIRECTIONS,
}


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
    @ivar ufrag: of the writer's ICE agent, empty without ICE.
    @ivar mid: what C{a=group} calls the line (RFC 5888).
    @ivar mux_only: it has no port for RTCP alone (RFC 8858): by C{a=rtcp-mux-only}, or because its candidates are of RTP
        alone.
    @ivar bundle_only: port 0 does not refuse the line, it uses the transport of its BUNDLE group (RFC 9143 section 6).
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
    ice: Ice = Ice.NONE
    ufrag: str = ""
    mid: str = ""
    mux_only: bool = False
    bundle_only: bool = False

    @property
    def transport(self) -> Transport:
        return transport_of(self.protocol)

    @property
    def relayed(self) -> bool:
        return self.port != 0 and self.transport is not Transport.UNTOUCHED

    @property
    def muted(self) -> bool:
        """
        Nothing is to be sent to the writer, by the null address (RFC 3264 section 8.4).

        Not with ICE: there it says that the candidates are still to come (RFC 8840 section 4.1.1).
        """
        return self.ice is not Ice.FULL and is_unspecified(self.host)

    @property
    def held(self) -> bool:
        """The writer wants no media: inactive, sendonly, or the null address."""
        return self.direction in {Direction.SENDONLY, Direction.INACTIVE} or self.muted


@frozen
class Section:
    """The session (C{begin} 0) or one media section: lines C{begin} to before C{end}; C{connection} is a line number."""

    begin: int
    end: int
    connection: int | None
    attributes: dict[bytes, bytes] = field(repr=False)  # of those that are read


@frozen
class SessionDescription:
    """
    A parsed description; C{media} has one entry per C{m=} line, in order.

    @ivar bundles: the C{mid}s of each BUNDLE group, as listed (RFC 9143 section 7.1).
    """

    lines: tuple[bytes, ...]
    media: tuple[MediaLine, ...]
    sections: tuple[Section, ...]
    bundles: tuple[tuple[str, ...], ...] = ()

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
        session, *rest = (_section(lines, begin, end) for begin, end in pairwise(begins))
        host = "" if session.connection is None else connection_host(lines[session.connection])
        media = tuple(_media_line(lines, section, session, host) for section in rest)
        return cls(lines, media, (session, *rest), _bundles(lines, session))

    def owners(self, *, answer: bool) -> dict[int, int]:
        """
        The lines that use the transport of another one of their BUNDLE group, by position, and that of the other
        (RFC 9143 sections 7.2 and 7.3).

        In an answer these are all lines of the group but the first. In an offer those with the address of the first: the
        answerer may still want the others for themselves.
        """
        found: dict[int, int] = {}
        places = {line.mid: n for n, line in enumerate(self.media) if line.mid} if self.bundles else {}
        for group in self.bundles:
            live = [n for mid in group if (n := places.get(mid)) is not None and self.media[n].relayed]
            for n in live[1:]:
                first, line = self.media[live[0]], self.media[n]
                same = (first.host, first.port) == (line.host, line.port) and not is_unspecified(line.host)
                if n != live[0] and (answer or same):
                    found[n] = live[0]
        return found

    def bundle_only(self) -> list[int]:
        """Lines of an offer that have no transport of their own: port 0, but not refused (RFC 9143 section 6)."""
        return [n for n, line in enumerate(self.media) if line.port == 0 and line.bundle_only]


def _section(lines: tuple[bytes, ...], begin: int, end: int) -> Section:
    connection = None
    attributes: dict[bytes, bytes] = {}
    for number in range(begin, end):
        line = lines[number]
        if line.startswith(b"a="):
            name, _, value = line[2:].rstrip().partition(b":")
            if name in _READ:
                attributes[name] = value
            elif name == b"candidate" and _SECOND_COMPONENT.match(value):
                attributes[b"second-component"] = value
        elif connection is None and line.startswith(b"c="):
            connection = number
    return Section(begin, end, connection, attributes)


def end_of_line(line: bytes) -> bytes:
    return line[len(line.rstrip(b"\r\n")) :]


def connection_host(line: bytes) -> str:
    """
    The address of a C{c=} line; empty when it is none of the Internet.

    @raise ParseError: C{status_hint} is 488.
    """
    found = _CONNECTION.fullmatch(line.rstrip(b"\r\n"))
    if found is None:
        raise ParseError("SDP line c= has not the form c=IN IP4 address", 488)
    if found[1].upper() != b"IN":
        return ""
    return found[3].partition(b"/")[0].decode("ascii")


def _direction(section: Section) -> Direction | None:
    return next((d for name, d in _DIRECTIONS.items() if name in section.attributes), None)


def _ice(section: Section, session: Section) -> tuple[Ice, str]:
    ufrag = section.attributes.get(b"ice-ufrag") or session.attributes.get(b"ice-ufrag") or b""
    if _UFRAG.fullmatch(ufrag) is None:
        return Ice.NONE, ""
    return Ice.LITE if b"ice-lite" in session.attributes else Ice.FULL, ufrag.decode("ascii")


def _media_line(lines: tuple[bytes, ...], section: Section, session: Section, session_host: str) -> MediaLine:
    found = MEDIA.fullmatch(lines[section.begin].rstrip(b"\r\n"))
    port = 65536 if found is None else int(found[2])
    if found is None or port > 65535 or (found[3] is not None and int(found[3]) == 0):
        raise ParseError("SDP line m= has not the form m=media port protocol formats", 488)
    host = session_host if section.connection is None else connection_host(lines[section.connection])
    attributes = section.attributes
    rtcp_port, rtcp_host = port + 1, host
    if (value := attributes.get(b"rtcp")) is not None:
        rtcp = _RTCP.fullmatch(value)
        if rtcp is None or not 1 <= int(rtcp[1]) <= 65535:
            raise ParseError("SDP line a=rtcp has not the form a=rtcp:port IN IP4 address", 488)
        rtcp_port = int(rtcp[1])
        rtcp_host = host if rtcp[2] is None else rtcp[2].decode("ascii")
    ice, ufrag = _ice(section, session)
    mux = b"rtcp-mux" in attributes or b"rtcp-mux-only" in attributes
    line = MediaLine(
        kind=intern(found[1].decode("ascii")),
        port=port,
        protocol=intern(found[4].decode("ascii")),
        host=host,
        rtcp_port=rtcp_port,
        rtcp_host=rtcp_host,
        rtcp_mux=mux,
        direction=_direction(section) or _direction(session) or Direction.SENDRECV,
        codecs=codecs_of(found[5], lines[section.begin + 1 : section.end]),
        ice=ice,
        ufrag=ufrag,
        mid=attributes.get(b"mid", b"").decode("ascii", "replace"),
        mux_only=mux
        and (
            b"rtcp-mux-only" in attributes or (ice is not Ice.NONE and b"second-component" not in attributes)
        ),
        bundle_only=b"bundle-only" in attributes,
    )
    if line.relayed and not host:
        raise ParseError(f"SDP has no usable c= line for m={line.kind}", 488)
    return line


def _bundles(lines: tuple[bytes, ...], session: Section) -> tuple[tuple[str, ...], ...]:
    found = (lines[n] for n in range(session.begin, session.end) if lines[n].startswith(b"a=group:BUNDLE "))
    return tuple(tuple(line.decode("ascii", "replace").split()[1:]) for line in found)
