"""The files that a configuration names, looked into as a node does at its start: certificates, keys and secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from voipcluster.config.gateways import Unreadable, read_secret
from voipcluster.config.options import Config
from voipcluster.config.privacy import open_to_others
from voipcluster.config.problem import Problem
from voipcluster.errors import UsageError

Where = Callable[..., str]
"""Gives C{file:line} of a path of keys, or the flag that set it."""

MAX_SECRET = 4096  # octets


class Findings(NamedTuple):
    """C{mistakes}: a node cannot start with these; C{unread}: what this user may not read, so that nobody knows."""

    mistakes: list[Problem]
    unread: list[Problem]


def look_at_files(config: Config, where: Where) -> Findings:
    """
    @param config: whose options are right, each for itself; a file that nothing needs, such as the key of a webhook where there
        is no webhook, is not looked at.
    """
    found = Findings([], [])
    for key, error in (*_tls(config), *_secrets(config), *_gateways(config)):
        place = where(*key)
        name = ".".join(part for part in key if not part.startswith("#"))
        told = "" if place.startswith("--") else name  # a flag names its option already
        if isinstance(error, Unreadable):
            text = f"{error}: it could not be looked at; the node's own user has to be able to"
            found.unread.append(Problem(place, told, text))
        else:
            found.mistakes.append(Problem(place, told, str(error)))
    return found


def secret_of(name: str) -> bytes:
    """
    The key in a file that only its owner, or this service, can read; empty when no file is named.

    @raise UsageError: it cannot be read (L{Unreadable}: by this user), is empty, or others can read it.
    """
    if not name:
        return b""
    try:
        with open(name, "rb") as file:
            if open_to_others(name, file):
                raise UsageError(f"{name}: others may read or write this file; chmod 600 {name}")
            secret = file.read(MAX_SECRET).strip()
    except PermissionError as error:
        raise Unreadable(f"{name}: {error.strerror}") from None
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from None
    if not secret:
        raise UsageError(f"{name}: is empty")
    return secret


Found = Iterator[tuple[tuple[str, ...], UsageError]]


def _secrets(config: Config) -> Found:
    """What is behind an option that needs it."""
    for section, key, used in (
        ("database", "password_file", config.database.url),
        ("records", "webhook_secret_file", config.records.webhook),
        ("hep", "auth_key_file", config.hep.server),
    ):
        if not used:
            continue
        try:
            secret = secret_of(getattr(getattr(config, section), key))
            if section == "database":
                secret.decode()
        except UsageError as error:
            yield (section, key), error
        except UnicodeDecodeError:
            yield (section, key), UsageError(f"{config.database.password_file}: is not text in UTF-8")


def _tls(config: Config) -> Found:
    tls = config.tls
    if not tls.certificate:
        return
    before = 0
    for key in ("certificate", "key", "ca"):
        path = getattr(tls, key)
        try:
            if path:
                with open(path, "rb"):
                    pass
        except PermissionError as error:
            before += 1
            yield ("tls", key), Unreadable(f"{path}: {error.strerror}")
        except OSError as error:
            before += 1
            yield ("tls", key), UsageError(f"{path}: {error.strerror or error}")
    if before:
        return
    # imported late: what reads certificates takes longer to import than a file without TLS takes to check
    from voipcluster.net.sip_tls import SipTls, TlsFiles  # noqa: PLC0415 - see above

    try:
        SipTls(TlsFiles(tls.certificate, tls.key, tls.ca, tls.client_certificate))
    except UsageError as error:  # it begins with the option
        option, _, text = str(error).partition(": ")
        yield tuple(option.split(".")), UsageError(text)


def _gateways(config: Config) -> Found:
    """Passwords that this user may not read; what is wrong with others is found with their tables."""
    for number, gateway in enumerate(config.gateways):
        if not gateway.secret:
            continue
        try:
            read_secret(gateway.secret)
        except Unreadable as error:
            yield ("gateway", f"#{number}", "secret"), error
        except UsageError:
            continue
