"""What leaves: copies of what is forwarded (RFC 3261 sections 16.6 and 16.7), and messages of our own (section 8.2.6)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.test_message import INVITE, VIA, request, response, torture, with_lines
from voipcluster.sip.layout import OFTEN
from voipcluster.sip.message import Response, header_line, parse
from voipcluster.sip.outgoing import build_request, forward_request, forward_response, reply
from voipcluster.sip.values import Via, parse_via


class ForwardTests(SynchronousTestCase):
    def forwarded(self, data: bytes, **how: object) -> bytes:
        return forward_request(request(data), uri="sip:b@10.0.0.9", via=VIA, max_forwards=69, **how)

    def test_only_what_must_change_changes(self) -> None:
        """Request-URI, Max-Forwards and a Via on top; all else octet for octet (16.6)."""
        wanted = (
            INVITE.replace(b"sip:bob@example.com SIP", b"sip:b@10.0.0.9 SIP", 1)
            .replace(b"Via:", b"Via: " + VIA.encode() + b"\r\nVia:")
            .replace(b"Max-Forwards: 70", b"Max-Forwards: 69")
        )
        self.assertEqual(self.forwarded(INVITE), wanted)

    def test_what_is_missing_is_added(self) -> None:
        """Max-Forwards and Content-Length of old clients (16.6 step 3, RFC 4475 section 3.4.1)."""
        copy = request(self.forwarded(torture("inv2543")))
        self.assertEqual((copy.get("max-forwards"), copy.get("content-length")), ("69", str(len(copy.body))))
        self.assertEqual(copy.top_via.branch, "z9hG4bKours")

    def test_record_route_and_source(self) -> None:
        """Our Record-Route is the first one (16.6 step 4); the source is noted in the former top Via only (18.2.1)."""
        data = with_lines(b"Record-Route: <sip:p1;lr>").replace(
            b";rport\r\n", b";rport, SIP/2.0/TCP second\r\n"
        )
        seen = request(data).top_via.with_source("192.0.2.10", 6000)
        copy = request(self.forwarded(data, record_route="<sip:me;lr>", received_via=seen))
        self.assertEqual(copy.values("record-route"), ["<sip:me;lr>", "<sip:p1;lr>"])
        vias = [parse_via(v) for v in copy.values("via")]
        self.assertEqual([v.host for v in vias], ["10.0.0.1", "192.0.2.10", "second"])
        self.assertEqual(vias[1].rport, 6000)

    def test_record_route_above_via(self) -> None:
        """It is in front of others wherever these stand: some proxies write theirs above Via (16.6 step 4)."""
        data = INVITE.replace(b"Via:", b"Record-Route: <sip:p1;lr>\r\nVia:", 1)
        copy = request(self.forwarded(data, record_route="<sip:me;lr>"))
        self.assertEqual(copy.values("record-route"), ["<sip:me;lr>", "<sip:p1;lr>"])

    def test_routes_are_replaced(self) -> None:
        """The given ones are all there are; none, when the list is empty (16.6 step 6)."""
        data = with_lines(b"Route: <sip:me;lr>", b"Route: <sip:next;lr>")
        self.assertEqual(request(self.forwarded(data)).values("route"), ["<sip:me;lr>", "<sip:next;lr>"])
        self.assertEqual(request(self.forwarded(data, routes=["<sip:n>"])).values("route"), ["<sip:n>"])
        self.assertFalse(request(self.forwarded(data, routes=[])).has("route"))

    def test_lines_out_body_and_headers_in(self) -> None:
        """Consumed credentials go, a rewritten body has its own length (16.6, 22.3)."""
        data = with_lines(b"Proxy-Authorization: Digest a=b")
        index = request(data).keys.index("proxy-authorization")
        copy = request(self.forwarded(data, drop_lines=[index], body=b"longer body", add=[("x-new", "v")]))
        self.assertFalse(copy.has("proxy-authorization"))
        self.assertEqual(
            (copy.body, copy.get("content-length"), copy.get("x-new")), (b"longer body", "11", "v")
        )

    def test_responses_lose_our_via(self) -> None:
        """The topmost value goes, whether it has a line of its own or not (16.7 step 3)."""
        ours, theirs = VIA.encode(), b"SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKa"
        for vias in (b"Via: " + ours + b"\r\nv: " + theirs, b"Via: " + ours + b" , " + theirs):
            data = b"sip/2.0 200 Fine\r\n" + vias + b"\r\nContent-Length: 2\r\n\r\nok"
            copy = response(forward_response(response(data)))
            self.assertEqual((copy.top_via.host, len(copy.values("via"))), ("192.0.2.10", 1))
            self.assertEqual((copy.start, copy.reason, copy.body), (b"SIP/2.0 200 Fine", "Fine", b"ok"))
        self.assertEqual(response(forward_response(response(data), b"new")).body, b"new")

    def test_a_body_that_is_left_out(self) -> None:
        """What describes a body goes with it (sections 20.11 to 20.15); who had none keeps what he says of it."""
        head = (
            b"SIP/2.0 183 Session Progress\r\nc: application/sdp\r\nVia: " + VIA.encode() + b"\r\nl: %d\r\n"
        )
        rest = b"Content-Language: en\r\nv: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKa\r\nContent-Disposition: session\r\n\r\n"
        copy = response(forward_response(response(head % 2 + rest + b"ok"), b""))
        self.assertEqual((copy.body, set(copy.keys)), (b"", {"via", "content-length"}))
        self.assertEqual(copy.top_via.host, "192.0.2.10")
        empty = response(head % 0 + rest)
        kept = response(forward_response(empty, bytes(bytearray())))
        self.assertEqual(kept.get("content-type"), "application/sdp")

    def test_what_came_is_cut(self) -> None:
        """A response as nearly all are leaves as it came, without our line; whatever else there is, the copy is the same."""
        via = b"Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa"
        rest = b"v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKb\r\nCall-ID: 1\r\nContent-Length: 2"
        head = b"SIP/2.0 200 OK\r\n"
        messages = (
            head + via + b"\r\n" + rest + b"\r\n\r\nok",
            head
            + b"X-Copy: "
            + via
            + b"\r\n"
            + via
            + b"\r\n"
            + rest
            + b"\r\n\r\nok",  # a line that ends as ours
            head + b"Record-Route: <sip:b;lr>\r\n" + via + b"\r\n" + rest + b"\r\n\r\nok",
            b"\r\n\r\n" + head + via + b"\r\n" + rest + b"\r\n\r\nok",
            head + via + b"\r\n" + rest + b"\r\n\r\nok and more",  # behind Content-Length (18.3)
            head + via + b"\r\n" + rest[:-1] + b"0",  # ends behind its last header
            head + via + b"\r\n  ;folded\r\n" + rest + b"\r\n\r\nok",
        )
        for data in messages:
            for _ in range(2 * OFTEN):  # before and after its order of headers has a pattern
                answer = response(data)
                wire = forward_response(answer)
                self.assertNotIn(b"192.0.2.9", wire.replace(b"X-Copy: " + via, b""))
                answer.received = None
                self.assertEqual(wire, forward_response(answer))
        changed = response(messages[0])
        changed.append("require", "timer")
        self.assertEqual(response(forward_response(changed)).get("require"), "timer")

    def test_responses_carry_no_overload_control_of_others(self) -> None:
        """Who answers does not say to those before us what they may send (RFC 7339 section 5.4)."""
        plain = b"Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKb;octet=1"
        evil = (
            plain.replace(b";octet", b';oc=100;oc-algo="loss";OC-Validity=60000 ; oc-seq=9999999999.0;octet')
            + b";oc"
        )
        for vias in (
            b"\r\n".join([b"Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa", evil, evil]),
            b"Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa, " + evil[5:] + b"\r\n" + evil,
        ):
            data = b"SIP/2.0 200 OK\r\n" + vias + b"\r\nCall-ID: 1\r\nContent-Length: 0\r\n\r\n"
            answer = parse(data)
            assert isinstance(answer, Response)
            self.assertEqual(forward_response(answer).split(b"\r\n")[1:3], [plain, plain])


class ReplyTests(SynchronousTestCase):
    def test_copied_headers(self) -> None:
        """Via, From, To, Call-ID and CSeq as they came, a tag on To (8.2.6.2)."""
        data = INVITE.replace(b"X-Odd:", b"Via: SIP/2.0/TCP second\r\nX-Odd:")
        answer = response(reply(request(data), 486, to_tag="me", headers=[("Retry-After", "5")]).to_bytes())
        self.assertEqual((answer.status, answer.reason, answer.to_tag), (486, "Busy Here", "me"))
        self.assertEqual(answer.values("via"), request(data).values("via"))
        self.assertEqual((answer.get("retry-after"), answer.cseq, answer.body), ("5", (1, "INVITE"), b""))
        self.assertFalse(answer.has("x-odd"))

    def test_a_tag_is_kept(self) -> None:
        """A To that has a tag is answered as it is."""
        data = INVITE.replace(b"bob@example.com>\r", b"bob@example.com>;tag=theirs\r")
        self.assertEqual(reply(request(data), 200, to_tag="me").to_tag, "theirs")

    def test_source_in_the_top_via(self) -> None:
        """received and rport are in the answer, and the other Via values stay (18.2.1, RFC 3581)."""
        message = request(INVITE.replace(b";rport\r\n", b";rport,SIP/2.0/TCP second\r\n"))
        answer = reply(message, 200, received_via=message.top_via.with_source("198.51.100.1", 7))
        self.assertEqual((answer.top_via.received, answer.top_via.rport), ("198.51.100.1", 7))
        self.assertEqual(len(answer.values("via")), 2)

    def test_timestamp_goes_into_a_100(self) -> None:
        """And into no other answer (8.2.6.1)."""
        message = request(with_lines(b"Timestamp: 54"))
        self.assertEqual(reply(message, 100).get("timestamp"), "54")
        self.assertIsNone(reply(message, 200).get("timestamp"))

    def test_a_value_brings_no_line(self) -> None:
        """A header of ours cannot be split by what is put into it."""
        for value in ("x\r\nVia: y", "x\ny", "x\ry"):
            with self.assertRaises(AssertionError):
                header_line("warning", value)
        self.assertEqual(header_line("www-authenticate", "x"), b"WWW-Authenticate: x")
        self.assertEqual(header_line("x-new", "x"), b"X-New: x")

    def test_a_built_request_is_parsed_again(self) -> None:
        """What we send is what we would take."""
        built = build_request(
            "OPTIONS", "sip:h", [("v", str(Via("UDP", "h"))), ("CSeq", "1 OPTIONS")], b"\x00"
        )
        self.assertEqual(request(built.to_bytes()).keys, ("via", "cseq", "content-length"))
        self.assertEqual(request(built.to_bytes()).body, b"\x00")
