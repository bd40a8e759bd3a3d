"""Typed header values that more than one part needs: lists, parameters, name-addr and Via (RFC 3261 sections 20 and 25.1)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from attrs import frozen

from voipcluster.address import bracketed
from voipcluster.errors import ParseError
from voipcluster.sip.uri import Params, SipUri, ipv6_reference, parse_uri

RPORT_ASKED: Final = 0  # an rport parameter without a value (RFC 3581 section 3); 0 is no port

LWS: Final = " \t\r\n"  # what str.strip() alone takes off is more: U+0085 belongs to a value (25.1)

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PARAM = re.compile(
    r"""\s*;\s*(?P<name>[^\s=;,"<>]+)(?:\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|[^\s;,"<>]+))?""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_LIST_STOPS = re.compile(r'[",<>]')
_VIA = re.compile(
    r"""\s*SIP\s*/\s*(?P<version>[^\s/]+)\s*/\s*(?P<transport>[^\s/;,]+)\s+
        (?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-_]+)(?:\s*:\s*(?P<port>[0-9]{1,5}))?
        (?P<params>(?:\s*;.*)?)\s*""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL | re.ASCII,
)
_PLAIN_VIA = re.compile(
    r"SIP/2\.0/(UDP|TCP|TLS|WSS?) ([0-9.]+|[a-z0-9.\-]+)(?::([1-9][0-9]{0,4}))?((?:;[a-z]+(?:=[A-Za-z0-9.\-!%*_+`'~]+)?)*)"
)
_PLAIN_ADDRESS = re.compile(r'[^<>"]*<([^<>"]+)>[^<>"]*')
_IPV6_REFERENCE = re.compile(r"\[[0-9A-Fa-f:.]+\]")
TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")


def split_list(value: str) -> list[str]:
    """Split C{a, "b, c" <sip:x,y>, d} at its commas, not at those in quotes or angle brackets; no empty values."""
    if "," not in value:
        return [value] if value else []
    if '"' not in value and "<" not in value:
        return [part for part in (part.strip(LWS) for part in value.split(",")) if part]
    parts: list[str] = []
    start = position = 0
    in_brackets = False
    while (stop := _LIST_STOPS.search(value, position)) is not None:
        position = stop.end()
        match stop[0]:
            case '"' if not in_brackets:
                quoted = _QUOTED.match(value, stop.start())
                if quoted is None:
                    raise ParseError(f"unbalanced quotes in {value[:80]!r}")
                position = quoted.end()
            case "<":
                in_brackets = True
            case ">":
                in_brackets = False
            case "," if not in_brackets:
                parts.append(value[start : stop.start()].strip(LWS))
                start = position
    parts.append(value[start:].strip(LWS))
    return [part for part in parts if part]


def parse_params(text: str, *, quoted: bool = False) -> Params:
    """
    Parse C{;name=value;flag} behind a header value; names in lower case, values without their quotes.

    @param quoted: leave values in their quotes, to write them as they came.
    @raise ParseError: anything else stands there.
    """
    if not text.strip(LWS):
        return ()
    found: list[tuple[str, str | None]] = []
    position = 0
    while position < len(text):
        match = _PARAM.match(text, position)
        if match is None:
            if text[position:].strip(LWS) in ("", ";"):
                break  # a ";" at the end is harmless, two are none (RFC 4475 section 3.1.2.1)
            raise ParseError(f"not a parameter: {text[position : position + 40]!r}")
        value = match["value"]
        found.append((match["name"].lower(), value if value is None or quoted else unquote(value)))
        position = match.end()
    return tuple(found)


def unquote(value: str) -> str:
    """The text of a quoted-string, or the value as it stands."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
    return value


def quote(text: str) -> str:
    """A quoted-string that says C{text} (25.1)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def format_params(params: Params) -> str:
    """The text of parameters; values that are no tokens are quoted."""
    out: list[str] = []
    for name, value in params:
        if value is None:
            out.append(f";{name}")
        elif TOKEN.fullmatch(value) or _IPV6_REFERENCE.fullmatch(value):
            out.append(f";{name}={value}")
        else:
            out.append(f";{name}={quote(value)}")
    return "".join(out)


@frozen
class NameAddr:
    """
    C{"Display" <uri>;params} or C{uri;params} (RFC 3261 sections 20.10 and 25.1).

    @ivar uri: its text as received; C{params}: those of the header, not those of the URI.
    """

    uri: str
    display: str = ""
    params: Params = ()

    def param(self, name: str) -> str | None:
        """The value of a parameter; an empty string for a flag, L{None} when it is absent."""
        for key, value in self.params:
            if key == name:
                return value or ""
        return None

    def sip_uri(self) -> SipUri:
        """@raise ParseError: another scheme, or no URI."""
        return parse_uri(self.uri)

    def __str__(self) -> str:
        display = f"{quote(self.display)} " if self.display else ""
        return f"{display}<{self.uri}>{format_params(self.params)}"


def parse_name_addr(value: str) -> NameAddr:
    """
    @param value: one value, unfolded, without header name.
    @raise ParseError: neither name-addr nor addr-spec, or broken parameters.
    """
    text = value.strip(LWS)
    display = ""
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        if quoted is None:
            raise ParseError(f"unbalanced quotes in {value[:80]!r}")
        display = unquote(quoted[0])
        text = text[quoted.end() :].lstrip(LWS)
        if not text.startswith("<"):
            raise ParseError(f"no <URI> behind the display name in {value[:80]!r}")
    bracket = text.find("<")
    if bracket >= 0:
        display = display or text[:bracket].strip(LWS)
        closing = text.find(">", bracket)
        if closing < 0:
            raise ParseError(f"no closing > in {value[:80]!r}")
        return NameAddr(text[bracket + 1 : closing].strip(LWS), display, parse_params(text[closing + 1 :]))
    # without brackets everything behind the first ";" belongs to the header (20: ", ; ?" need brackets)
    uri, semicolon, params = text.partition(";")
    uri = uri.rstrip(LWS)
    if not uri or any(c in uri for c in ' \t">'):
        raise ParseError(f"not an address: {value[:80]!r}")
    return NameAddr(uri, "", parse_params(semicolon + params))


def address_uri(value: str) -> str:
    """
    The URI of a From, To or Contact value, without looking at its parameters.

    @raise ParseError: neither name-addr nor addr-spec.
    """
    plain = _PLAIN_ADDRESS.fullmatch(value)
    return plain[1].strip(LWS) if plain is not None else parse_name_addr(value).uri


class Via(NamedTuple):
    """
    One Via value (RFC 3261 section 20.42).

    @ivar transport: in upper case; C{host} in lower case, IPv6 without brackets; C{port} 1 to 65535 or L{None}.
    @ivar params: (name in lower case, value as it stands, also in quotes).
    @ivar received: an IP literal without brackets, though they may be there (RFC 5118 section 4.5).
    @ivar rport: the port, L{RPORT_ASKED} when present without a value (RFC 3581 section 3), L{None} when absent.
    """

    transport: str
    host: str
    port: int | None = None
    params: Params = ()

    def param(self, name: str) -> str | None:
        for key, value in self.params:
            if key == name:
                return value or ""
        return None

    @property
    def branch(self) -> str:
        return self.param("branch") or ""

    @property
    def is_plain(self) -> bool:
        """Whether branch is its only parameter: no rport, received or maddr, as with many clients on UDP."""
        params = self.params
        return len(params) == 1 and params[0][0] == "branch"

    @property
    def received(self) -> str | None:
        return (self.param("received") or "").strip("[]") or None

    @property
    def rport(self) -> int | None:
        value = self.param("rport")
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and len(value) <= 5):
            return RPORT_ASKED
        return int(value) if int(value) < 65536 else RPORT_ASKED

    def with_source(self, host: str, port: int) -> Via:
        """Note where the request really came from (RFC 3261 section 18.2.1, RFC 3581 section 4)."""
        asked = any(name == "rport" for name, _ in self.params)
        kept = tuple(
            (name, str(port)) if name == "rport" else (name, value)
            for name, value in self.params
            if name != "received"
        )
        if asked or self.host != host:
            kept = (*kept, ("received", host))
        return self._replace(params=kept)

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        params = "".join(f";{n}" if v is None else f";{n}={v}" for n, v in self.params)
        return f"SIP/2.0/{self.transport} {bracketed(self.host)}{port}{params}"


def parse_via(value: str) -> Via:
    """
    Parse one Via header value (RFC 3261 sections 20.42 and 25.1).

    @param value: one value, unfolded, without header name or commas.
    @raise ParseError: not a C{via-parm}; C{status_hint} is 400.
    """
    plain = _PLAIN_VIA.fullmatch(value)
    if plain is not None and (plain[3] is None or int(plain[3]) <= 65535):
        # as nearly everybody writes it
        transport, host, number, params = plain.groups()
        pairs = []
        for param in params.split(";")[1:]:
            name, equals, text = param.partition("=")
            pairs.append((name, text if equals else None))
        return Via(transport, host, int(number) if number else None, tuple(pairs))
    match = _VIA.fullmatch(value)
    if match is None:
        raise ParseError(f"not a Via: {value[:80]!r}")
    host = match["host"].lower()
    if host.startswith("["):
        host = ipv6_reference(host)
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 1 <= port <= 65535:
        raise ParseError(f"port {port} in Via is outside 1 to 65535")
    return Via(match["transport"].upper(), host, port, parse_params(match["params"], quoted=True))
