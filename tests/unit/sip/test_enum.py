"""ENUM: numbers to URIs (RFC 6116, RFC 3764)."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError
from voipcluster.sip.dns import NAPTR, Naptr, Question
from voipcluster.sip.enum import enum_question, enum_uris
from voipcluster.sip.uri import parse_uri

NUMBER = "+441632960083"


def sip(
    regexp: str, order: int = 100, preference: int = 10, service: str = "E2U+sip", flags: str = "u"
) -> Naptr:
    return Naptr(order, preference, flags, service, "", regexp)


class EnumTests(SynchronousTestCase):
    def test_question(self) -> None:
        """The digits in reverse order below the apex (RFC 6116 section 3.2)."""
        self.assertEqual(
            enum_question(NUMBER, "e164.arpa"), Question("3.8.0.0.6.9.2.3.6.1.4.4.e164.arpa", NAPTR)
        )

    def test_uris(self) -> None:
        """By order, then preference; other services and what points elsewhere are passed over."""
        records = [
            sip("!^.*$!sip:last@a.example!", 200, 1),
            sip("!^.*$!sip:second@a.example!", 100, 20),
            sip("!^.*$!mailto:info@a.example!", 100, 1, "E2U+email:mailto"),
            sip("", 100, 2, "", ""),
            sip("!^.*$!sip:first@a.example!", 100, 10, "e2u+PRES+SIP", "U"),
            sip("!^.*$!sip:no@a.example!", 1, 1, "E2U"),
            sip("!^.*$!tel:+49!", 1, 1),
            sip("!^.*$!sip:second@a.example!", 300),
        ]
        self.assertEqual(
            enum_uris(NUMBER, [*records, "192.0.2.1"]),
            ["sip:first@a.example", "sip:second@a.example", "sip:last@a.example"],
        )

    def test_groups(self) -> None:
        """Digits of the number go into the URI; any delimiter."""
        self.assertEqual(
            enum_uris(NUMBER, [sip(r"!^\+44(.*)$!sip:0\1@a.example!")]), ["sip:01632960083@a.example"]
        )
        self.assertEqual(
            enum_uris(NUMBER, [sip(r"/^(\+44)([0-9]+)$/sips:\2@a.example/i")]), ["sips:1632960083@a.example"]
        )

    def test_broken(self) -> None:
        """Expressions that do not match, are none, or are not simple, and replacements without their group."""
        for regexp in (
            "", "!", "!!!", "!^.*$!", "!^.*$!sip:a@b!x", "!^\\+49.*$!sip:a@b.example!", "!(!sip:a@b.example!",
            "!^.*$!sip:\\1@b.example!", "!^.*$!sip:a b@c.example!", "!(?:.*)!sip:a@b.example!", "!(.*)*!sip:a@b.example!",
            "1^.*$1sip:a@b1", "!.*.*.*.*!sip:a@b.example!", "!.{9}!sip:a@b.example!", "!" + "." * 300 + "!sip:a@b!",
        ):  # fmt: skip
            self.assertEqual(enum_uris(NUMBER, [sip(regexp)]), [], regexp)

    def test_bounded(self) -> None:
        """Of many URIs a few are used, and the worst expression that is taken takes no time."""
        many = [sip(f"!^.*$!sip:u{n}@a.example!") for n in range(64)]
        self.assertEqual(len(enum_uris(NUMBER, many)), 8)
        begin = time.process_time()
        for _ in range(64):
            enum_uris(
                "+123456789012345",
                [sip("!(.*)(.*)(.*)x!sip:a@b.example!"), sip("![0-9]*[0-9]*[0-9]*#!sip:a@b.example!")],
            )
        self.assertLess(time.process_time() - begin, 1.0)

    @given(st.text(r"!^$.*+?()[]\19sip:a@b{}|", max_size=40))
    def test_any_expression(self, regexp: str) -> None:
        """Whatever a server says, the result is SIP URIs."""
        for uri in enum_uris(
            NUMBER, [sip(regexp), sip(f"!{regexp}!sip:a@b.example!"), sip(f"!^.*$!{regexp}!")]
        ):
            try:
                parse_uri(uri)
            except ParseError:
                self.fail(uri)
