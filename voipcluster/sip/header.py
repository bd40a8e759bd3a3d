"""
The lines of headers: their names with all their spellings, and the text in them (RFC 3261 sections 7.3 and 25.1).

This belongs to the message layer, see L{voipcluster.sip.message}.
"""

from __future__ import annotations

import re
from typing import Final

from voipcluster.errors import ParseError
from voipcluster.sip.values import parse_name_addr

# A number is looked for in octets at a tenth of the price of b",", which CPython 3.11 first takes for a number, in vain.
COMMA: Final = ord(",")
QUOTE: Final = ord('"')

_COMPACT = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition",
    "e": "content-encoding", "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported",
    "l": "content-length", "m": "contact", "n": "identity-info", "o": "event", "r": "refer-to", "s": "subject",
    "t": "to", "u": "allow-events", "v": "via", "x": "session-expires", "y": "identity",
}  # fmt: skip
_SPELLINGS = [
    "Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Contact", "Route", "Record-Route", "Content-Type",
    "Content-Length", "User-Agent", "Allow", "Supported", "Expires", "Authorization", "Proxy-Authorization",
    "Server", "Require", "Proxy-Require", "Accept", "Subject", "Date", "Path", "Service-Route", "Event",
    "Session-Expires", "Min-SE", "Max-Breadth", "Allow-Events", "P-Asserted-Identity", "Privacy", "Reason", "RAck",
    "RSeq", "Replaces",
    "Refer-To", "Referred-By", "WWW-Authenticate", "Proxy-Authenticate", "Retry-After", "Min-Expires", "Unsupported",
    "Timestamp", "MIME-Version", "Content-Disposition", "Accept-Language", "Accept-Encoding", "Organization", "Warning",
]  # fmt: skip
KEYS: dict[bytes, str] = {f"{spelling}:".encode(): spelling.lower() for spelling in _SPELLINGS}
KEYS |= {f"{short}:".encode(): long for short, long in _COMPACT.items()}
KEYS |= {f"{short.upper()}:".encode(): long for short, long in _COMPACT.items()}
_PRETTY = {spelling.lower(): spelling for spelling in _SPELLINGS}

_NAME = re.compile(rb"([!-9;-~]+)[ \t]*")
TOKEN = re.compile(rb"[A-Za-z0-9\-.!%*_+`'~]+")
_TAG = re.compile(r";\s*tag\s*=\s*([^\s;,>\"]+)", re.IGNORECASE | re.ASCII)


def key_of(name: str) -> str:
    """The long name of a header in lower case (7.3.3 lists the short forms)."""
    lower = name.lower()
    return _COMPACT.get(lower, lower)


def text_of(value: bytes) -> str:
    """Octets as text; see L{octets_of}."""
    return value.decode("utf-8", "surrogateescape")


def octets_of(value: str) -> bytes:
    """Text as it stands in a message; what was no UTF-8 when it came leaves as it came."""
    return value.encode("utf-8", "surrogateescape")


def value_of(line: bytes) -> str:
    """The value of a header line, unfolded."""
    value = line[line.index(b":") + 1 :].strip().decode("utf-8", "surrogateescape")
    return value if "\r" not in value else unfolded(value)


def unfolded(value: str) -> str:
    """Each line break with the white space around it is one space (7.3.1); a pattern for it takes time squared."""
    first, *rest = value.split("\r\n")
    return " ".join([first.rstrip(" \t"), *(line.strip(" \t") for line in rest)])


def tag_of(value: str | None) -> str | None:
    """The tag of a From or To value, or L{None}."""
    if value is None:
        return None
    bracket = value.rfind(">")
    if bracket >= 0 and value.count(">") > 1:  # one of them is in quotes
        try:
            return parse_name_addr(value).param("tag") or None
        except ParseError:
            return None
    match = _TAG.search(value, max(bracket, 0))
    return match[1] if match else None


def key_of_line(line: bytes) -> str:
    """The key of a header that is not spelled as usual; an empty string when the line is no header."""
    match = _NAME.match(line)
    if match is None or line[match.end() : match.end() + 1] != b":" or not TOKEN.fullmatch(match[1]):
        return ""
    return key_of(match[1].decode("ascii"))


def header_line(key: str, value: str) -> bytes:
    """One line for a header named by its key; a value cannot bring lines of its own."""
    name = _PRETTY.get(key) or key.title()
    assert "\r" not in value and "\n" not in value, f"a line break in the value of {name}"
    return octets_of(f"{name}: {value}")
