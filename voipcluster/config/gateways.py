"""C{[[gateway]]} of the file, and the same table as commands, the database and the link between nodes have it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from attrs import fields, frozen

from voipcluster.address import split_host_port
from voipcluster.config.kinds import Choice, Domain, FilePath, Flag, Kind, Network, Number, Whole, Word, Words
from voipcluster.config.privacy import open_to_others
from voipcluster.config.problem import Problem, guess, shown
from voipcluster.errors import UsageError
from voipcluster.gateway.gateway import KINDS, TRANSPORTS, Gateway
from voipcluster.gateway.hours import parse_span
from voipcluster.gateway.permission import Permission, check_pattern

MAX_SECRET = 256  # characters
WAYS = ("incoming", "outgoing")
Where = Callable[..., str]
"""Gives C{file:line} of a path of keys."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
_ACCOUNT = re.compile(r"[^\s@:<>\"]{1,128}@[A-Za-z0-9]([A-Za-z0-9.:-]{0,253}[A-Za-z0-9])?", re.ASCII)
_USER = re.compile(r"[^\s\"<>]{1,256}", re.ASCII)
_REGISTRAR = re.compile(r"sips?:[A-Za-z0-9.:;=\[\]@_+-]{1,512}", re.ASCII)
_AOR = re.compile(r"sips?:[A-Za-z0-9_.!~*'()&=+$,;?/%-]{1,128}@[A-Za-z0-9.:\[\]-]{1,255}", re.ASCII)
_CONTACT_USER = re.compile(r"[A-Za-z0-9_.!~*'()&=+$,%-]{1,128}", re.ASCII)
_REALM = re.compile(r'[^\x00-\x1f\x7f"\\]{1,256}')
_CODEC = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_PASSWORD = re.compile(r"[^\x00-\x1f\x7f]{1,256}")


