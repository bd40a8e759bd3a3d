"""Telephone numbers in URIs (RFC 3966, RFC 3261 section 19.1.6)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError
from voipcluster.sip.tel import Phone, parse_tel, phone_of, sip_of_number, sip_of_tel
from voipcluster.sip.uri import parse_uri


class TelTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """Those of RFC 3966 section 6, and what phones send besides."""
        self.assertEqual(parse_tel("tel:+1-201-555-0123"), Phone("+1-201-555-0123"))
        self.assertEqual(
            parse_tel("TEL:7042;Phone-Context=Example.com"),
            Phone("7042", "example.com", (("phone-context", "Example.com"),)),
        )
        self.assertEqual(parse_tel("tel:863-1234;phone-context=+1-914-555").context, "+1-914-555")
        self.assertEqual(parse_tel("tel:*21%23").number, "*21#")
        self.assertEqual(parse_tel("tel:110").number, "110")

    def test_broken(self) -> None:
        """Neither digits nor parameters: 400."""
        for text in (
            "tel:",
            "tel:+",
            "tel:alice",
            "tel:+49;a b",
            "sip:+49@x",
            "tel:+49@x",
            "tel:--",
            "tel:" + "1" * 70,
        ):
            self.assertEqual(self.assertRaises(ParseError, parse_tel, text).status_hint, 400, text)

    def test_as_sip(self) -> None:
        """Parameters go into the user part, in one order and in lower case (19.1.6); separators go."""
        uri = sip_of_tel(parse_tel("tel:+358-555-1234567;postd=pP22;isub=1411"), "foo.com")
        self.assertEqual(str(uri), "sip:+3585551234567;isub=1411;postd=pp22@foo.com;user=phone")
        uri = sip_of_tel(parse_tel("tel:*21%23;phone-context=+49"), "foo.com")
        self.assertEqual(str(uri), "sip:*21%23;phone-context=+49@foo.com;user=phone")
        self.assertEqual(phone_of(uri), Phone("*21#", "+49", (("phone-context", "+49"),)))

    def test_of_sip(self) -> None:
        """A user part may be a number, or not."""
        self.assertEqual(phone_of(parse_uri("sip:+49-30@example.com;user=phone")), Phone("+49-30"))
        self.assertIsNone(phone_of(parse_uri("sip:alice@example.com")))
        self.assertIsNone(phone_of(parse_uri("sip:example.com")))
        self.assertIsNone(phone_of(parse_uri("sip:+@example.com")))

    def test_of_number(self) -> None:
        """A number for a gateway."""
        self.assertEqual(
            str(sip_of_number("+4930", "192.0.2.1", 5070)), "sip:+4930@192.0.2.1:5070;user=phone"
        )
        uri = sip_of_number("*21#", "2001:db8::1", params=(("transport", "tcp"),))
        self.assertEqual(str(uri), "sip:*21%23@[2001:db8::1];user=phone;transport=tcp")

    @given(st.text("+0123456789-.();=ab%#*:@ ", max_size=40))
    def test_any_text(self, text: str) -> None:
        """Any text is a number that a SIP URI can hold, or a ParseError."""
        try:
            phone = parse_tel(f"tel:{text}")
        except ParseError:
            return
        uri = parse_uri(str(sip_of_tel(phone, "example.com")))
        again = phone_of(uri)
        assert again is not None
        self.assertEqual(again.number.lower(), "".join(c for c in phone.number if c not in "-.()").lower())
        self.assertEqual(again.context, phone.context)
