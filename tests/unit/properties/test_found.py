"""Each input that the fuzzer found, and each that it starts from."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench.fuzz.findings import judge
from bench.fuzz.targets import FOUND, TARGETS


class FoundInputTests(SynchronousTestCase):
    def test_found_inputs_and_seeds(self) -> None:
        """What was found is mended, and nothing is wrong with what the fuzzer starts from."""
        for target in TARGETS.values():
            checks, seen = target.load(), set[int]()
            for data in target.inputs():
                finding = judge(checks, data)
                self.assertIsNone(finding, f"{target.name} {data[:80]!r}: {finding.text if finding else ''}")
                seen.add(data[0] % len(checks))
            self.assertEqual(seen, set(range(len(checks))), f"{target.name}: a check without a seed")

    def test_the_folders_are_those_of_targets(self) -> None:
        """No found input is forgotten in a folder that nobody reads."""
        self.assertLessEqual({folder.name for folder in FOUND.iterdir()}, set(TARGETS))
        self.assertTrue(any(FOUND.glob("*/*")))
