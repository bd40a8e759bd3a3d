"""voipctl user: what is asked, and what is shown of accounts."""

from __future__ import annotations

import json

from tests.unit.voipctl.cli_case import ALICE, CliCase, Terminal
from voipcluster.errors import UsageError
from voipcluster.voipctl import passwords


class UsersTests(CliCase):
    def test_password_of_standard_input(self) -> None:
        """The password is the first line of standard input, spaces included; it is not repeated on the screen."""
        out = self.shown("user", "add", "alice@example.com", "--password-stdin", typed=" sec ret \nrest\n")
        self.assertEqual(out, "alice@example.com: added\n")
        self.assertEqual(
            self.client.asked,
            [("user-add", {"name": "alice", "domain": "example.com", "password": " sec ret "})],
        )

    def test_a_short_password(self) -> None:
        """It is taken, since a phone may have it already, and warned of; not with a word of it."""
        for verb, done, typed, length in (
            ("add", "added", "x", "1 character"),
            ("passwd", "password changed", "passwor", "7 characters"),
        ):
            status, out, said = self.run_main("user", verb, "a@b.c", "--password-stdin", typed=f"{typed}\n")
            self.assertEqual((status, out), (0, f"a@b.c: {done}\n"))
            self.assertEqual(
                said,
                f"voipctl: warning: the password of a@b.c has {length} and is soon guessed; 8 are better\n",
            )

    def test_preferences(self) -> None:
        """Any number of them at once, as NAME=TEXT; they are shown so that they can be given again."""
        shown = self.shown(
            "user", "set", "bob@a.b", "forward.busy = carol", "find-me=me 5, sip:x@y;a=b 9", "voicemail="
        )
        self.assertEqual(shown, "bob@a.b: changed\n")
        wanted = {"forward.busy": "carol", "find-me": "me 5, sip:x@y;a=b 9", "voicemail": ""}
        self.assertEqual(
            self.client.asked, [("user-set", {"name": "bob", "domain": "a.b", "preferences": wanted})]
        )
        shown = self.shown("user", "show", "bob@a.b")
        self.assertEqual(
            [line.partition("=")[0] for line in shown.splitlines()],
            ["# alice@example.com: digests MD5, SHA-256", "forward.busy", "forward.silent"],
        )
        self.assertNotIn("\x1b", shown)
        status, _, said = self.run_main("user", "set", "bob@a.b", "forward.busy")
        self.assertEqual(
            (status, said), (1, "voipctl: forward.busy: NAME=TEXT is expected; NAME= ends a preference\n")
        )

    def test_which_digests(self) -> None:
        """A user who came with MD5 only is to be found again; one without preferences is not shown as nothing."""
        old = {"user": "old@example.com", "digests": ["MD5"], "disabled": True}
        self.client.answers["user-list"] = [old, ALICE]
        self.assertEqual(
            [line.split(None, 1) for line in self.shown("user", "list").splitlines()],
            [
                ["USER", "DIGESTS       DISABLED"],
                ["alice@example.com", "MD5, SHA-256  no"],
                ["old@example.com", "MD5           yes"],
            ],
        )
        self.client.answers["user-show"] = shown = {**old, "preferences": {}}
        self.assertEqual(
            self.shown("user", "show", "old@example.com").splitlines(),
            [
                "# old@example.com: digests MD5; disabled: he can neither register nor call",
                "# no preferences",
            ],
        )
        self.assertEqual(json.loads(self.shown("user", "show", "old@example.com", "--json")), shown)
        self.client.answers["user-list"] = []
        self.assertEqual(self.shown("user", "list"), "there are no users\n")
        self.assertEqual(self.shown("user", "list", "--json"), "[]\n")

    def test_password_for_nobody(self) -> None:
        """That there is no such user is said before a password is typed."""
        self.client.answers["user-show"] = UsageError("there is no user x@a.b")
        self.terminal = Terminal()
        prompts: list[str] = []
        self.patch(passwords, "getpass", lambda prompt: prompts.append(prompt) or "typed horse")
        self.assertEqual(
            self.run_main("user", "passwd", "x@a.b"), (1, "", "voipctl: there is no user x@a.b\n")
        )
        self.assertEqual(prompts, [])
