"""Virtual time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.simulate.world import World


class WorldTests(SynchronousTestCase):
    def test_in_order(self) -> None:
        """Earliest first, of one time the one asked for first; each sees its own time."""
        world, seen = World(), []
        for when, what in ((2.0, "c"), (1.0, "a"), (1.0, "b")):
            world.at(when, lambda what: seen.append((world.now, what)), what)
        world.run(5.0)
        self.assertEqual(seen, [(1.0, "a"), (1.0, "b"), (2.0, "c")])
        self.assertEqual(world.now, 5.0)

    def test_stops(self) -> None:
        """What is due later waits for the next run, also what was asked for meanwhile."""
        world, seen = World(), []
        world.at(1.0, lambda _: world.at(3.0, seen.append, "late"))
        world.run(2.0)
        self.assertEqual(seen, [])
        world.run(3.0)
        self.assertEqual(seen, ["late"])

    def test_trace(self) -> None:
        """The digest depends on what was noted, and when."""
        digests = set()
        for when, what in ((1.0, "x"), (1.0, "y"), (2.0, "x")):
            world = World()
            world.at(when, world.note, what)
            world.run(3.0)
            digests.add(world.trace.hexdigest())
        self.assertEqual(len(digests), 3)
