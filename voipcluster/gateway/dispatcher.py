"""
What other SIP servers keep in C{dispatcher}, as a table or as a list in a file: destinations, in sets.

A destination is a SIP URI with flags, a priority and attributes; here it is a gateway with one server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from voipcluster.address import split_host_port

INACTIVE, DISABLED, PROBED, NOT_PROBED = 1, 4, 8, 32  # of the flags
_TRANSPORTS = ("udp", "tcp", "tls")
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,9}", re.ASCII)


class Destination(NamedTuple):
    """
    @ivar where: file and line, or number of the row.
    @ivar server: C{host} or C{host:port}; C{transport}: C{udp}, C{tcp} or C{tls}.
    """

    where: str
    setid: int
    server: str
    transport: str
    flags: int
    priority: int
    attrs: Mapping[str, str]

    @property
    def enabled(self) -> bool:
        return not self.flags & (INACTIVE | DISABLED)

    @property
    def name(self) -> str:
        """What it calls itself (C{duid}), or what tells it within its set; it may be no name of a gateway."""
        return (
            self.attrs.get("duid")
            or f"set{self.setid}-{re.sub(r'[^A-Za-z0-9.-]', '-', self.server).strip('-')}"
        )

    @property
    def weight(self) -> int:
        return int(self.attrs.get("rweight") or self.attrs.get("weight") or 1)

    @property
    def channels(self) -> int:
        return int(self.attrs.get("maxload") or 0)


def server_of(uri: str) -> tuple[str, str]:
    """
    Server and transport of a destination.

    @raise ValueError: one line, why it is none.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon or scheme.lower() not in ("sip", "sips"):
        raise ValueError(f"{uri[:80]!r} is no SIP URI")
    place, _, parameters = rest.partition(";")
    place = place.rpartition("@")[2]
    transport = "tls" if scheme.lower() == "sips" else "udp"
    for parameter in filter(None, parameters.split(";")):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "transport":
            transport = value.strip().lower()
    if transport not in _TRANSPORTS:
        raise ValueError(f"transport {transport[:20]!r} is none of {', '.join(_TRANSPORTS)}")
    if scheme.lower() == "sips":
        transport = "tls"
    try:
        host = place if place.count(":") > 1 and not place.startswith("[") else place.partition("]")[0]
        host = f"{host}]" if host.startswith("[") else host.partition(":")[0]
        if _HOST.fullmatch(host) is None:
            raise ValueError(host)
        split_host_port(place, 5060)
    except ValueError:
        raise ValueError(f"{place[:80]!r} is not HOST or HOST:PORT") from None
    return place, transport


def attributes(text: str) -> dict[str, str]:
    """
    C{weight=50;duid=a} as a table.

    @raise ValueError: one line, what is wrong.
    """
    found: dict[str, str] = {}
    for part in text.strip().strip('"').split(";"):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"attribute {part.strip()[:40]!r} is not NAME=VALUE")
        found[name.strip()] = value.strip()
    for name, most in (("weight", 1_000_000), ("rweight", 1_000_000), ("maxload", 2**31 - 1)):
        value = found.get(name, "0")
        if _WHOLE.fullmatch(value) is None or not 0 <= int(value) <= most:
            raise ValueError(f"{name}={value[:20]}: not a number from 0 to {most}")
    if "duid" in found and _NAME.fullmatch(found["duid"]) is None:
        raise ValueError(f"duid={found['duid'][:64]}: not 1 to 63 letters, digits, '.', '-' and '_'")
    return found


def destination(
    where: str, setid: str, uri: str, flags: str = "0", priority: str = "0", attrs: str = ""
) -> Destination:
    """
    One destination out of its texts.

    @raise ValueError: one line, what is wrong, without C{where}.
    """
    numbers: list[int] = []
    for name, text, low in (("setid", setid, 0), ("flags", flags, 0), ("priority", priority, -(10**9))):
        if _WHOLE.fullmatch(text) is None or int(text) < low:
            raise ValueError(f"{name} {text[:20]!r} is not a number")
        numbers.append(int(text))
    server, transport = server_of(uri)
    return Destination(where, numbers[0], server, transport, numbers[1], numbers[2], attributes(attrs))


def read_list(text: str, name: str) -> Iterator[Destination]:
    """
    The lines of a C{dispatcher.list}: set, destination, and perhaps flags, priority and attributes; C{#} begins a comment.

    @param name: of the file.
    @raise ValueError: one line with file and line number.
    """
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split(None, 4)
        if not words:
            continue
        where = f"{name}:{number}"
        if len(words) < 2:
            raise ValueError(f"{where}: a line has SET DESTINATION [FLAGS [PRIORITY [ATTRIBUTES]]]")
        try:
            yield destination(where, *words)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
