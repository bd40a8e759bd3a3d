"""SIP and SIPS URIs (RFC 3261 sections 19.1 and 25.1); URIs of other schemes are kept as text."""

from __future__ import annotations

import ipaddress
import re

from attrs import evolve, frozen

from voipcluster.address import bracketed, is_ip, is_ipv6
from voipcluster.errors import ParseError
from voipcluster.remember import remember

_URI = re.compile(
    r"""(?P<scheme>sips?):
        (?:(?P<user>[A-Za-z0-9\-_.!~*'()&=+$,;?/%]+)(?::(?P<password>[A-Za-z0-9\-_.!~*'()&=+$,%]*))?@)?
        (?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-_]+)
        (?::(?P<port>[0-9]{1,5}))?
        (?P<params>(?:;[^;?\x00-\x20\x7f<>"@]+)*)
        (?:\?(?P<headers>[^\x00-\x20\x7f<>"]*))?""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()")
# parameters that have no place in a Request-URI or make two URIs different when only one has them (19.1.4)
_SIGNIFICANT = frozenset({"user", "ttl", "method", "maddr", "transport"})

Params = tuple[tuple[str, str | None], ...]


def unescape(text: str) -> str:
    """Decode %HH of unreserved characters, write the other escapes in upper case (19.1.4: the two forms are equal)."""
    if "%" not in text:
        return text

    def decoded(match: re.Match[str]) -> str:
        octet = int(match[1], 16)
        return chr(octet) if octet in _UNRESERVED else "%" + match[1].upper()

    return _ESCAPE.sub(decoded, text)


def ipv6_reference(text: str) -> str:
    """
    The address in C{[address]}; an extra colon, which a bug in a grammar allowed, goes away (RFC 5118 section 4.10).

    @raise ParseError: no IPv6 address.
    """
    host = text[1:-1]
    if not (is_ipv6(host) and (is_ip(host) or is_ip(host := host.replace(":::", "::", 1)))):
        raise ParseError(f"not an IPv6 reference: {text[:80]!r}")
    return host


def _same_host(ours: str, theirs: str) -> bool:
    """Host names as text, IPv6 addresses as what they mean (RFC 5954 section 4.2)."""
    if ours == theirs or not (is_ipv6(ours) and is_ipv6(theirs)):
        return ours == theirs
    return ipaddress.ip_address(ours) == ipaddress.ip_address(theirs)


def parse_uri_params(text: str) -> Params:
    """Parse C{;name=value;flag}; names in lower case, values as they stand (None without "=")."""
    found: list[tuple[str, str | None]] = []
    for part in text.split(";"):
        if part:
            name, equals, value = part.partition("=")
            found.append((name.lower(), value if equals else None))
    return tuple(found)


@frozen(slots=True)
class SipUri:
    """
    One SIP or SIPS URI.

    @ivar scheme: C{"sip"} or C{"sips"}.
    @ivar user: with its escapes, or C{None}; C{host} in lower case, an IPv6 literal without brackets.
    @ivar params: (name in lower case, value or C{None}) in their order; C{headers}: the text behind "?".
    """

    scheme: str
    host: str
    user: str | None = None
    password: str | None = None
    port: int | None = None
    params: Params = ()
    headers: str = ""

    def __str__(self) -> str:
        secret = "" if self.password is None else f":{self.password}"
        user = "" if self.user is None else f"{self.user}{secret}@"
        port = "" if self.port is None else f":{self.port}"
        params = "".join(f";{n}" if v is None else f";{n}={v}" for n, v in self.params)
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{bracketed(self.host)}{port}{params}{headers}"

    def param(self, name: str) -> str | None:
        """The value of a parameter; an empty string for a flag, C{None} when it is absent."""
        for key, value in self.params:
            if key == name:
                return value or ""
        return None

    def has_param(self, name: str) -> bool:
        return any(key == name for key, _ in self.params)

    def with_param(self, name: str, value: str | None = None) -> SipUri:
        return evolve(self, params=(*(p for p in self.params if p[0] != name), (name, value)))

    def without_params(self, *names: str) -> SipUri:
        if not any(key in names for key, _ in self.params):
            return self
        return evolve(self, params=tuple(p for p in self.params if p[0] not in names))

    @property
    def transport(self) -> str:
        """The transport that this URI asks for, in upper case: its parameter, else TLS for sips, else UDP."""
        asked = self.param("transport")
        if self.scheme == "sips":
            return {"ws": "WSS", "wss": "WSS"}.get((asked or "").lower(), "TLS")
        return asked.upper() if asked else "UDP"

    def aor(self) -> str:
        """The key of an address of record: C{user@host}, no parameters, escapes decoded (10.3 step 5)."""
        return f"{unescape(self.user or '')}@{self.host}"

    def request_uri(self) -> SipUri:
        """This URI as a Request-URI: without C{method} and headers, which are not allowed there (19.1.1 table 1)."""
        bare = self.without_params("method")
        return evolve(bare, headers="") if bare.headers else bare

    def equivalent(self, other: SipUri) -> bool:
        """Compare by the rules of RFC 3261 section 19.1.4."""
        if (self.scheme, self.port) != (other.scheme, other.port) or not _same_host(self.host, other.host):
            return False
        if unescape(self.user or "") != unescape(other.user or "") or (self.user is None) != (
            other.user is None
        ):
            return False
        if unescape(self.password or "") != unescape(other.password or ""):
            return False
        ours, theirs = dict(self.params), dict(other.params)
        for name in ours.keys() | theirs.keys():
            if name in ours and name in theirs:
                if unescape(ours[name] or "").lower() != unescape(theirs[name] or "").lower():
                    return False
            elif name in _SIGNIFICANT:
                return False
        return sorted(self.headers.split("&")) == sorted(other.headers.split("&"))


@remember(4096)
def parse_uri(text: str) -> SipUri:
    """
    Parse a SIP or SIPS URI.

    @raise ParseError: C{status_hint} is 416 for another scheme (RFC 3261 section 8.2.2.1), else 400.
    """
    match = _URI.fullmatch(text)
    if match is None:
        scheme = _SCHEME.match(text)
        if scheme is not None and scheme[1].lower() not in ("sip", "sips"):
            raise ParseError(f"unsupported URI scheme {scheme[1]!r}", 416)
        raise ParseError(f"not a SIP URI: {text[:80]!r}")
    if "%" in text and _BAD_ESCAPE.search(text):
        raise ParseError(f"broken %-escape in URI: {text[:80]!r}")
    host = match["host"].lower()
    if host.startswith("["):
        host = ipv6_reference(host)
    port = None
    if match["port"] is not None:
        port = int(match["port"])
        if not 1 <= port <= 65535:
            raise ParseError(f"port {port} is outside 1 to 65535")
    return SipUri(
        match["scheme"].lower(),
        host,
        match["user"],
        match["password"],
        port,
        parse_uri_params(match["params"]) if match["params"] else (),
        match["headers"] or "",
    )


def is_sips(text: str) -> bool:
    """Whether a URI asks to be reached over TLS only (19.1)."""
    return text[:5].lower() == "sips:"


def scheme_of(text: str) -> str:
    """The scheme of any URI in lower case; an empty string when it has none."""
    match = _SCHEME.match(text)
    return match[1].lower() if match else ""
