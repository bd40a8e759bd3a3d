"""What is remembered is bounded in number and in octets."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.remember import LONGEST, remember


class RememberTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[str] = []

        @remember(2)
        def length(text: str) -> int:
            self.asked.append(text)
            if not text:
                raise ValueError("nothing")
            return len(text)

        self.length = length

    def test_worked_out_once(self) -> None:
        """A text that comes again costs nothing; the oldest one is forgotten."""
        self.assertEqual([self.length(text) for text in ("a", "a", "bb", "ccc", "a")], [1, 1, 2, 3, 1])
        self.assertEqual(self.asked, ["a", "bb", "ccc", "a"])

    def test_what_comes_often_stays(self) -> None:
        """Others that come once do not crowd out a text that is asked for in between."""

        asked: list[str] = []

        @remember(8)
        def upper(text: str) -> str:
            asked.append(text)
            return text.upper()

        for number in range(100):
            self.assertEqual((upper("often"), upper(str(number))), ("OFTEN", str(number)))
        self.assertEqual(asked.count("often"), 1)

    def test_long_texts_are_not_kept(self) -> None:
        """A text of many octets is worked out each time."""
        for size in (LONGEST, LONGEST, LONGEST + 1, LONGEST + 1):
            self.assertEqual(self.length("x" * size), size)
        self.assertEqual([len(text) for text in self.asked], [LONGEST, LONGEST + 1, LONGEST + 1])

    def test_errors(self) -> None:
        """What fails is tried again."""
        for _ in range(2):
            self.assertRaises(ValueError, self.length, "")
        self.assertEqual(len(self.asked), 2)
