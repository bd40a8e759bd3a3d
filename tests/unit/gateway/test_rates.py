"""Rate tables: read from CSV, asked for a price."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.rates import Rate, RateError, RateTable, parse_rates

TABLE = """# cents a minute
gateway,prefix,price,comment
a,+49,1.9,Germany
a,+4915, 12 ,mobile

b,49,2,
b,,9.5,elsewhere
"""


class ParseTests(SynchronousTestCase):
    def test_table(self) -> None:
        """The columns come in any order, digits without a plus are E.164 digits, lines are counted as an editor does."""
        self.assertEqual(
            parse_rates(TABLE.splitlines()),
            [
                Rate("+49", "a", 1.9, 3), Rate("+4915", "a", 12.0, 4), Rate("+49", "b", 2.0, 6), Rate("", "b", 9.5, 7),
            ],
        )  # fmt: skip

    def wrong(self, line: int, text: str, table: str) -> None:
        error = self.assertRaises(RateError, parse_rates, table.splitlines())
        self.assertIn(text, str(error))
        self.assertEqual(error.line, line, str(error))

    def test_wrong_columns(self) -> None:
        """A column with another name, twice, or missing is named with what is allowed."""
        self.wrong(1, "unknown column 'prize'; did you mean price?", "prefix,gateway,prize\n+49,a,1")
        self.wrong(2, "no column price", "# x\nprefix,gateway\n+49,a")
        self.wrong(1, "twice", "prefix,gateway,price,price\n")
        self.wrong(1, "names of the columns", "")
        self.wrong(1, "unknown column '+49'", "+49,a,1\n")

    def test_wrong_values(self) -> None:
        """A price that is none, a prefix that is none, too many or too few values, and a prefix twice: with the line."""
        head = "prefix,gateway,price\n"
        for price in ("", "x", "-1", "nan", "inf", "1e999"):
            self.wrong(2, "price", f"{head}+49,a,{price}")
        self.wrong(3, "prefix '4x'", f"{head}+49,a,1\n4x,a,1")
        self.wrong(2, "2 values where the table has 3 columns", f"{head}+49,a")
        self.wrong(2, "no gateway", f"{head}+49,,1")
        self.wrong(3, "stands in line 2 already", f"{head}+49,a,1\n49,a,2")
        self.wrong(2, "characters", f"{head}{'1' * 2000}")

    @given(st.text('0123,+"ab\n#.\x00é', max_size=60))
    def test_any_text(self, text: str) -> None:
        """Any text is a table or a RateError with a line."""
        try:
            rates = parse_rates(text.splitlines())
        except RateError as error:
            self.assertGreaterEqual(error.line, 0)
        else:
            self.assertEqual(rates, [])  # no such text has the three names
        try:
            rates = parse_rates(["prefix,gateway,price", *text.splitlines()])
        except RateError:
            return
        for rate in rates:
            self.assertGreaterEqual(RateTable.of(rates).price(rate.prefix + "7", rate.gateway) or 0.0, 0.0)


class PriceTests(SynchronousTestCase):
    def test_longest_prefix(self) -> None:
        """The longest prefix of that gateway counts; none: nobody knows."""
        table = RateTable.of(parse_rates(TABLE.splitlines()))
        self.assertEqual(table.price("+491512345", "a"), 12.0)
        self.assertEqual(table.price("+493012345", "a"), 1.9)
        self.assertEqual(table.price("+33", "b"), 9.5)
        self.assertIsNone(table.price("+33", "a"))
        self.assertIsNone(table.price("+33", "c"))
