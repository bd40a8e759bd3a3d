"""Number plans: what is dialled, and what it means (ITU-T E.164, RFC 3966)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.numbers import Number, NumberPlan

GERMANY = NumberPlan("49", "0", "00", "30", 4, ("110", "112"))
NO_PREFIX = NumberPlan("45", "", "00", emergency=("112",))
UNKNOWN = NumberPlan()
DIALLED = st.text("0123456789+*#-.() abc", max_size=40)


class ReadTests(SynchronousTestCase):
    def test_forms_of_one_number(self) -> None:
        """However it is dialled, it is the same E.164 number."""
        for dialled in (
            "+493012345",
            "00493012345",
            "03012345",
            "030-123.45",
            "(030)12345",
            "12345",
            "+49-30-12345",
        ):
            self.assertEqual(GERMANY.read(dialled), Number("+493012345"), dialled)
        self.assertEqual(GERMANY.read("0014155550100"), Number("+14155550100"))

    def test_local(self) -> None:
        """An extension and a code of the exchange stay as they are, and so does everything where no country is known."""
        self.assertEqual(GERMANY.read("200"), Number("200"))
        self.assertEqual(GERMANY.read("*21#"), Number("*21#"))
        self.assertEqual(UNKNOWN.read("03012345"), Number("03012345"))
        self.assertEqual(UNKNOWN.read("00493012345"), Number("+493012345"))
        self.assertEqual(NO_PREFIX.read("33123456"), Number("33123456"))
        self.assertTrue(GERMANY.read("+4930") == Number("+4930") and Number("+4930").is_global)
        self.assertFalse(Number("200").is_global)

    def test_emergency(self) -> None:
        """A number for help is one as it is dialled, with its country as context too, and not as the begin of another one."""
        self.assertEqual(GERMANY.read("110"), Number("110", True))
        self.assertEqual(GERMANY.read("1-1-2"), Number("112", True))
        self.assertEqual(GERMANY.read("110", "+49"), Number("110", True))
        self.assertEqual(GERMANY.read("110", "+48"), Number("+48110"))
        self.assertEqual(GERMANY.read("1101"), Number("1101"))
        self.assertEqual(GERMANY.read("11012"), Number("+493011012"))

    def test_context(self) -> None:
        """A local number of a country or an area is what stands behind it (RFC 3966 section 5.1.5)."""
        self.assertEqual(GERMANY.read("5550100", "+1-415"), Number("+14155550100"))
        self.assertEqual(GERMANY.read("030", "+49"), Number("+49030"))
        self.assertIsNone(GERMANY.read("200", "other.example"))
        self.assertIsNone(GERMANY.read("*21#", "+49"))

    def test_no_number(self) -> None:
        """Names, and what is too long for E.164 (15 digits) or begins with a zero there, are none."""
        for text in (
            "",
            "alice",
            "+",
            "+0301",
            "+49a",
            "+1234567890123456",
            "0" * 17,
            "1" * 70,
            "++49",
            "4 9",
            "١١٢",
            "-",
        ):
            self.assertIsNone(GERMANY.read(text), text)
        self.assertEqual(GERMANY.read("+123456789012345"), Number("+123456789012345"))
        self.assertIsNone(GERMANY.read("00"))

    @given(DIALLED, st.sampled_from(["", "+49", "+1-415", "x.example"]))
    def test_any_text(self, dialled: str, context: str) -> None:
        """Any text is a number that is read as itself, or none."""
        for plan in (GERMANY, UNKNOWN, NO_PREFIX):
            number = plan.read(dialled, context)
            if number is not None and (number.is_global or plan is UNKNOWN):
                self.assertEqual(plan.read(number.text), number._replace(emergency=number.emergency))
                self.assertLessEqual(len(number.text), 32)


class PrefixTests(SynchronousTestCase):
    def test_those_that_match(self) -> None:
        """A prefix that numbers of the plan can begin with is right."""
        for prefix in ("", "+", "+49", "+1415", "2", "*21", "110", "1"):
            self.assertEqual(GERMANY.trouble_with_prefix(prefix), "", prefix)
        self.assertEqual(UNKNOWN.trouble_with_prefix("030"), "")

    def test_those_that_never_match(self) -> None:
        """One as it is dialled matches nothing, since numbers are written out first; the remedy is named."""
        self.assertIn('write "+4930"', GERMANY.trouble_with_prefix("030"))
        self.assertIn('write "+49"', GERMANY.trouble_with_prefix("0049"))
        for prefix in ("+0", "x", "+49-30", " 49"):
            self.assertIn("allowed", GERMANY.trouble_with_prefix(prefix), prefix)
        of_help = NumberPlan("61", "0", "0011", emergency=("000",))
        self.assertEqual(of_help.trouble_with_prefix("000"), "")
