"""C{voipctl gateway}: words of the command line, and answers as text."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fake_node import CALL, GATEWAY
from voipcluster.errors import UsageError
from voipcluster.voipctl import tables
from voipcluster.voipctl.gateways import listing, one, options_of, removed


class OptionsTests(SynchronousTestCase):
    def test_values(self) -> None:
        """A value is TOML where it can be read so, else the text as it stands."""
        self.assertEqual(
            options_of(
                ["channels=30", "trusted=true", 'servers=["a","b"]', "kind=pstn", "incoming.numbers=users,+49", "x=a=b"]
            ),
            {
                "channels": 30, "trusted": True, "servers": ["a", "b"], "kind": "pstn", "incoming.numbers": "users,+49",
                "x": "a=b",
            },
        )  # fmt: skip

    def test_what_is_no_table(self) -> None:
        """A value that would be a table, a date or a second key is a text."""
        for text in ("{ a = 1 }", "2026-01-01", "1\nb = 2", "+49", ""):
            self.assertEqual(options_of([f"k={text}"]), {"k": text})

    def test_errors(self) -> None:
        """What is no KEY=VALUE, and a key twice, is told in a line."""
        for texts in (["channels"], ["=3"], ["a=1", "a=2"]):
            self.assertRaises(UsageError, options_of, texts)


class ShownTests(SynchronousTestCase):
    def test_list(self) -> None:
        """State with its reason, channels of how many, ratio, last cause; nothing moves the cursor."""
        title, row = listing([GATEWAY]).splitlines()
        self.assertEqual(title.split()[:5], ["GATEWAY", "KIND", "STATE", "CHANNELS", "SEIZURES"])
        for part in (
            "carrier-a",
            " down ",
            "  no answer?[2J",
            "3/30",
            "75%",
            "503 (no circuit available)",
            "file",
        ):
            self.assertIn(part, row)
        free = {**GATEWAY, "most": 0, "asr": None, "state": "up"}
        self.assertEqual(listing([free]).splitlines()[1].split()[2:6], ["up", "3", "8", "-"])

    def test_one(self) -> None:
        """Each node's view of it, and the options that say something."""
        text = one({**GATEWAY, "options": {"channels": 30, "password": "", "hours": [], "auth_user": "4930"}})
        self.assertIn("channels=30\nauth_user=4930", text)
        self.assertNotIn("password", text)
        self.assertIn("NODE", text)

    def test_options_as_they_are_set(self) -> None:
        """Lists and switches as TOML has them, keys of a permission with a dot: each line is a word of gateway set."""
        text = one(
            {
                **GATEWAY,
                "options": {"servers": ["a", "b"], "trusted": False, "incoming": {"numbers": ["users"]}},
            }
        )
        self.assertEqual(
            text.splitlines()[-3:], ['servers=["a", "b"]', "trusted=false", 'incoming.numbers=["users"]']
        )
        self.assertEqual(options_of(text.splitlines()[-3:])["servers"], ["a", "b"])

    def test_removed(self) -> None:
        """One of the file is not gone, and that is said."""
        self.assertEqual(removed("a", {"left": False}), "a: removed")
        self.assertIn("it is that of the configuration file again", removed("a", {"left": True}))

    def test_calls_name_gateways(self) -> None:
        """A column that is there only when a call uses a gateway."""
        self.assertNotIn("GATEWAY", tables.calls([CALL]))
        text = tables.calls(
            [CALL, {**CALL, "gateway_in": "a", "gateway_out": "b"}, {**CALL, "gateway_out": "b"}]
        )
        self.assertIn("GATEWAY", text)
        self.assertIn("a>b", text)
        self.assertIn(">b", text.splitlines()[3])
