"""Names of headers with all their spellings, and the text in their lines."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.header import (
    COMMA,
    QUOTE,
    header_line,
    key_of,
    key_of_line,
    octets_of,
    tag_of,
    text_of,
    value_of,
)


class HeaderTests(SynchronousTestCase):
    def test_names(self) -> None:
        """In any case and in their short form (7.3.1, 7.3.3)."""
        for name, key in (
            ("Via", "via"),
            ("V", "via"),
            ("call-ID", "call-id"),
            ("i", "call-id"),
            ("X-New", "x-new"),
        ):
            self.assertEqual(key_of(name), key)
            self.assertEqual(key_of_line(f"{name} \t: x".encode()), key)
        for line in (b"Via", b": x", b"No Token: x", b"\xff: x", b"(: x"):
            self.assertEqual(key_of_line(line), "", line)

    def test_lines(self) -> None:
        """A line of ours has the usual spelling, and no line break in its value."""
        self.assertEqual(header_line("call-id", "x"), b"Call-ID: x")
        self.assertEqual(header_line("x-new", "\udcff"), b"X-New: \xff")
        self.assertRaises(AssertionError, header_line, "x-new", "a\r\nb")

    def test_values(self) -> None:
        """Unfolded, each line break with the white space around it is one space (7.3.1)."""
        self.assertEqual(value_of(b"X:  a \r\n \tb\r\n c "), "a b c")
        self.assertEqual(text_of(octets_of("\udcffü")), "\udcffü")

    def test_numbers_for_octets(self) -> None:
        """What is looked for as a number is that octet."""
        self.assertEqual((bytes([COMMA]), bytes([QUOTE])), (b",", b'"'))

    def test_tags(self) -> None:
        """The header's parameter, not what a display name or a URI says."""
        for value, tag in (
            ("<sip:a@h>;tag=1", "1"), ("<sip:a@h;tag=2>", None), ('"<x>;tag=3" <sip:a@h>;TAG = 4;x', "4"),
            ("sip:a@h ; tag=5", "5"), ('<sip:a@h>;tag=6;x="<>"', "6"), ("<sip:a@h>;nottag=7", None), (None, None),
            ('"> <sip:a@h>;tag=8', None),
        ):  # fmt: skip
            self.assertEqual(tag_of(value), tag, value)
