"""The message layer (RFC 3261 section 7), with the torture messages of RFC 4475 and RFC 5118."""

from __future__ import annotations

import contextlib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError
from voipcluster.sip.layout import OFTEN
from voipcluster.sip.message import (
    MAX_HEADERS,
    MalformedMessage,
    Message,
    Request,
    Response,
    parse,
)
from voipcluster.sip.outgoing import reply
from voipcluster.sip.uri import parse_uri
from voipcluster.sip.values import parse_name_addr, parse_via

DATA = Path(__file__).parents[2] / "data"
INVITE = (
    b"INVITE sip:bob@example.com SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKa;rport\r\n"
    b"Max-Forwards: 70\r\n"
    b'From: "Alice" <sip:alice@example.com>;tag=9fx\r\n'
    b"To: <sip:bob@example.com>\r\n"
    b"Call-ID: 384@192.0.2.10\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"X-Odd:  kept   as it is \r\n"
    b"Content-Length: 4\r\n\r\nbody"
)
VIA = "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKours"


def request(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def response(data: bytes) -> Response:
    message = parse(data)
    assert isinstance(message, Response)
    return message


def with_lines(*lines: bytes) -> bytes:
    return INVITE.replace(b"X-Odd:  kept   as it is \r\n", b"".join(line + b"\r\n" for line in lines))


def torture(name: str) -> bytes:
    for folder in ("rfc4475", "rfc5118"):
        path = DATA / folder / f"{name}.dat"
        if path.exists():
            return path.read_bytes()
    raise AssertionError(f"no torture message {name}")


def look_at_everything(message: Message) -> None:
    """Ask for all that anybody asks of a message; each question may raise ParseError only."""
    message.to_bytes()
    assert message.wire_size == len(message.to_bytes())
    str(message.call_id), repr(message), message.from_tag, message.to_tag
    for key in {*message.keys, "via", "contact"}:
        message.get(key), message.get_all(key)
        with contextlib.suppress(ParseError):
            for value in message.values(key):
                with contextlib.suppress(ParseError):
                    parse_name_addr(value).sip_uri()
                with contextlib.suppress(ParseError):
                    parse_via(value)
    with contextlib.suppress(ParseError):
        assert 0 <= message.cseq[0] < 1 << 31
    with contextlib.suppress(ParseError):
        message.top_via.with_source("2001:db8::1", 5060)
    if isinstance(message, Request):
        with contextlib.suppress(ParseError):
            parse_uri(message.uri)
        with contextlib.suppress(ParseError):
            seen = message.top_via.with_source("192.0.2.1", 999)
            answer = reply(message, 400, to_tag="t", received_via=seen)
            assert response(answer.to_bytes()).status == 400


class ParseTests(SynchronousTestCase):
    def test_parts_of_a_request(self) -> None:
        """Start line, headers by key, body (7.1)."""
        message = request(INVITE)
        self.assertEqual(
            (message.method, message.uri, message.body), ("INVITE", "sip:bob@example.com", b"body")
        )
        self.assertEqual((message.cseq, message.from_tag, message.to_tag), ((1, "INVITE"), "9fx", None))
        self.assertEqual((message.get("x-odd"), message.get("route")), ("kept   as it is", None))
        self.assertTrue(message.has("max-forwards"))
        self.assertEqual(message.to_bytes(), INVITE)
        self.assertEqual(message.wire_size, len(INVITE))

    def test_parts_of_a_response(self) -> None:
        """Status and reason phrase, which may be empty or any UTF-8 (7.2, RFC 4475 sections 3.1.1.12 and 13)."""
        self.assertEqual(response(torture("unreason")).status, 200)
        self.assertIn("\u043f", response(torture("unreason")).reason)
        self.assertEqual(
            (response(torture("noreason")).status, response(torture("noreason")).reason), (100, "")
        )

    def test_names_in_any_case_and_compact_form(self) -> None:
        """Compact forms equal long forms, names are compared without case (7.3.1, 7.3.3)."""
        message = request(
            INVITE.replace(b"Call-ID", b"i").replace(b"From", b"fRoM").replace(b"Via:", b"v \t:")
        )
        self.assertEqual((message.call_id, message.from_tag), ("384@192.0.2.10", "9fx"))
        self.assertEqual(message.top_via.host, "192.0.2.10")

    def test_lists_and_lines_are_one(self) -> None:
        """Several lines and one line with commas mean the same, in order (7.3.1)."""
        message = request(with_lines(b"Route: <sip:a;lr>, <sip:b,c;lr>", b'Route: "x, y" <sip:d>'))
        self.assertEqual(message.values("route"), ["<sip:a;lr>", "<sip:b,c;lr>", '"x, y" <sip:d>'])
        self.assertEqual(len(message.get_all("route")), 2)
        self.assertEqual(message.values("path"), [])

    def test_folded_lines(self) -> None:
        """A continuation line equals one line with a single space; it is forwarded as it came (7.3.1)."""
        folded = with_lines(b"Subject: I know\r\n  you're\r\n\tthere")
        message = request(folded)
        self.assertEqual(message.get("subject"), "I know you're there")
        self.assertEqual(message.to_bytes(), folded)

    def test_crlf_in_front_of_the_start_line(self) -> None:
        """Empty lines before a message are passed over (7.5)."""
        self.assertEqual(request(b"\r\n" * 20 + INVITE).to_bytes(), INVITE)

    def test_octets_behind_content_length_are_dropped(self) -> None:
        """In a datagram they are none of the message (18.3, RFC 4475 section 3.1.1.8)."""
        message = request(torture("dblreq"))
        self.assertEqual((message.method, message.body), ("REGISTER", b""))
        self.assertNotIn(b"INVITE", message.to_bytes())

    def test_a_line_break_is_crlf_and_nothing_else(self) -> None:
        """A CR or LF alone could be a line's end to the next hop, and smuggle a header past us; bodies are free."""
        for line in (
            b"X: a\nP-Asserted-Identity: <sip:boss@h>",
            b"X: a\rRoute: <sip:evil>",
            b"X: a\r",
            b"X: \n",
        ):
            with self.assertRaises(MalformedMessage, msg=repr(line)) as caught:
                parse(with_lines(line))
            self.assertEqual(caught.exception.status_hint, 400)
        self.assertEqual(request(INVITE[:-4] + b"\n\r\r\n").body, b"\n\r\r\n")

    def test_line_breaks_in_an_order_that_comes_often(self) -> None:
        """The pattern of an order of headers lets no other line break pass either, nor more lines than are allowed."""
        good = with_lines(b"X-Often: a").replace(b"Content-Length: 4\r\n\r\nbody", b"X-Last: b\r\n\r\n")
        for _ in range(2 * OFTEN):
            self.assertEqual(request(good).get("x-often"), "a")
        for old, new in (
            (b"X-Often: a", b"X-Often: a\nX: b"),
            (b"X-Often: a", b"X-Often: a\n"),
            (b"X-Often: a", b"X-Often: a\r"),
            (b"X-Last: b", b"X-Last: b\n"),
            (b"X-Last: b", b"X-Last: b\r"),
            (b"INVITE sip:bob@example.com SIP/2.0", b"INVITE sip:bob@example.com SIP/2.0\n"),
            (b"a\r\nX-Last", b"a\nX-Last"),
            (b"a\r\nX-Last", b"a\rX-Last"),
        ):
            with self.assertRaises(MalformedMessage, msg=repr(new)):
                parse(good.replace(old, new))
        headers = len(request(good).lines)
        self.assertEqual(len(request(good[:-2]).lines), headers)  # ends behind its last header
        self.assertEqual(len(parse(good, headers).lines), headers)
        self.assertRaises(MalformedMessage, parse, good, headers - 1)

    def test_lines_that_are_no_headers(self) -> None:
        """No colon, no name, a name that is no token: 400, and the rest of the request is there to answer it."""
        for line in (b"Vias", b"Via", b": x", b"No Token: x", b"\xff: x", b"(: x"):
            with self.assertRaises(MalformedMessage, msg=repr(line)) as caught:
                parse(with_lines(line))
            answered = caught.exception.request
            assert answered is not None
            self.assertEqual(reply(answered, 400).top_via.host, "192.0.2.10")

    def test_content_length(self) -> None:
        """No number, or more than came: 400 (RFC 4475 sections 3.1.2.2 and 3.1.2.3)."""
        for value in (b"5", b"-1", b"", b"4 4", b"\xb2", b"9" * 5000):
            with self.assertRaises(MalformedMessage, msg=repr(value)):
                parse(INVITE.replace(b"Length: 4", b"Length: " + value))
        self.assertEqual(request(INVITE.replace(b"Length: 4", b"Length:\t 0003 ")).body, b"bod")

    def test_version(self) -> None:
        """Its name in any case; another number is 505 (7.1, RFC 4475 section 3.1.2.16)."""
        self.assertEqual(request(INVITE.replace(b"SIP/2.0\r\nVia", b"sip/2.0\r\nVia")).method, "INVITE")
        with self.assertRaises(MalformedMessage) as caught:
            parse(torture("badvers"))
        self.assertEqual(caught.exception.status_hint, 505)

    def test_too_many_headers(self) -> None:
        """A header bomb is refused before any line of it is looked at."""
        with self.assertRaises(MalformedMessage) as caught:
            parse(with_lines(*[b"a: b"] * MAX_HEADERS))
        self.assertEqual(caught.exception.status_hint, 513)


class NoSurpriseTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(st.binary(max_size=200))
    def test_any_bytes(self, data: bytes) -> None:
        """Any octets are a message or a ParseError."""
        self._try(data)

    @settings(max_examples=200, deadline=None)
    @given(st.data())
    def test_damaged_messages(self, data: st.DataObject) -> None:
        """A message with octets changed, left out or put in raises ParseError or nothing, whatever is asked of it."""
        name = data.draw(st.sampled_from(sorted(p.stem for p in DATA.glob("rfc*/*.dat"))))
        octets = bytearray(torture(name))
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(octets) - 1))
            put = data.draw(
                st.one_of(st.binary(max_size=3), st.sampled_from([b"\r\n", b'"', b"<", b">", b";", b":"]))
            )
            octets[place : place + data.draw(st.integers(0, 8))] = put
        self._try(bytes(octets))

    def test_each_torture_message(self) -> None:
        """The messages of RFC 4475 and RFC 5118 themselves."""
        files = sorted(DATA.glob("rfc*/*.dat"))
        self.assertGreaterEqual(len(files), 60)
        for path in files:
            self._try(path.read_bytes())

    def _try(self, data: bytes) -> None:
        try:
            message = parse(data)
        except MalformedMessage as error:
            self.assertIn(error.status_hint, (400, 505, 513))
            if error.request is not None:
                reply(error.request, error.status_hint)
            return
        look_at_everything(message)


