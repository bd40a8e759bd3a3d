"""How a mistake is shown."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config.problem import Problem, guess, shown


class ProblemTests(SynchronousTestCase):
    def test_line(self) -> None:
        """Place, key and text in one line, without what is missing."""
        self.assertEqual(str(Problem("x.toml:3", "sip.port", "wrong")), "x.toml:3: sip.port: wrong")
        self.assertEqual(str(Problem("--set", "", "wrong")), "--set: wrong")

    def test_shown(self) -> None:
        """A value is shown as TOML has it, cut to what one can read; a huge number is not printed."""
        self.assertEqual([shown(("a", 1)), shown(True)], ['["a", 1]', "true"])
        self.assertEqual(len(shown("x" * 1000)), 60)
        self.assertEqual(shown(int("f" * 5000, 16)), "a huge number")

    def test_guess(self) -> None:
        """A near word is offered, a far one is not."""
        self.assertEqual([guess("Limit", ("limits", "sip")), guess("zzz", ("limits",))], ["limits", ""])
