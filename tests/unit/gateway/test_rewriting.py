"""How numbers are written for a gateway."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.rewriting import CallerId, Rewriting


class RewritingTests(SynchronousTestCase):
    def test_national(self) -> None:
        """+49 becomes 0; nothing changes without a rule; a short number is all prefix."""
        self.assertEqual(Rewriting(3, "0").rewrite("+493012345"), "03012345")
        self.assertEqual(Rewriting().rewrite("+493012345"), "+493012345")
        self.assertEqual(Rewriting(1, "00").rewrite("+33"), "0033")
        self.assertEqual(Rewriting(5, "9").rewrite("110"), "9")

    @given(st.integers(0, 20), st.text("0123456789+*#", max_size=8), st.text("0123456789", max_size=20))
    def test_length(self, strip: int, prepend: str, number: str) -> None:
        """What is stripped goes, what is prepended comes, the rest stays."""
        written = Rewriting(strip, prepend).rewrite(number)
        self.assertTrue(written.startswith(prepend))
        self.assertEqual(len(written), len(prepend) + max(0, len(number) - strip))


class CallerIdTests(SynchronousTestCase):
    def test_rules(self) -> None:
        """A number that may not be shown, or that nobody has, is replaced by that of the gateway."""
        self.assertEqual(CallerId().number("+4930123"), "+4930123")
        self.assertEqual(CallerId().number(""), "")
        rules = CallerId("+49300", ("+4930123", "+4940"))
        self.assertEqual(rules.number("+49301234"), "+49301234")
        self.assertEqual(rules.number("+4989"), "+49300")
        self.assertEqual(rules.number(""), "+49300")
        self.assertEqual(CallerId(allowed=("+4930",)).number("+4989"), "")
