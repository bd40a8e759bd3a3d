"""The closest pattern decides who may call whom."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.permission import Party, Permission, check_pattern, number_of

BERLIN = Party("+4930123")
ALICE = Party(aor="alice@example.com", ours=True)
STRANGER = Party(aor="bob@elsewhere.example")


class NumberTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """Visual separators and parameters are no part of a number (RFC 3966 section 5.1.1); names are no numbers."""
        users = [
            "+49-30.(123)",
            "030123",
            "*31#",
            "112;phone-context=+49",
            "alice",
            "",
            "+",
            "1" * 40,
            "+49a",
        ]
        self.assertEqual(
            [number_of(user) for user in users], ["+4930123", "030123", "*31#", "112", "", "", "", "", ""]
        )


class PermissionTests(SynchronousTestCase):
    def numbers(self, *patterns: str) -> Permission:
        return Permission(numbers=patterns)

    def test_nothing_is_forbidden_by_default_and_everything_by_an_empty_list(self) -> None:
        """The default lets all through; no pattern at all lets nobody through."""
        self.assertTrue(Permission().takes_number(BERLIN))
        self.assertTrue(Permission().takes_caller(STRANGER))
        self.assertFalse(self.numbers().takes_number(BERLIN))

    def test_longest_prefix(self) -> None:
        """Of the prefixes that match the longest decides, in whatever order they stand."""
        for patterns in (("+49", "!+49900", "+4990012"), ("+4990012", "!+49900", "+49")):
            permission = self.numbers(*patterns)
            taken = [permission.takes_number(Party(n)) for n in ("+4930", "+49900", "+4990012", "+1")]
            self.assertEqual(taken, [True, False, True, False])

    def test_forbidding_wins(self) -> None:
        """Of two patterns that are as close the one that forbids counts."""
        self.assertFalse(self.numbers("+49", "!+49").takes_number(BERLIN))
        self.assertFalse(self.numbers("!+49", "+49").takes_number(BERLIN))

    def test_whole_number(self) -> None:
        """C{=110} is that number alone, and closer than each prefix."""
        permission = self.numbers("!*", "=110")
        self.assertTrue(permission.takes_number(Party("110")))
        self.assertFalse(permission.takes_number(Party("1100")))

    def test_users(self) -> None:
        """C{users} is who has an address of record of ours, and nobody of another domain."""
        permission = self.numbers("users")
        taken = [permission.takes_number(party) for party in (ALICE, STRANGER, BERLIN)]
        self.assertEqual(taken, [True, False, False])

    def test_names(self) -> None:
        """One user is closer than his domain, and a domain than all users; a domain has no case."""
        permission = Permission(callers=("users", "!*@Example.com", "alice@example.com"))
        bob = Party(aor="bob@example.com", ours=True)
        self.assertEqual([permission.takes_caller(party) for party in (ALICE, bob)], [True, False])

    def test_no_patterns(self) -> None:
        """What is no pattern is refused when it is read."""
        for text in ("", "!", "=", "user", "alice@", "@example.com", "+49x", "a b@c", "!!+49"):
            self.assertRaises(ValueError, check_pattern, text)
        for text in ("*", "!users", "+49", "=*31#", "!=110", "*@example.com", "a@[2001:db8::1]"):
            self.assertEqual(check_pattern(text), text)
