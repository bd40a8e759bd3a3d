"""The arguments of each command of the admin socket, checked before the node is asked."""

from __future__ import annotations

import math
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.services.commands import COMMANDS, INodeControl, take_arguments

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**400, -(10**400), math.nan, math.inf, "", "x" * 100_000, "a\0b", "a\nb", "\ud800", "\u202e",
    "1.2.3.4", "::1%eth0", "[" * 100, [], {}, [["a"]],
)  # fmt: skip
GOOD = {
    "join-token": {"ttl": 60, "uses": 1}, "user-add": {"name": "al", "domain": "Example.com.", "password": "p\u00e4 ss"},
    "user-rm": {"name": "al", "domain": "a.b"}, "user-passwd": {"name": "al", "domain": "2001:DB8::1", "password": "x" * 256},
    "explain": {"call_id": "1/2@host"}, "drain": {"on": False}, "unban": {"who": "alice@example.com from 192.0.2.66"},
    "reload": {"everywhere": True, "dry": False},
    "forget": {"node": "b"}, "user-show": {"name": "al", "domain": "a.b"},
    "user-set": {"name": "al", "domain": "a.b", "preferences": {"forward.busy": "carol", "voicemail": ""}},
    "user-import": {"users": [["al", "a.b", "0" * 32, ""]], "replace": False, "dry": True},
    "gateway-show": {"name": "carrier-a"}, "gateway-rm": {"name": "carrier-a"},
    "gateway-add": {"name": "carrier-a", "options": {"channels": 3}},
    "gateway-import": {"gateways": [["gw", {"servers": ["192.0.2.1"]}]], "replace": False, "dry": True},
    "gateway-set": {"name": "carrier-a", "options": {}}, "gateway-switch": {"name": "carrier-a", "on": True},
    "records": {"since": 1.0, "until": 2.0, "after": 0}, "trace": {"call_id": "1/2@host", "texts": True},
    "trace-on": {"all": False, "seconds": 600}, "trace-off": {"forget": False},
}  # fmt: skip


class ArgumentTests(SynchronousTestCase):
    def test_what_they_allow(self) -> None:
        """Each argument of each command can say what it allows, in words."""
        for command in COMMANDS.values():
            for kind in command.arguments.values():
                self.assertTrue(kind.allowed)

    def test_whatever_is_given(self) -> None:
        """It is taken, or refused in one short line that names the argument, and shows nothing of a password."""
        for command in COMMANDS.values():
            for name in command.arguments:
                for odd in ODD:
                    try:
                        taken = take_arguments(command, {**dict.fromkeys(command.arguments), name: odd})
                    except UsageError as error:
                        text = str(error)
                        self.assertEqual((len(text.splitlines()), len(text) < 300), (1, True), text)
                        self.assertNotIn("x" * 100, text)
                    else:
                        self.assertEqual(taken.keys(), command.arguments.keys())

    def test_taken(self) -> None:
        """Good ones are taken, in the form that the node uses; what is optional and missing is nothing."""
        taken = {name: take_arguments(command, GOOD.get(name, {})) for name, command in COMMANDS.items()}
        self.assertEqual(taken["user-add"], {"name": "al", "domain": "example.com", "password": "p\u00e4 ss"})
        self.assertEqual(taken["user-passwd"]["domain"], "2001:db8::1")
        self.assertEqual((taken["stop"], taken["history"]), ({"node": None}, {"since": None}))
        self.assertEqual(taken["web-password"], {"password": None})
        self.assertEqual(taken["drain"], {"node": None, "on": False})

    def test_missing_and_unknown(self) -> None:
        """Each that is needed is asked for, and none is passed over that the command does not have."""
        for name, good in GOOD.items():
            for one in good:
                given = {key: value for key, value in good.items() if key != one}
                error = str(self.assertRaises(UsageError, take_arguments, COMMANDS[name], given))
                self.assertTrue(error.startswith(f"{one}: allowed is "), error)
            error = str(self.assertRaises(UsageError, take_arguments, COMMANDS[name], {**good, "y" * 500: 1}))
            self.assertEqual(error, f"unknown argument {'y' * 40!r}")
        for given in (None, [], "x", 7):
            self.assertRaises(UsageError, take_arguments, COMMANDS["status"], given)

    def test_each_asks_for_something_else(self) -> None:
        """Every method that changes a node has its command, so that there is nothing that cannot be asked for."""
        asked: list[str] = []

        class Node:
            def __getattr__(self, name: str) -> Any:
                return lambda *given: asked.append(name)

        for name, command in COMMANDS.items():
            command.call(Node(), take_arguments(command, GOOD.get(name, {})))
        for name, parts in (
            ("registrations", 0),
            ("user-list", True),
        ):  # all of it in parts is another question
            COMMANDS[name].call(Node(), take_arguments(COMMANDS[name], {"parts": parts}))
        self.assertEqual(sorted(asked), sorted(INodeControl.names(all=True)))
