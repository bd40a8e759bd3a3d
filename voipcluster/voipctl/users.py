"""C{voipctl user}: the accounts of the cluster."""

from __future__ import annotations

import sys
from typing import Any

from voipcluster.errors import UsageError
from voipcluster.voipctl import asked, lists, tables
from voipcluster.voipctl.asked import UNSET, Given, add_common, sentence
from voipcluster.voipctl.passwords import PASSWORD_STDIN, SHORT, password_of
from voipcluster.voipctl.showing import show, show_listing, show_warned


def add_arguments(commands: Any) -> None:
    """The command with those below it."""
    user = commands.add_parser(
        "user",
        help="change or show the accounts: add, rm, list, passwd, set, show",
        description="The accounts of the cluster.",
    )
    add_common(user, UNSET)
    verbs = user.add_subparsers(dest="user_command", required=True, metavar="add|rm|list|passwd|set|show")
    for verb, run, text in (
        ("add", _set, "add an account"),
        ("passwd", _set, "change the password of an account"),
        ("rm", _remove, "remove an account"),
        (
            "set",
            _prefer,
            "change what a user wants done with calls: forwarding, find-me, screening, limits",
        ),
        (
            "show",
            _show,
            "show what a user wants done with calls, and which digests of his password there are",
        ),
    ):
        command = verbs.add_parser(verb, help=text, description=sentence(text))
        command.set_defaults(run=run)
        add_common(command, UNSET)
        command.add_argument("account", metavar="NAME@DOMAIN")
        if run is _prefer:
            command.add_argument(
                "preferences",
                nargs="+",
                metavar="NAME=TEXT",
                help="such as forward.busy=voicemail; NAME= ends it",
            )
        if run is _set:
            command.add_argument(
                "--password-stdin",
                action="store_true",
                help=PASSWORD_STDIN,
            )
    listing = verbs.add_parser("list", help="list the accounts", description="List the accounts.")
    listing.set_defaults(run=_list)
    add_common(listing, UNSET)
    listing.add_argument("domain", nargs="?", metavar="DOMAIN", help="only those of this domain")


def _set(given: Given) -> int:
    name, domain = _account(given.account)
    client = asked.client_of(given)
    if given.url:
        client.ask(f"user-{given.user_command}")  # which only reads, and says so before a password is typed
    if given.user_command == "passwd":
        client.ask("user-show", name=name, domain=domain)  # nobody types a password for who is not there
    password = password_of(given, given.account)
    answer = client.ask(f"user-{given.user_command}", name=name, domain=domain, password=password)
    if len(password) < SHORT:
        how_long = "1 character" if len(password) == 1 else f"{len(password)} characters"
        print(
            f"voipctl: warning: the password of {name}@{domain} has {how_long} and is soon guessed; {SHORT} are better",
            file=sys.stderr,
        )
    done = "added" if given.user_command == "add" else "password changed"
    return show(given, answer, lambda _: f"{name}@{domain}: {done}")


def _prefer(given: Given) -> int:
    name, domain = _account(given.account)
    preferences = {}
    for pair in given.preferences:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"{pair[:80]}: NAME=TEXT is expected; NAME= ends a preference")
        preferences[key.strip()] = text.strip()
    answer = asked.client_of(given).ask("user-set", name=name, domain=domain, preferences=preferences)
    return show_warned(given, answer, f"{name}@{domain}: changed")


def _show(given: Given) -> int:
    name, domain = _account(given.account)
    return show(
        given, asked.client_of(given).ask("user-show", name=name, domain=domain, full=True), tables.one_user
    )


def _remove(given: Given) -> int:
    name, domain = _account(given.account)
    answer = asked.client_of(given).ask("user-rm", name=name, domain=domain)
    return show(given, answer, lambda _: f"{name}@{domain}: removed")


def _list(given: Given) -> int:
    table = tables.Users()
    rows = lists.users(asked.client_of(given), given.domain, lists.json_rows if given.json else table)
    return show_listing(given, rows, table.text, "there are no users")


def _account(text: str) -> tuple[str, str]:
    name, at, domain = text.removeprefix("sip:").rpartition("@")
    if not at or not name or not domain:
        raise UsageError(f"{text!r} is not NAME@DOMAIN")
    return name, domain
