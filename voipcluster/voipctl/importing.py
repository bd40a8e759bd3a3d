"""
C{voipctl import kamailio}: the users of another SIP server, from its table C{subscriber}, and its gateways.

The table comes as CSV with a line of column names, or over SQL. Needed are C{username}, C{domain}, and C{ha1} or C{password};
passwords become HA1 here and go no further. All of it is read and checked before anything is changed.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from voipcluster.errors import UsageError
from voipcluster.voipctl.client import Client
from voipcluster.voipctl.sources import rows_of_database

MOST_AT_ONCE = 40  # users in one request
MOST_OCTETS = 12_000  # of it
MOST_NAMED = 5  # users that are left out, by name
HEX = frozenset("0123456789abcdef")


class Subscriber(NamedTuple):
    """C{where}: file and line, or number of the row."""

    where: str
    username: str
    domain: str
    md5: str
    sha_256: str


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("server", choices=["kamailio"], help="whose tables these are")
    command.add_argument(
        "--subscriber",
        metavar="FILE|URL",
        help="CSV file (- is standard input), or URL of its database such as mysql://USER@HOST/kamailio",
    )
    command.add_argument(
        "--dispatcher", metavar="FILE|URL", help="its dispatcher.list, or URL of its database: gateways"
    )
    command.add_argument("--domain", metavar="DOMAIN", help="only the users of this one")
    command.add_argument(
        "--replace",
        action="store_true",
        help="give users that exist the password of the import, and gateways its options",
    )
    command.add_argument("--dry-run", action="store_true", help="say what would be done")


def run(client: Client, given: argparse.Namespace) -> str:
    """
    Import, and tell how many.

    @raise UsageError: something of it is wrong; the first line that is, and nothing was changed.
    """
    if not given.subscriber and not given.dispatcher:
        raise UsageError("nothing to import: --subscriber, --dispatcher, or both")
    # Here, because only this command needs what a gateway is, and that takes longer to import than all the rest.
    from voipcluster.voipctl import importing_gateways  # noqa: PLC0415 - see above

    # all is read and checked before anything is changed
    users, others = _read_users(given) if given.subscriber else ([], [])
    destinations = importing_gateways.read_all(given.dispatcher) if given.dispatcher else []
    told: list[str] = []
    for dry in (True,) if given.dry_run else (True, False):
        told = [_take_over(client, users, given.replace, dry), *_left_out(others)] if users else []
        if destinations:
            told.append(importing_gateways.run(client, destinations, given.replace, dry))
    return "\n".join(told)


def _read_users(given: argparse.Namespace) -> tuple[list[Subscriber], list[Subscriber]]:
    """@return: those of the domain that is asked for, and the others."""
    found = list(subscribers(given.subscriber))
    domain = given.domain.lower() if given.domain else None
    wanted = [one for one in found if domain in (None, one.domain)]
    if not wanted:
        raise UsageError(f"{given.subscriber}: no users" + (f" of {given.domain}" if found else ""))
    _no_two_alike(wanted)
    return wanted, [one for one in found if domain not in (None, one.domain)]


def _left_out(others: Sequence[Subscriber]) -> list[str]:
    if not others:
        return []
    shown = [f"{one.username}@{one.domain} ({_place(one.where)})" for one in others[:MOST_NAMED]]
    more = [f"{len(others) - len(shown)} more"] if len(others) > len(shown) else []
    domain = "another domain" if len({one.domain for one in others}) == 1 else "other domains"
    return [f"{len(others)} of {domain} left out: {', '.join([*shown, *more])}"]


def _place(where: str) -> str:
    """Of C{FILE:4}, C{line 4}; a row of a database says itself what it is."""
    line = where.rpartition(":")[2].strip()
    return f"line {line}" if line.isdecimal() else line


def _take_over(client: Client, wanted: Sequence[Subscriber], replace: bool, dry: bool) -> str:
    done = {"added": 0, "replaced": 0, "same": 0}
    for batch in _batches(wanted):
        users = [list(one[1:]) for one in batch]
        try:
            answer = client.ask("user-import", users=users, replace=replace, dry=dry)
        except UsageError as error:
            text = _placed(str(error), batch)
            if dry:
                raise UsageError(text) from None
            raise UsageError(
                f"{text}; {done['added'] + done['replaced']} users were imported until then"
            ) from None
        for name in done:
            done[name] += answer[name]
    told = ", ".join(
        f"{number} {name if name != 'same' else 'there already'}" for name, number in done.items()
    )
    weak = sum(1 for one in wanted if not one.sha_256)
    how_many = "1 user" if len(wanted) == 1 else f"{len(wanted)} users"
    told = f"{how_many}: {told}" + (" (nothing was changed)" if dry else "")
    if weak:
        who = "1 of them has" if weak == 1 else f"{weak} of them have"
        told += f'\n{who} a digest for MD5 only: set auth.algorithms = ["MD5"] until they have new passwords'
    return told


def _placed(text: str, batch: Sequence[Subscriber]) -> str:
    """What a node says of a domain or a user, with file and line of the first that it is true of."""
    domain, foreign, _ = text.partition(" is not a domain of this cluster")
    for one in batch:
        if foreign and one.domain == domain:
            return f"{one.where}: {text}; --domain DOMAIN takes only the users of one"
        if text.startswith(f"user {one.username}@{one.domain} "):
            return f"{one.where}: {text}"
    return text


def subscribers(source: str) -> Iterator[Subscriber]:
    """@raise UsageError: it cannot be read, or a row of it is wrong."""
    if "://" in source:
        yield from _checked(_rows_of_database(source))
    elif source == "-":
        yield from _checked(_rows_of_csv(sys.stdin, "standard input"))
    else:
        try:
            with open(source, encoding="utf-8-sig", newline="") as file:
                yield from _checked(_rows_of_csv(file, source))
        except OSError as error:
            raise UsageError(f"{source}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UsageError(f"{source}: not a text in UTF-8") from None


def _rows_of_csv(file: Any, name: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    first = file.readline()
    delimiter = max("\t;,", key=first.count)  # mysql --batch writes tabs
    columns = next(csv.reader([first], delimiter=delimiter), [])
    missing = {"username", "domain"} - set(columns)
    if missing or not {"ha1", "password"} & set(columns):
        lacking = ", ".join(sorted(missing)) or "ha1 or password"
        raise UsageError(
            f"{name}:1: names no column {lacking}; the first line names the columns of subscriber"
        )
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    try:
        for row in reader:
            where = f"{name}:{reader.line_num + 1}"
            if not row:
                continue
            if len(row) != len(columns):
                raise UsageError(f"{where}: {len(row)} values, but {len(columns)} columns")
            yield where, dict(zip(columns, row, strict=True))
    except csv.Error as error:
        raise UsageError(f"{name}:{reader.line_num + 1}: {error}") from None


def _rows_of_database(url: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    wanted = ("username", "domain", "ha1", "password")
    for where, row in rows_of_database(url, "--subscriber", "subscriber", wanted[:2], wanted):
        if len(row) == 2:
            raise UsageError(f"{where}: table subscriber has neither ha1 nor password")
        yield where, row


def _checked(rows: Iterator[tuple[str, Mapping[str, str]]]) -> Iterator[Subscriber]:
    for where, row in rows:
        username, domain = _text(row["username"]).strip(), _text(row["domain"]).strip().lower()
        if not username or not domain:
            raise UsageError(f"{where}: no username or domain")
        password, ha1 = _text(row.get("password", "")), _text(row.get("ha1", "")).strip().lower()
        if password:
            a1 = f"{username}:{domain}:{password}".encode()
            md5, sha_256 = hashlib.md5(a1, usedforsecurity=False).hexdigest(), hashlib.sha256(a1).hexdigest()
            yield Subscriber(where, username, domain, md5, sha_256)
        elif len(ha1) in (32, 64) and set(ha1) <= HEX:
            # which algorithm it is of is said by its length only
            md5, sha_256 = (ha1, "") if len(ha1) == 32 else ("", ha1)
            yield Subscriber(where, username, domain, md5, sha_256)
        else:
            raise UsageError(
                f"{where}: {username}@{domain} has no password, and its ha1 is neither 32 nor 64 digits in hex"
            )


def _text(value: Any) -> str:
    """A column of numbers, or of octets, as the text that is meant."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _no_two_alike(users: Sequence[Subscriber]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for one in users:
        former = seen.setdefault((one.username, one.domain), one.where)
        if former is not one.where:
            raise UsageError(f"{one.where}: {one.username}@{one.domain} is there twice, first at {former}")


def _batches(users: Sequence[Subscriber]) -> Iterator[list[Subscriber]]:
    batch: list[Subscriber] = []
    octets = 0
    for one in users:
        size = sum(6 * len(text) if not text.isascii() else len(text) + 4 for text in one[1:])
        if batch and (len(batch) == MOST_AT_ONCE or octets + size > MOST_OCTETS):
            yield batch
            batch, octets = [], 0
        batch.append(one)
        octets += size
    if batch:
        yield batch
