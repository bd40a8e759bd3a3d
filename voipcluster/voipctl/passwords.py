"""Passwords that an operator types, or gives on standard input."""

from __future__ import annotations

import sys
from getpass import getpass

from voipcluster.errors import UsageError
from voipcluster.voipctl.asked import Given

SHORT = 8  # characters: a shorter password is taken, with a warning
PASSWORD_STDIN = "read the password from standard input, for scripts"  # noqa: S105 - a help text


def password_of(given: Given, whose: str) -> str:
    """The password from standard input or typed twice, unseen; never from the command line, which others can see."""
    if not sys.stdin.isatty():
        if not given.password_stdin:
            raise UsageError("no terminal to ask for the password; use --password-stdin")
        try:
            password = sys.stdin.readline().rstrip("\r\n")
        except UnicodeDecodeError:
            raise UsageError("the password is not text in UTF-8") from None
    else:
        try:
            password = getpass(f"password for {whose}: ")
            repeated = getpass("again: ")
        except EOFError:
            raise UsageError("no password was typed") from None
        if password != repeated:
            raise UsageError("the two passwords differ")
    if not password:
        raise UsageError("the password is empty")
    return password
