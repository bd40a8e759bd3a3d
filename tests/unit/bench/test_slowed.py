"""What callload says of its calls, second by second and one by one."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.slowed import Counts, Load

OUTPUT = {
    "a": "1.000 40 0 0 0\nrefused 1.250 3-9-77@127.0.0.1 503\n2.000 81 1 0 2\nlost 0.500 4-2-77@127.0.0.1 BYE\n3.000 120 1 1 2\n",
    "b": "1.000 39 0 0 0\n2.000 80 0 0 0\n",
}


class LoadTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.load = Load(folder, Path("callload"), 80.0, 3)
        for name, text in OUTPUT.items():
            self.load.output(name).write_text(text)

    def test_counts(self) -> None:
        """Of both together, as long as both have said something."""
        self.assertEqual(self.load.counts(), [Counts(79, 0, 0, 0), Counts(161, 1, 0, 2)])

    def test_failed(self) -> None:
        self.assertEqual(
            self.load.failed(),
            [
                ("a", ["refused", "1.250", "3-9-77@127.0.0.1", "503"]),
                ("a", ["lost", "0.500", "4-2-77@127.0.0.1", "BYE"]),
            ],
        )