@frozen
class _Checked:
    """A text that a function takes as it is, or raises L{ValueError} about."""

    check: Callable[[str], object]
    allowed: str
    text = True
    secret = False

    def take(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(value)
        self.check(value)
        return value


@frozen
class _Maybe:
    """An empty text stands for nothing."""

    kind: Kind[str]
    text = True

    @property
    def secret(self) -> bool:
        return self.kind.secret

    @property
    def allowed(self) -> str:
        return self.kind.allowed

    def take(self, value: object) -> str:
        return "" if value == "" else self.kind.take(value)


@frozen
class _Password:
    """One line of text, which no error shows."""

    allowed = f"a password of 1 to {MAX_SECRET} characters"
    text = secret = True

    def take(self, value: object) -> str:
        return Word(_PASSWORD, self.allowed).take(value)


@frozen
class _Statuses:
    """Final SIP statuses, each once."""

    allowed = "a list of final SIP statuses, 300 to 699, each once"
    text = secret = False

    def take(self, value: object) -> tuple[int, ...]:
        if not isinstance(value, list):
            raise ValueError(value)
        statuses = tuple(Whole(300, 699).take(status) for status in value)
        if len(set(statuses)) != len(statuses):
            raise ValueError(value)
        return statuses


def _server(text: str) -> None:
    Domain().take(split_host_port(text, 5060)[0].lower())


_PATTERN = _Checked(check_pattern, 'such as "*", "users", "+49", "=110", "!+49900", "alice@example.com"')
_PATTERNS = Words(_PATTERN, 'patterns such as "*", "users", "+49", "=110", "!+49900" or "*@example.com"')
_OF_WAY: dict[str, Kind[Any]] = {"callers": _PATTERNS, "numbers": _PATTERNS}

OPTIONS: dict[str, Kind[Any]] = {
    "name": Word(_NAME, "1 to 63 letters, digits, '.', '-' and '_', the first a letter or digit"),
    "kind": Choice(KINDS),
    "servers": Words(
        _Checked(_server, "a host, or host:port"), 'hosts such as "198.51.100.7:5060" or "sip.example.com"'
    ),
    "transport": Choice(TRANSPORTS),
    "sources": Words(Network(), "networks such as 192.0.2.0/24, or addresses"),
    "certificates": Words(Domain(), "names such as gw.example.com"),
    "username": _Maybe(Word(_ACCOUNT, "an account, NAME@DOMAIN")),
    "behind": Words(Network(), "networks such as 10.1.0.0/16, or addresses"),
    "registrar": _Maybe(Word(_REGISTRAR, "a SIP URI such as sip:carrier.example")),
    "auth_user": _Maybe(Word(_USER, "a user name without blanks and quotes")),
    "secret": _Maybe(FilePath()),
    "password": _Maybe(_Password()),
    "aor": _Maybe(Word(_AOR, "a SIP URI such as sip:+4930123@carrier.example")),
    "contact_user": _Maybe(Word(_CONTACT_USER, "a user part of a SIP URI, such as reception or +4930123")),
    "realm": _Maybe(Word(_REALM, "a realm, without quotes")),
    "probe": Number(0, 3600, "s"),
    "not_alive": _Statuses(),
    "channels": Whole(0, 1_000_000),
    "calls_per_minute": Whole(0, 1_000_000),
    "minutes_per_day": Whole(0, 100_000_000),
    "hours": Words(
        _Checked(parse_span, "a time"),
        'times such as "Mo-Fr 08:00-18:00", "Sa,Su 22:00-06:00" or "08:00-20:00"',
    ),
    "codecs": Words(Word(_CODEC, "an encoding name"), 'encoding names such as "PCMA"'),
    "trusted": Flag(),
    "enabled": Flag(),
}
NOT_IN_FILE = ("password",)  # a file that others may read is no place for it


class Clash(NamedTuple):
    """Two gateways that cannot be told apart: C{name} is the later one, C{key} what both have."""

    name: str
    key: str
    text: str


def read_gateways(content: object, where: Where) -> tuple[tuple[Gateway, ...], list[Problem]]:
    """
    Take all C{[[gateway]]} of a file.

    @param where: gives the place of C{"gateway", "#0", "servers"}.
    @return: the gateways that are right, and what is wrong.
    """
    if not isinstance(content, list) or not all(isinstance(table, dict) for table in content):
        found = f"found {shown(content)}, allowed are tables: [[gateway]]"
        return (), [Problem(where("gateway"), "gateway", found)]
    gateways: list[Gateway] = []
    places: dict[str, int] = {}
    problems: list[Problem] = []
    for number, table in enumerate(content):
        wrong = list(_mistakes(table, NOT_IN_FILE))
        problems += [
            Problem(where("gateway", f"#{number}", *key.split(".")), f"gateway.{key}", text)
            for key, text in wrong
        ]
        if not wrong:
            gateway = _make(table)
            gateways.append(gateway)
            places.setdefault(gateway.name, number)
            if places[gateway.name] != number:
                text = f"{gateway.name} is the name of two gateways"
                problems.append(Problem(where("gateway", f"#{number}", "name"), "gateway.name", text))
    problems += [
        Problem(where("gateway", f"#{places[name]}", key), f"gateway.{key}", text)
        for name, key, text in clashes(gateways)
    ]
    return tuple(gateways), problems


def gateway_of(table: Mapping[str, object]) -> Gateway:
    """
    A gateway from the same table, wherever it comes from.

    @raise UsageError: one line that names the key.
    """
    for key, text in _mistakes(table, ()):
        raise UsageError(f"{key}: {text}")
    return _make(table)


def table_of(gateway: Gateway) -> dict[str, Any]:
    """What L{gateway_of} takes, all keys of it; only what JSON can say."""
    table: dict[str, Any] = {}
    for attribute in fields(Gateway):
        value = getattr(gateway, attribute.name)
        if isinstance(value, Permission):
            table[attribute.name] = {"callers": list(value.callers), "numbers": list(value.numbers)}
        elif attribute.init:
            table[attribute.name] = list(value) if isinstance(value, tuple) else value
    return table


class Mark(NamedTuple):
    """Something by which a client is known as a gateway. C{key}: of the option that says it; C{kind} and C{text}: what it is."""

    key: str
    kind: str
    text: str

    def is_of(self, other: str) -> str:
        """That it is another gateway's already, in words."""
        return f"{self.text} is that of gateway {other}, too: a client there could be either"


def marks_of(gateway: Gateway) -> Iterator[Mark]:
    """All by which a client is known as that gateway; no two gateways may have one of them alike."""
    key = "sources" if gateway.sources else "servers"
    for network in gateway.networks:
        yield Mark(key, "sources", str(network))
    for name in gateway.certificates:
        yield Mark("certificates", "certificates", name)
    if gateway.username:
        yield Mark("username", "username", gateway.username)


def clashes(gateways: Iterable[Gateway]) -> Iterator[Clash]:
    """What two gateways have alike by which a client is identified."""
    owners: dict[tuple[str, str], str] = {}
    for gateway in gateways:
        for mark in marks_of(gateway):
            other = owners.setdefault(mark[1:], gateway.name)
            if other != gateway.name:
                yield Clash(gateway.name, mark.key, mark.is_of(other))


class Unreadable(UsageError):
    """A file that the user of this process may not read; for that of a node it may be right."""


def read_secret(path: str) -> str:
    """
    The password in a file that nobody else can read: its first line.

    @raise UsageError: what is wrong with the file; L{Unreadable}: this user may not read it.
    """
    try:
        with Path(path).open("rb") as file:
            if open_to_others(path, file):
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                raise UsageError(f"{path} has mode {mode:04o}: others can read it; chmod 600 {path}")
            line = file.readline(MAX_SECRET * 4 + 2)
        return _Password().take(line.decode("utf-8").rstrip("\r\n"))
    except PermissionError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise UsageError(f"{path}: the first line is not {_Password.allowed}") from None


def _mistakes(table: Mapping[str, object], forbidden: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Key and text of each mistake within one table."""
    known = [key for key in (*OPTIONS, *WAYS) if key not in forbidden]
    for key, value in table.items():
        if key in WAYS:
            yield from _mistakes_of_way(key, value)
        elif key not in known:
            near = guess(key, known)
            hint = f"did you mean {near}?" if near else f"allowed are {', '.join(known)}"
            yield key, f"unknown key {shown(key)} in [[gateway]]; {hint}"
        else:
            text = _wrong(OPTIONS[key], value)
            if text:
                yield key, text
            elif key == "secret" and value:
                try:
                    read_secret(str(value))
                except UsageError as error:
                    # of a file, config/files tells what this user may not read
                    if not (isinstance(error, Unreadable) and forbidden == NOT_IN_FILE):
                        yield key, str(error)
    if "name" not in table:
        yield "name", "is missing"
    for key, other in (
        ("registrar", "auth_user"),
        ("secret", "auth_user"),
        ("password", "auth_user"),
        ("aor", "registrar"),
        ("contact_user", "registrar"),
        ("realm", "auth_user"),
    ):
        if key not in forbidden and table.get(key) and not table.get(other):
            yield key, f"needs {other}, which is not set"
    if table.get("secret") and table.get("password"):
        yield "password", "is in the file of secret"


def _mistakes_of_way(way: str, value: object) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        yield way, f"found {shown(value)}, allowed is a table: {{ callers = [...], numbers = [...] }}"
        return
    for key, patterns in value.items():
        if key not in _OF_WAY:
            yield f"{way}.{key}", f"unknown key {shown(key)}; allowed are {', '.join(_OF_WAY)}"
            continue
        text = _wrong(_OF_WAY[key], patterns)
        if text:
            yield f"{way}.{key}", text


def _wrong(kind: Kind[Any], value: object) -> str:
    try:
        kind.take(value)
    except ValueError:
        found = "" if kind.secret else f"found {shown(value)}, "
        return f"{found}allowed is {kind.allowed}"
    return ""


def _make(table: Mapping[str, Any]) -> Gateway:
    """Of a table without mistakes."""
    taken: dict[str, Any] = {key: OPTIONS[key].take(value) for key, value in table.items() if key in OPTIONS}
    for way in WAYS:
        if way in table:
            default = getattr(fields(Gateway), way).default
            given = {key: _OF_WAY[key].take(value) for key, value in table[way].items()}
            taken[way] = Permission(**{"callers": default.callers, "numbers": default.numbers, **given})
    return Gateway(**taken)
