"""Values that are parsed when somebody asks for them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.test_message import INVITE, request
from voipcluster.errors import ParseError
from voipcluster.sip.message import parse
from voipcluster.sip.values import parse_name_addr, parse_via


class LazyMessageTests(SynchronousTestCase):
    def test_cseq(self) -> None:
        """Below 2**31, with a method (8.1.1.5, RFC 4475 section 3.1.2.4); leading zeros are allowed."""
        self.assertEqual(request(INVITE.replace(b"1 INVITE", b"0009\t INVITE")).cseq, (9, "INVITE"))
        for value in (
            b"2147483648 INVITE",
            b"1",
            b"INVITE",
            b"-1 INVITE",
            b"1 INV ITE",
            b"9" * 5000 + b" INVITE",
        ):
            with self.assertRaises(ParseError, msg=repr(value)):
                _ = request(INVITE.replace(b"1 INVITE", value)).cseq

    def test_from_uri(self) -> None:
        """The usual spellings of From are read like the others."""
        for value in (
            "<sip:a@x>;tag=1", "<sips:a;p=q@x:5061;transport=tcp>", '"A, B" <sip:a@x>;tag=1', '"<sip:b@y>"<sip:a@x>',
            "A <sip:a@x>", '"a\\" <sip:b@y>" <sip:a@x>', "sip:a@x;tag=1", "<tel:+1>;tag=1", "<sip:a@x> ;tag=1",
            "A<sip:a@x>", "<sip:a,b@x>", "<SIP:a@x>", "< sip:a@x>",
        ):  # fmt: skip
            message = parse(f"OPTIONS sip:x@y SIP/2.0\r\nFrom: {value}\r\n\r\n".encode())
            self.assertEqual(message.from_uri, parse_name_addr(value).uri, value)
        nobody = parse(b"OPTIONS sip:x@y SIP/2.0\r\nFrom: \r\n\r\n")
        self.assertRaises(ParseError, lambda: nobody.from_uri)

    def test_top_via(self) -> None:
        """The usual spellings of Via are read like the others."""
        for value in (
            "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKa", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-a.b_c;rport",
            "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;rport=7;received=192.0.2.9", "SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bKa",
            "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK%a", "SIP/2.0/UDP 192.0.2.1;branch=..", "SIP/2.0/UDP 192.0.2.1",
            "SIP/2.0/UDP h.example.com:5060;branch=z9hG4bKa", "SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKa",
            "SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bKa", "SIP / 2.0 / UDP 192.0.2.1 ; branch=z9hG4bKa",
        ):  # fmt: skip
            message = parse(f"OPTIONS sip:x@y SIP/2.0\r\nVia: {value}\r\n\r\n".encode())
            self.assertEqual(message.top_via, parse_via(value), value)
        for value in (
            "SIP/2.0/UDP 192.0.2.1:0;branch=z9hG4bKa",
            "SIP/2.0/UDP 192.0.2.1:65536;branch=z9hG4bKa",
            "",
        ):
            message = parse(f"OPTIONS sip:x@y SIP/2.0\r\nVia: {value}\r\n\r\n".encode())
            with self.assertRaises(ParseError, msg=value):
                _ = message.top_via

    def test_both_tags(self) -> None:
        """The usual spellings of From and To are read like the others."""
        for value, tag in (
            ("<sip:a@h>;tag=1a", "1a"), ("<sip:a@h>", None), ("<sip:a@h> ", None), ("<sip:a@h>;tag=", None),
            ('">;tag=x" <sip:a@h>;tag=2', "2"), ('">;tag=x" <sip:a@h>', None), ("<sip:a@h>;x;tag=3", "3"), ("sip:a@h;tag=4", "4"),
            ("<sip:a@h>;tag=5;x", "5"), ("<sip:a@h>;tag=6-7", "6-7"),
        ):  # fmt: skip
            message = parse(
                f"OPTIONS sip:x@y SIP/2.0\r\nFrom: {value}\r\nTo: <sip:b@h>;tag=other\r\n\r\n".encode()
            )
            self.assertEqual(
                (message.from_tag, message.to_tag, message.tags), (tag, "other", (tag, "other")), value
            )
            message = parse(f"OPTIONS sip:x@y SIP/2.0\r\nT: {value}\r\n\r\n".encode())
            self.assertEqual((message.from_tag, message.to_tag), (None, tag), value)

    def test_call_id(self) -> None:
        """Without the white space around it, folded or not; what is no UTF-8 stays what it is."""
        for line, call_id in (
            (b"Call-ID: 1@h", "1@h"), (b"Call-ID:  1@h \t", "1@h"), (b"i: 1@h", "1@h"), (b"Call-ID:\r\n 1@h", "1@h"),
            (b"Call-ID: a\r\n b", "a b"), (b"Call-ID: \xff", "\udcff"), (b"CALL-ID : 1", "1"), (b"Call-ID: \x1f", "\x1f"),
        ):  # fmt: skip
            self.assertEqual(parse(b"OPTIONS sip:x@y SIP/2.0\r\n" + line + b"\r\n\r\n").call_id, call_id)
        self.assertEqual(parse(b"OPTIONS sip:x@y SIP/2.0\r\nX: y\r\n\r\n").call_id, "")
