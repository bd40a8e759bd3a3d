"""SIP messages in all their spellings: read, forwarded, answered (RFC 3261 sections 7, 16.6, 16.7 and 8.2.6)."""

from __future__ import annotations

import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.properties.message import OURS, check_built, check_message, parsed, respelled
from tests.unit.strategies import damaged, requests, responses
from voipcluster.errors import ParseError
from voipcluster.sip.message import Request, Response, parse
from voipcluster.sip.outgoing import forward_request, forward_response
from voipcluster.sip.values import NameAddr, parse_name_addr

DATA = Path(__file__).parents[2] / "data"
TORTURE = [file.read_bytes() for file in sorted(DATA.glob("rfc*/*.dat"))]
PLAIN = (
    b"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKa;rport\r\nMax-Forwards: 70\r\n"
    b"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n"
    b"Content-Length: 0\r\n\r\n"
)


class GeneratedMessageTests(SynchronousTestCase):
    @given(requests())
    def test_requests(self, data: bytes) -> None:
        """All that holds of a request: bytes come back, short ways equal long ones, a copy differs where it must."""
        self.assertIsInstance(parsed(data), Request)
        check_message(data)

    @given(responses())
    def test_responses(self, data: bytes) -> None:
        """The same of a response; forwarding takes exactly the topmost Via."""
        self.assertIsInstance(parsed(data), Response)
        check_message(data)

    @given(damaged(requests() | responses() | st.sampled_from(TORTURE)))
    def test_damaged_ones(self, data: bytes) -> None:
        """A damaged message is refused, or all that holds of a whole one holds of it."""
        check_message(data)

    def test_torture_messages(self) -> None:
        """All that holds, of the messages of RFC 4475 and RFC 5118 too."""
        for data in TORTURE:
            check_message(data)

    @given(st.sampled_from(["Subject", "x-new", "Contact"]), st.text(max_size=30))
    def test_a_value_brings_no_line(self, name: str, value: str) -> None:
        """Whatever text is put into a header of ours, it stays one header."""
        check_built(name, value)


class CheckTests(SynchronousTestCase):
    """The checks see what they are for."""

    def test_the_odd_spelling_is_read_by_the_whole_grammar(self) -> None:
        """Not one octet of a header is spelled as the fast ways want it."""
        odd = respelled(parse(PLAIN))
        for spelled in (b"SIP/2.0\r\n", b"Via: ", b"CSeq: ", b"Content-Length: "):
            self.assertNotIn(spelled, odd)
        self.assertEqual(parse(odd).top_via, parse(PLAIN).top_via)

    def test_a_wrong_copy_is_seen(self) -> None:
        """A forwarded request with a header too few fails the check."""
        from tests.properties import message  # noqa: PLC0415 - to put another function into it

        def careless(request: Request, **how: object) -> bytes:
            lost = forward_request(request, **how)
            return lost.replace(b"Call-ID: c\r\n", b"")

        self.patch(message, "forward_request", careless)
        self.assertRaises(AssertionError, check_message, PLAIN)

    def test_a_via_too_many_is_seen(self) -> None:
        """A response that keeps our Via fails the check."""
        from tests.properties import message  # noqa: PLC0415 - as above

        data = PLAIN.replace(b"INVITE sip:bob@example.com SIP/2.0", b"SIP/2.0 200 OK")
        check_message(data)
        self.patch(message, "forward_response", lambda response, body=None: response.to_bytes())
        self.assertRaises(AssertionError, check_message, data)


class FoundTests(SynchronousTestCase):
    """What generated input has found."""

    def test_method_of_a_response_behind_a_tab(self) -> None:
        """White space in CSeq may be a tab: the response still finds its transaction (RFC 3261 section 25.1)."""
        for gap in (b" ", b"\t", b"\r\n ", b"\r\n\t"):
            message = parse(PLAIN.replace(b"1 INVITE", b"1" + gap + b"INVITE \t"))
            self.assertEqual((message.cseq_method, message.cseq), ("INVITE", (1, "INVITE")), gap)
        self.assertEqual(parse(PLAIN.replace(b"CSeq: 1 INVITE", b"CSeq:")).cseq_method, "CSeq:")

    def test_a_folded_line_full_of_white_space(self) -> None:
        """It was unfolded by a pattern that took seconds for one datagram (7.3.1)."""
        gap = b" \t" * 30000
        message = parse(
            PLAIN.replace(b"Call-ID: c\r\n", b"Call-ID: c" + gap + b"\r\n" + gap + b"d" + gap + b"e\r\n")
        )
        begin = time.thread_time()
        self.assertEqual(message.call_id, "c d" + gap.decode() + "e")
        self.assertLess(time.thread_time() - begin, 0.5)

    def test_white_space_is_that_of_the_grammar(self) -> None:
        """U+0085 or U+00A0 separates nothing: other elements would read another value (25.1)."""
        for odd in ("\u0085", "\u00a0", "\u2003", "\x1c"):
            message = parse(PLAIN.replace(b"1 INVITE", f"1{odd}INVITE".encode()))
            with self.assertRaises(ParseError, msg=repr(odd)):
                _ = message.cseq
            message = parse(PLAIN.replace(b";tag=1", f";tag=1{odd}2".encode()))
            self.assertEqual(message.from_tag, f"1{odd}2")

    def test_a_stray_bracket_makes_no_tag(self) -> None:
        """C{<} and C{>} stand in no parameter but in quotes, so both ways to a tag find none."""
        for value in (
            "sip:a@h;tag=x>",
            "sip:a@h>;tag=x",
            ">;tag=x",
            "<sip:a@h>;tag=x>y",
            "<sip:a@h>;x=<b>;tag=1",
        ):
            with self.assertRaises(ParseError, msg=value):
                parse_name_addr(value)
        self.assertEqual(parse_name_addr('<sip:a@h>;x="<b>"'), NameAddr("sip:a@h", "", (("x", "<b>"),)))

    def test_forwarded_as_before(self) -> None:
        """The plain message, octet for octet."""
        message = parse(PLAIN)
        assert isinstance(message, Request)
        wire = forward_request(message, uri="sip:b", via=OURS, max_forwards=69)
        self.assertEqual(wire.count(b"\r\n"), PLAIN.count(b"\r\n") + 1)
        answer = parse(PLAIN.replace(b"INVITE sip:bob@example.com SIP/2.0", b"SIP/2.0 200 OK"))
        assert isinstance(answer, Response)
        self.assertNotIn(b"Via", forward_response(answer))
