"""The long lists of a node, in parts."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.world import World
from voipcluster.balance.messages import Account
from voipcluster.services.node import lists
from voipcluster.services.node.lists import BINDING, registration_parts, registrations, user_parts
from voipcluster.store.accounts import new_account


def rows_of(part: dict[str, Any]) -> list[tuple[Any, ...]]:
    return list(zip(*part["columns"], strict=True))


class ListsTests(SynchronousTestCase):
    def setUp(self) -> None:
        world = World("a")
        world.phones(callers=1, callees=3, at="a")
        self.node = world.nodes["a"].service

    def test_registrations_in_parts(self) -> None:
        """All of them are the list, whose rows have names; a part has no more than one may, and who wants few gets few."""
        whole = registrations(self.node, None, None, None)
        self.assertGreater(len(whole), 1)
        self.patch(lists, "PART", 1)
        parts = list(registration_parts(self.node, 0))
        self.assertEqual({part["names"] for part in parts}, {BINDING})
        self.assertEqual({len(part["columns"][0]) for part in parts}, {1})
        rows = sorted(row for part in parts for row in rows_of(part))
        self.assertEqual([dict(zip(BINDING, row, strict=True)) for row in rows], whole)
        self.assertEqual(len(list(registration_parts(self.node, 1))), 1)

    def test_who_registers_meanwhile(self) -> None:
        """A phone that leaves and comes back while the list is read is in no second part, and hides no other one."""
        self.patch(lists, "PART", 1)
        location = self.node.registrar.location
        users = location.aors()
        parts = registration_parts(self.node, 0)
        told = next(parts)["columns"][0]
        (first,) = location.bindings(users[0], 0.0)
        location.remove(first)
        location.put(first)
        told += [user for part in parts for user in part["columns"][0]]
        self.assertEqual(told, users)

    def test_users_in_parts(self) -> None:
        """Of all domains or of one, however it is spelt; who is removed meanwhile is left out, and nobody else is."""
        accounts = self.node.accounts
        for name in ("carol", "dave", "erin"):
            accounts.put(evolve(new_account(name, "example.com", "pw"), disabled=name == "dave"))
        self.patch(lists, "PART", 1)
        whole = [row for part in user_parts(self.node, None) for row in rows_of(part)]
        self.assertIn(("dave@example.com", ["MD5", "SHA-256"], True), whole)
        self.assertEqual(len(whole), len(accounts))
        self.assertEqual(
            [row for part in user_parts(self.node, "Example.COM") for row in rows_of(part)], whole
        )
        self.assertEqual(
            [row for part in user_parts(self.node, "elsewhere.org") for row in rows_of(part)], []
        )
        parts = user_parts(self.node, None)
        told = next(parts)["columns"][0]
        for name in ("carol", "dave"):
            accounts.put(Account(username=name, domain="example.com", removed=True))
        told += [user for part in parts for user in part["columns"][0]]
        self.assertEqual(told, ["carol@example.com", "erin@example.com"])
