"""Rules about the other party, and the names that they are compared with."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.screening import Rule, parties_of, party_of, read_rules, verdict
from voipcluster.sip.uri import parse_uri

ACTIONS = ("allow", "deny", "decline")


class RuleTests(SynchronousTestCase):
    def test_patterns(self) -> None:
        """One C{*} stands for anything; without C{@} it is about the user part alone."""
        for pattern, party, fits in (
            ("bob@example.com", "bob@example.com", True),
            ("bob@example.com", "bobby@example.com", False),
            ("bob", "bob@anywhere.example", True),
            ("bob", "bobby@example.com", False),
            ("+4990*", "+49900123@gw.example", True),
            ("+4990*", "+4930@gw.example", False),
            ("*@evil.example", "x@evil.example", True),
            ("*@evil.example", "x@evil.example.com", False),
            ("a*a", "a@example.com", False),
            ("a*a", "aa@example.com", True),
            ("*", "@example.com", True),
        ):
            self.assertEqual(Rule("deny", pattern).fits(party), fits, (pattern, party))

    def test_first_one_counts(self) -> None:
        """The order is the user's; whom no rule fits gets an empty verdict."""
        rules = read_rules("allow:boss@example.com, decline:*@example.com,deny:anonymous", ACTIONS)
        self.assertEqual(verdict(rules, "boss@example.com"), "allow")
        self.assertEqual(verdict(rules, "x@example.com"), "decline")
        self.assertEqual(verdict(rules, "+49301@gw", "anonymous@anonymous.invalid"), "deny")
        self.assertEqual(verdict(rules, "x@example.org"), "")
        self.assertEqual(verdict((), "x@example.org"), "")

    def test_domains_have_no_case(self) -> None:
        """A host is the same in any case, a user part is not (RFC 3261 section 19.1.4)."""
        (rule,) = read_rules("deny:Bob@Example.COM", ACTIONS)
        self.assertEqual(rule, Rule("deny", "Bob@example.com"))

    def test_no_rules(self) -> None:
        """What is none is refused, with what a rule looks like."""
        for text in (
            "",
            "deny",
            "block:bob",
            "deny:",
            "deny:a*b*",
            "deny:bob smith",
            "deny:bob,,",
            "deny:a\nb",
        ):
            with self.assertRaises(ValueError, msg=text):
                read_rules(text, ACTIONS)
        with self.assertRaises(ValueError):
            read_rules(",".join(["deny:a"] * 65), ACTIONS)


class NumberTests(SynchronousTestCase):
    def test_parties_of(self) -> None:
        """A number is compared in the one form that numbers have, and as it is written."""
        self.assertEqual(parties_of("sip:bob@example.com"), ("bob@example.com",))
        found = parties_of("sip:0900-1@Example.com;user=phone", lambda uri: "+499001")
        self.assertEqual(found, ("+499001@example.com", "09001@example.com"))
        self.assertEqual(verdict(read_rules("deny:+49900*", ("allow", "deny")), *found), "deny")


class PartyTests(SynchronousTestCase):
    def test_parties(self) -> None:
        """Parameters, ports and what makes a number easier to read do not count (RFC 3966 section 5.1.1)."""
        for text, party in (
            ("sip:bob@Example.com:5070;transport=tcp", "bob@example.com"),
            ("sip:%62ob@example.com", "bob@example.com"),
            ("sip:+49-(30).12;ext=5@gw.example;user=phone", "+493012@gw.example"),
            ("sip:b.o-b@example.com", "b.o-b@example.com"),
            ("sip:example.com", "@example.com"),
        ):
            self.assertEqual(party_of(parse_uri(text)), party)
