"""Tests of what a node takes from the machine."""

from __future__ import annotations

import time

from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.services.node.surroundings import MACHINE, Surroundings


class SurroundingsTests(SynchronousTestCase):
    def test_machine(self) -> None:
        """Without being told otherwise it is this machine: its clock, chance, processor and memory."""
        before = time.time()
        self.assertTrue(before <= MACHINE.wall() <= time.time())
        self.assertTrue(all(0.0 <= MACHINE.random() < 1.0 for _ in range(100)))
        self.assertEqual([len(MACHINE.octets(count)) for count in (0, 1, 16)], [0, 1, 16])
        self.assertNotEqual(MACHINE.octets(16), MACHINE.octets(16))
        self.assertGreater(MACHINE.memory(), 1 << 20)
        used = MACHINE.cpu()
        sum(range(100_000))
        self.assertGreater(MACHINE.cpu(), used)

    def test_each_has_its_own(self) -> None:
        """What is kept of one process, and the kernel's table, are not shared between two nodes of a process."""
        one, other = Surroundings(), Surroundings()
        self.assertIsNot(one.kept, other.kept)
        self.assertIsNot(one.kernel, other.kernel)

    def test_nobody_changes_it(self) -> None:
        """A node may rely on it, and it is given by name."""
        with self.assertRaises(FrozenInstanceError):
            MACHINE.wall = time.monotonic
        self.assertRaises(TypeError, Surroundings, time.time)
