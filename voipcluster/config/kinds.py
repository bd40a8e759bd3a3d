"""What an option may hold: each kind checks one TOML value and can say in words what it allows."""

from __future__ import annotations

import ipaddress
import re
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from attrs import frozen

from voipcluster.address import join_host_port, split_host_port

T_co = TypeVar("T_co", covariant=True)

_UNITS = {"": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_OCTETS = re.compile(r"([0-9]{1,15})([kMG]?)", re.ASCII)
_PORTS = re.compile(r"([0-9]{1,5})-([0-9]{1,5})", re.ASCII)
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.ASCII
)
_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
_BROADCAST = ipaddress.ip_address("255.255.255.255")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{8,1024}", re.ASCII)


class Kind(Protocol[T_co]):
    """
    The type and range of one option.

    C{allowed} ends the sentence "allowed is ..."; C{text} tells that a flag's value is taken as it is typed;
    C{secret} that a wrong value must not be shown.
    """

    @property
    def allowed(self) -> str: ...

    @property
    def text(self) -> bool: ...

    @property
    def secret(self) -> bool: ...

    def take(self, value: object) -> T_co:
        """
        Turn what the TOML reader gave into what the program uses.

        @raise ValueError: not of this kind.
        """


@frozen
class Number:
    """A finite number; C{above} excludes the lower end itself."""

    low: float
    high: float
    unit: str = ""
    above: bool = False
    text = secret = False

    @property
    def allowed(self) -> str:
        low, high = _written(self.low), _written(self.high)
        start = f"above {low} and at most" if self.above else f"from {low} to"
        return f"a number {start} {high}{self.unit and ' ' + self.unit}"

    def take(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(value)
        # a NaN is in no range, and an integer is compared as it is: most have no float
        if not self.low <= value <= self.high or (self.above and value == self.low):
            raise ValueError(value)
        return float(value)


def _written(number: float) -> str:
    """As people write it: a whole one up to a billion without an exponent."""
    return f"{number:.0f}" if number == int(number) and abs(number) <= 1e9 else f"{number:g}"


@frozen
class Whole:
    """A whole number."""

    low: int
    high: int
    unit: str = ""
    text = secret = False

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.low} to {self.high}{self.unit and ' ' + self.unit}"

    def take(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise ValueError(value)
        return value


@frozen
class Octets:
    """A size in octets: a whole number, or text with k, M or G (powers of 1024)."""

    low: int
    high: int
    text = secret = False

    @property
    def allowed(self) -> str:
        return f'a size in octets from {self.low} to {self.high}, or text such as "512M" (k, M, G)'

    def take(self, value: object) -> int:
        if isinstance(value, str):
            match = _OCTETS.fullmatch(value)
            if match is None:
                raise ValueError(value)
            value = int(match[1]) * _UNITS[match[2]]
        return Whole(self.low, self.high).take(value)


@frozen
class Rate:
    """Events a second, or 0 for no limit; below 1 not even a digest's two requests would come through."""

    allowed = "0 (any number) or a number from 1 to 1000000"
    text = secret = False

    def take(self, value: object) -> float:
        rate = Number(0, 1_000_000).take(value)
        if 0 < rate < 1:
            raise ValueError(value)
        return rate


@frozen
class Flag:
    """True or false."""

    allowed = "true or false"
    text = secret = False

    def take(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError(value)
        return value


@frozen
class Choice:
    """One word out of a few."""

    words: tuple[str, ...]
    text = True
    secret = False

    @property
    def allowed(self) -> str:
        return "one of " + ", ".join(self.words)

    def take(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise ValueError(value)
        return value


@frozen
class Word:
    """One text of a given pattern."""

    pattern: re.Pattern[str]
    allowed: str
    text = True
    secret = False

    def take(self, value: object) -> str:
        if not isinstance(value, str) or self.pattern.fullmatch(value) is None:
            raise ValueError(value)
        return value


@frozen
class Words:
    """A list of different texts, each of the kind C{item}; C{least} of them at least."""

    item: Kind[str]
    of: str
    least: int = 0
    text = secret = False

    @property
    def allowed(self) -> str:
        return f"a list of {self.of}" + (f", at least {self.least}" if self.least else ", each once")

    def take(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) < self.least:
            raise ValueError(value)
        words = tuple(self.item.take(word) for word in value)
        if len(set(words)) != len(words):
            raise ValueError(value)
        return words


@frozen
class Ports:
    """A range of ports as text, C{"first-last"}, both ends included; RTP and RTCP need two each (RFC 3550 section 11)."""

    allowed = 'two ports as "first-last", from 1024 to 65535 and at least 4 of them, such as "30000-39999"'
    text = True
    secret = False

    def take(self, value: object) -> tuple[int, int]:
        match = _PORTS.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(value)
        first, last = int(match[1]), int(match[2])
        if not 1024 <= first <= last - 3 or last > 65535:
            raise ValueError(value)
        return first, last


def _literal(value: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """@raise ValueError: no address, or one with a zone, which says something on one machine only."""
    if not isinstance(value, str) or "%" in value:
        raise ValueError(value)
    return ipaddress.ip_address(value)


@frozen
class Address:
    """An IP literal; an interface's own address, so neither 0.0.0.0 nor multicast."""

    allowed = "an IPv4 or IPv6 address of this machine, such as 10.0.0.1"
    text = True
    secret = False

    def take(self, value: object) -> str:
        address = _literal(value)
        if address.is_unspecified or address.is_multicast or address == _BROADCAST:
            raise ValueError(value)
        return str(address)


@frozen
class BindAddress:
    """An IP literal to listen on, 0.0.0.0 and :: included."""

    allowed = "an IPv4 or IPv6 address to listen on, such as 127.0.0.1 or 0.0.0.0"
    text = True
    secret = False

    def take(self, value: object) -> str:
        address = _literal(value)
        if address.is_multicast:
            raise ValueError(value)
        return str(address)


@frozen
class NameServer:
    """An IP literal, with a port behind it if it is not 53."""

    allowed = "the address of a DNS server, such as 10.0.0.53 or 127.0.0.1:5353"
    text = True
    secret = False

    def take(self, value: object) -> str:
        if not isinstance(value, str) or "%" in value:
            raise ValueError(value)
        host, port = split_host_port(value, 53)
        return join_host_port(Address().take(host), port)


@frozen
class Server:
    """A server by address or name, with a port behind it if it is not C{port}."""

    port: int
    text = True
    secret = False

    @property
    def allowed(self) -> str:
        return (
            f"HOST or HOST:PORT ({self.port} if there is none), such as 10.0.0.9:{self.port} or [2001:db8::9]"
        )

    def take(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(value)
        host, port = split_host_port(value, self.port)
        return join_host_port(Domain().take(host), port)


@frozen
class JoinToken:
    """What C{voipctl join-token} prints: C{TOKEN@ADDRESS}, with a port behind the address if it is not 8787."""

    allowed = "TOKEN@ADDRESS as voipctl join-token prints it"
    text = True
    secret = True

    def take(self, value: object) -> str:
        token, at, address = value.rpartition("@") if isinstance(value, str) else ("", "", "")
        if not at or _TOKEN.fullmatch(token) is None:
            raise ValueError("not a join token")
        host, _ = split_host_port(address, 8787)
        ipaddress.ip_address(host)
        return f"{token}@{address}"


@frozen
class Domain:
    """A host name in lower case, or an IP literal without brackets."""

    allowed = "a domain such as example.com"
    text = True
    secret = False

    def take(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(value)
        if ":" in value:
            return str(_literal(value))
        name = value.lower().removesuffix(".")
        if _DOMAIN.fullmatch(name) is None:
            raise ValueError(value)
        return name


@frozen
class Network:
    """An IPv4 or IPv6 network, or one address."""

    allowed = "a network such as 192.0.2.0/24, or an address"
    text = True
    secret = False

    def take(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(value)
        return str(ipaddress.ip_network(value))


@frozen
class Path:
    """The path of a directory."""

    allowed = "the path of a directory"
    text = True
    secret = False

    def take(self, value: object) -> str:
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError(value)
        return value


@frozen
class Origin:
    """The origin of web pages (RFC 6454 section 6.2), or C{*} for any."""

    allowed = 'an origin such as "https://phone.example.com", or "*"'
    text = True
    secret = False

    def take(self, value: object) -> str:
        if not isinstance(value, str) or (value != "*" and _ORIGIN.fullmatch(value) is None):
            raise ValueError(value)
        return value.lower()


@frozen
class FilePath:
    """The path of a file."""

    allowed = "the path of a file"
    text = True
    secret = False

    def take(self, value: object) -> str:
        return Path().take(value)


@frozen
class DatabaseUrl:
    """The URL of a PostgreSQL database, without a password."""

    allowed = "postgresql://USER@HOST:PORT/NAME, without a password (that is in database.password_file)"
    text = True
    secret = False

    def take(self, value: object) -> str:
        url = urlsplit(value if isinstance(value, str) else "")
        if (
            url.scheme != "postgresql"
            or len(url.path) < 2
            or url.password is not None
            or not str(value).isprintable()
        ):
            raise ValueError("not such a URL")  # and not the value: it may have a password
        _ = url.port
        return str(value)


@frozen
class HttpUrl:
    """The URL of a web server."""

    allowed = "a URL such as https://billing.example.com/calls"
    text = True
    secret = False

    def take(self, value: object) -> str:
        text = value if isinstance(value, str) else ""
        url = urlsplit(text)
        if (
            url.scheme not in ("http", "https")
            or not url.hostname
            or not text.isascii()
            or not text.isprintable()
        ):
            raise ValueError(value)
        if " " in text or url.username is not None:
            raise ValueError(value)
        _ = url.port
        return text


URLS = (DatabaseUrl, HttpUrl)
POLICY_NAME = Word(_NODE_NAME, "the name of a policy")
NODE_NAME = Word(_NODE_NAME, "1 to 63 letters, digits, - and _, the first a letter or digit")
