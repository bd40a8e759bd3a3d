"""Passwords that are typed, or come by standard input."""

from __future__ import annotations

import io

from tests.unit.voipctl.cli_case import CliCase, Terminal
from voipcluster.voipctl import passwords


class PasswordTests(CliCase):
    def test_typed_password(self) -> None:
        """On a terminal it is asked for twice without showing it, also with --password-stdin, and must be the same."""
        self.terminal = Terminal("shown\n")
        typed = iter(["one", "two", "same word", "same word", "third word", "third word"])
        self.patch(passwords, "getpass", lambda prompt: next(typed))
        self.assertEqual(
            self.run_main("user", "passwd", "a@b.c"), (1, "", "voipctl: the two passwords differ\n")
        )
        self.assertEqual(self.shown("user", "passwd", "a@b.c"), "a@b.c: password changed\n")
        self.shown("user", "add", "a@b.c", "--password-stdin")
        self.assertEqual(self.client.asked[-1][1]["password"], "third word")

    def test_octets_that_are_no_text(self) -> None:
        self.terminal = io.TextIOWrapper(io.BytesIO(b"\xff\xfe horse\n"), "utf-8")
        status, _, said = self.run_main("web-password", "--password-stdin")
        self.assertEqual((status, said), (1, "voipctl: the password is not text in UTF-8\n"))
