"""The long lists of a node, in parts."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.world import World
from voipcluster.services.node.lists import BINDING, USER, registrations, users


class ListsTests(SynchronousTestCase):
    def setUp(self) -> None:
        world = World("a")
        world.phones(callers=1, callees=3, at="a")
        self.node = world.nodes["a"].service

    def test_registrations_in_parts(self) -> None:
        """Each part says where the next one begins, the last one that there is none; all of them are the list."""
        whole = registrations(self.node, None, None, None, None)
        rows, after = [], 0
        while after is not None:
            part = registrations(self.node, None, 1, after, True)
            self.assertEqual(part["names"], BINDING)
            self.assertLessEqual(len(part["rows"]), 1)
            rows += part["rows"]
            after = part["next"]
        self.assertGreater(len(rows), 1)
        self.assertEqual(sorted(rows), [tuple(row[name] for name in BINDING) for row in whole])

    def test_users(self) -> None:
        """A part behind the end is empty, and the last one."""
        part = users(self.node, None, None, 1000, None, True)
        self.assertEqual((part["names"], part["rows"], part["next"]), (USER, [], None))
