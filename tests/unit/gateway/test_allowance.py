"""What one more call would exceed."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.allowance import (
    CALLS,
    DESTINATION,
    KINDS,
    MINUTES,
    NO_LIMIT,
    RATE,
    Allowance,
    Excess,
    Usage,
    excess,
)


class ExcessTests(SynchronousTestCase):
    def found(self, allowance: Allowance, usage: Usage = Usage(), number: str = "+4930") -> str:  # noqa: B008 - a tuple
        found = excess(allowance, lambda: usage, number)
        return "" if found is None else found.kind

    def test_each(self) -> None:
        """The last one that is allowed is let through, the next one is not."""
        for allowance, last, first in (
            (Allowance(calls=2), Usage(calls=1), Usage(calls=2)),
            (Allowance(rate=10), Usage(begun=9), Usage(begun=10)),
            (Allowance(minutes=3), Usage(seconds=179), Usage(seconds=180)),
        ):
            self.assertEqual(self.found(allowance, last), "")
            self.assertIn(self.found(allowance, first), (CALLS, RATE, MINUTES))

    def test_which(self) -> None:
        """One of them is told: that which waiting helps least comes last but for the destination, which is first."""
        everything = Usage(9, 9, 900)
        for allowance, kind in (
            (Allowance(1, 1, 1, ("+1",)), DESTINATION),
            (Allowance(1, 1, 1), CALLS),
            (Allowance(0, 1, 1), RATE),
            (Allowance(0, 0, 1), MINUTES),
        ):
            self.assertEqual(self.found(allowance, everything), kind)
        self.assertEqual(set(KINDS), {DESTINATION, CALLS, RATE, MINUTES})

    def test_destinations(self) -> None:
        """A number begins with one of the prefixes; without any all are allowed."""
        allowance = Allowance(destinations=("+49", "0"))
        for number, allowed in (
            ("+4930", True),
            ("0301", True),
            ("+4830", False),
            ("49", False),
            ("", False),
        ):
            self.assertEqual(self.found(allowance, number=number) == "", allowed, number)
        self.assertEqual(self.found(NO_LIMIT, number="+9"), "")

    def test_nothing_is_counted_in_vain(self) -> None:
        """Without limits nobody asks how much is used."""

        def asked() -> Usage:
            raise AssertionError("nobody needs it")

        self.assertIsNone(excess(NO_LIMIT, asked, "+49"))
        self.assertIsNotNone(excess(Allowance(1, 1, 1, ("+1",)), asked, "+49"))
        self.assertFalse(NO_LIMIT.limits)
        self.assertTrue(
            all(Allowance(*values).limits for values in ((1,), (0, 1), (0, 0, 1), (0, 0, 0, ("+",))))
        )

    def test_text(self) -> None:
        """It says how much of how much, in a line for the caller and the log."""
        self.assertEqual(
            excess(Allowance(minutes=3), lambda: Usage(seconds=200), "+49"),
            Excess(MINUTES, "3 of 3 minutes a day are used"),
        )
