"""C{[numbers]}."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import check_file, load_config
from voipcluster.gateway.numbers import NumberPlan

FULL = """[numbers]
country = "49"
area = "30"
extensions = 4
emergency = ["110", "112"]
enum = "E164.arpa"
also_next = ["403"]
"""


class NumbersTests(SynchronousTestCase):
    def written(self, text: str) -> str:
        path = self.mktemp() + ".toml"
        Path(path).write_text(text, encoding="utf-8")
        return path

    def problems(self, text: str) -> list[str]:
        path = self.written(text)
        return [line.removeprefix(f"{path}:") for line in check_file(path)]

    def test_plan(self) -> None:
        """The options are a number plan."""
        numbers = load_config(self.written(FULL)).numbers
        self.assertEqual(numbers.plan, NumberPlan("49", "0", "00", "30", 4, ("110", "112")))
        self.assertEqual((numbers.enum, numbers.also_next), ("e164.arpa", ("403",)))

    def test_mistakes(self) -> None:
        """One line each, with the place and what is allowed."""
        for text, place, word in (
            ('country = "049"', "2: numbers.country", "country code"),
            ("country = 49", "2: numbers.country", "country code"),
            ('national = "+"', "2: numbers.national", "up to 8 digits"),
            ('emergency = ["1a"]', "2: numbers.emergency", "112"),
            ('emergency = ["112", "112"]', "2: numbers.emergency", "each once"),
            ('enum = "e164 arpa"', "2: numbers.enum", "e164.arpa"),
            ('also_next = ["200"]', "2: numbers.also_next", "300 to 599"),
            ("enum_wait = 0", "2: numbers.enum_wait", "from 0.1"),
            ('contry = "49"', "2", "did you mean numbers.country?"),
            ('national = "00"', "2: numbers.national", "so is numbers.international"),
            ('area = "30"', "2: numbers.area", "needs numbers.country"),
        ):
            found = self.problems(f"[numbers]\n{text}\n")
            self.assertEqual(len(found), 1, found)
            self.assertTrue(found[0].startswith(f"{place}: "), found)
            self.assertIn(word, found[0])