class TortureTests(SynchronousTestCase):
    """What RFC 4475 and RFC 5118 say of the message itself; what a proxy makes of it is tested there."""

    def test_refused_by_the_parser(self) -> None:
        """Broken start lines and lengths, response codes above 699."""
        for name in ("clerr", "ncl", "lwsruri", "lwsstart", "trws", "badvers", "bigcode", "test"):
            with self.assertRaises(MalformedMessage, msg=name):
                parse(torture(name))

    def test_parsed(self) -> None:
        """All the valid ones, and those whose fault is for others to find."""
        cut = {"dblreq", "mcl01"}  # octets behind Content-Length
        refused = {"clerr", "ncl", "lwsruri", "lwsstart", "trws", "badvers", "bigcode", "test"}
        for path in sorted(DATA.glob("rfc*/*.dat")):
            if path.stem not in refused:
                octets = parse(path.read_bytes()).to_bytes()
                wanted = path.read_bytes()[: len(octets)] if path.stem in cut else path.read_bytes()
                self.assertEqual(octets.rstrip(b"\r\n"), wanted.rstrip(b"\r\n"), path.stem)

    def test_a_short_tortuous_invite(self) -> None:
        """RFC 4475 section 3.1.1.1."""
        message = request(torture("wsinv"))
        self.assertEqual(
            (message.cseq, message.from_tag, message.to_tag), ((9, "INVITE"), "98asjd8", "1918181833n")
        )
        self.assertEqual([parse_via(v).transport for v in message.values("via")], ["UDP", "TCP", "UDP"])
        self.assertEqual(message.top_via.branch, "390skdjuw")
        self.assertEqual(message.values("contact")[0][:20], '"Quoted string \\"\\""')
        self.assertEqual(len(message.body), 150)

    def test_wide_range_of_valid_characters(self) -> None:
        """RFC 4475 section 3.1.1.2."""
        message = request(torture("intmeth"))
        self.assertEqual(message.method, "!interesting-Method0123456789_*+`.%indeed'~")
        self.assertEqual(message.cseq[1], message.method)
        self.assertEqual(
            parse_name_addr(message.values("to")[0]).sip_uri().user,
            "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*",
        )

    def test_escapes_are_decoded_once(self) -> None:
        """RFC 4475 sections 3.1.1.3 and 3.1.1.5."""
        self.assertEqual(parse_uri(request(torture("esc01")).uri).host, "example.net")
        second = request(torture("esc02"))
        self.assertEqual((second.method, second.has("contact")), ("RE%47IST%45R", True))
        self.assertNotIn(
            "<sip:alias2@host2.example.com>", second.values("contact")
        )  # C%6Fntact is another header

    def test_null_octets_do_not_end_a_text(self) -> None:
        """RFC 4475 section 3.1.1.4."""
        one, two = (parse_name_addr(v).sip_uri() for v in request(torture("escnull")).values("contact"))
        self.assertFalse(one.equivalent(two))

    def test_long_values(self) -> None:
        """RFC 4475 section 3.1.1.7."""
        message = request(torture("longreq"))
        self.assertEqual(len(message.values("via")), 34)
        self.assertGreater(len(message.call_id), 100)

    def test_binary_bodies_are_untouched(self) -> None:
        """RFC 4475 section 3.1.1.11."""
        message = request(torture("mpart01"))
        self.assertEqual(len(message.body), 553)
        self.assertTrue(torture("mpart01").endswith(message.body))

    def test_unknown_transports_in_via(self) -> None:
        """RFC 4475 section 3.1.1.10."""
        vias = [parse_via(v).transport for v in request(torture("transports")).values("via")]
        self.assertEqual(vias, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"])

    def test_faults_in_values(self) -> None:
        """Found when the value is asked for (RFC 4475 sections 3.1.2.1, 3.1.2.6, 3.3.2; RFC 5118 section 4.2)."""
        with self.assertRaises(ParseError):
            [parse_via(v) for v in request(torture("badinv01")).values("via")]
        with self.assertRaises(ParseError):
            parse_name_addr(request(torture("quotbal")).values("to")[0])
        for name, status in (("unkscm", 416), ("novelsc", 416), ("ltgtruri", 400), ("ipv6-bad", 400)):
            with self.assertRaises(ParseError) as caught:
                parse_uri(request(torture(name)).uri)
            self.assertEqual(caught.exception.status_hint, status, name)

    def test_ipv6(self) -> None:
        """RFC 5118 sections 4.1, 4.3 to 4.5, 4.9 and 4.10."""
        self.assertEqual(parse_uri(request(torture("ipv6-good")).uri).host, "2001:db8::10")
        self.assertEqual(parse_uri(request(torture("port-ambiguous")).uri).host, "2001:db8::10:5070")
        self.assertEqual(parse_uri(request(torture("port-unambiguous")).uri).port, 5070)
        for name in ("via-received-param-with-delim", "via-received-param-no-delim"):
            message = parse(torture(name))
            self.assertEqual(message.top_via.received, "2001:db8::9:255", name)
        for name in ("ipv6-bug-abnf-3-colons", "ipv6-correct-abnf-2-colons"):
            self.assertEqual(parse_uri(request(torture(name)).uri).host, "2001:db8::192.0.2.1")
        self.assertEqual(parse(torture("ipv4-mapped-ipv6")).top_via.host, "::ffff:192.0.2.10")
