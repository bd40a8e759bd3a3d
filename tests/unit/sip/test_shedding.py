"""Requests that are refused unread."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.messages import request
from voipcluster.sip.message import Response, parse
from voipcluster.sip.outgoing import reply
from voipcluster.sip.shedding import (
    Glance,
    call_token,
    glance,
    handover_token,
    has_credentials,
    is_ack_of,
    is_marked,
    refusal,
    takes_state_away,
)
from voipcluster.sip.transaction.matching import server_key

ALICE = ("192.0.2.1", 5060)
MARK = b"busy-"


def seen(data: bytes) -> Glance:
    found = glance(data)
    assert found is not None, data
    return found


def answer(data: bytes, source: tuple[str, int] = ALICE, told: bytes = b"") -> tuple[Response, int]:
    made = refusal(seen(data), source, MARK, told)
    response = parse(made.wire)
    assert isinstance(response, Response)
    return response, made.port


class GlanceTests(SynchronousTestCase):
    def test_the_key_is_that_of_the_transaction(self) -> None:
        """A copy of a request that is being served is known by it."""
        for via in (
            "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1",
            "SIP/2.0/UDP Phone.Example.COM;rport;branch=z9hG4bKa.b-c;received=10.0.0.1",
            "SIP/2.0/TCP 192.0.2.1:05061;branch=z9hG4bK2, SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK0",
            "SIP/2.0/UDP 192.0.2.1 ;branch=z9hG4bK3",
        ):
            message = request(via=via)
            self.assertEqual(seen(message.to_bytes()).key, server_key(message), via)

    def test_what_is_never_refused_unread(self) -> None:
        """Responses, ACK, CANCEL, BYE, and all that has a tag in To (RFC 7339 section 5.10.1)."""
        for method in ("ACK", "CANCEL", "BYE", "PRACK", "UPDATE", "INFO"):
            self.assertIsNone(glance(request(method).to_bytes()), method)
        for spelling in ("To: <sip:b@x>;tag=1", "To: sip:b@x;TAG=1", "to: B <sip:b@x> ; tag = 1"):
            data = request().to_bytes().replace(b"To: <sip:bob@example.com>", spelling.encode())
            self.assertIsNone(glance(data), spelling)
        self.assertIsNone(glance(reply(request(), 200).to_bytes()))

    def test_what_the_parser_has_to_look_at(self) -> None:
        """No cookie, folded lines, a header missing or doubled, IPv6, or no SIP at all."""
        good = request().to_bytes()
        for bad in (
            good.replace(b"z9hG4bK", b"1"),
            good.replace(b"Max-Forwards: 70", b"Subject: a\r\n b"),
            good.replace(b"CSeq: 7 INVITE\r\n", b""),
            good.replace(b"CSeq: 7 INVITE\r\n", b"CSeq: 7 INVITE\r\nCSeq: 7 INVITE\r\n"),
            good.replace(b"192.0.2.1:5060", b"[2001:db8::1]:5060"),
            good.replace(b";branch=z9hG4bKalice1", b';x=";branch=z9hG4bKother";branch=z9hG4bKalice1'),
            good[:-2],
            b"INVITE",
            b"INVITATION sip:a SIP/2.0\r\n\r\n",
            b"",
        ):
            self.assertIsNone(glance(bad), bad)

    def test_a_tag_in_a_uri_is_none(self) -> None:
        data = request(uri="sip:bob@example.com").to_bytes().replace(b"To: <sip:bob@", b"To: <sip:stage@")
        self.assertEqual(seen(data).method, "INVITE")


class RefusalTests(SynchronousTestCase):
    def test_it_is_what_the_parser_would_have_said(self) -> None:
        """All of Via, From, To, Call-ID and CSeq in their order (RFC 3261 section 8.2.6), and no Retry-After."""
        vias = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKalice1, SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK0"
        message = request(via=vias, headers=["Via: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKx", "Subject: Hi"])
        response, port = answer(message.to_bytes())
        tag = response.to_tag
        self.assertEqual(response.to_bytes(), reply(message, 503, "Service Unavailable", tag).to_bytes())
        self.assertEqual((response.status, port), (503, 5060))
        self.assertIsNone(response.get("retry-after"))

    def test_compact_names(self) -> None:
        data = request().to_bytes()
        for name, compact in ((b"Via", b"v"), (b"From", b"f"), (b"To", b"t"), (b"Call-ID", b"i")):
            data = data.replace(b"\r\n" + name + b":", b"\r\n" + compact + b":")
        response, _ = answer(data)
        self.assertEqual((response.call_id, response.from_tag), ("call-1", "a1"))

    def test_copies_are_answered_alike(self) -> None:
        """The same tag for each copy, another one for another request (section 8.2.7)."""
        data = request().to_bytes()
        self.assertEqual(answer(data)[0].to_bytes(), answer(data)[0].to_bytes())
        other = request(via="SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKother").to_bytes()
        self.assertNotEqual(answer(data)[0].to_tag, answer(other)[0].to_tag)

    def test_behind_a_nat(self) -> None:
        """received and rport say where it came from, and the answer goes there (RFC 3581 section 4)."""
        for via in (
            "SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bK1",
            "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;rport",
            "SIP/2.0/UDP 10.0.0.1:5062;branch=z9hG4bK1;rport;alias",
        ):
            response, port = answer(request(via=via).to_bytes(), ("198.51.100.7", 40000))
            top = response.top_via
            self.assertEqual((top.received, top.rport, port), ("198.51.100.7", 40000, 40000), via)
            self.assertEqual(len(top.params), len(via.split(";")), via)

    def test_without_rport(self) -> None:
        """The answer goes to the port of sent-by (RFC 3261 section 18.2.2)."""
        via = "SIP/2.0/UDP 10.0.0.1:5062;branch=z9hG4bK1"
        response, port = answer(request(via=via).to_bytes(), ("198.51.100.7", 40000))
        self.assertEqual(
            (response.top_via.received, response.top_via.rport, port), ("198.51.100.7", None, 5062)
        )

    def test_what_a_client_is_told(self) -> None:
        via = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1, SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK0"
        response, _ = answer(request(via=via).to_bytes(), told=b';oc=20;oc-algo="loss"')
        first, second = response.values("via")
        self.assertEqual(first, 'SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;oc=20;oc-algo="loss"')
        self.assertEqual(second, "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK0")

    def test_what_is_left_to_the_parser(self) -> None:
        """A port that is none, odd spellings of branch, what says itself where it came from, and monstrous messages."""
        for via in (
            "SIP/2.0/UDP 192.0.2.1:65536;branch=z9hG4bK1", "SIP/2.0/UDP 192.0.2.1:99999;branch=z9hG4bK1",
            "SIP/2.0/UDP 192.0.2.1; branch=z9hG4bK1", "SIP/2.0/UDP 192.0.2.1;xbranch=z9hG4bK2;branch=z9hG4bK1",
        ):  # fmt: skip
            self.assertIsNone(glance(request(via=via).to_bytes()), via)
        self.assertIsNone(glance(request(headers=[f"X: {number}" for number in range(100)]).to_bytes()))
        self.assertIsNone(glance(request(headers=["X: " + "x" * 5000]).to_bytes()))

    def test_received_is_ours_to_say(self) -> None:
        via = "SIP/2.0/UDP 10.0.0.1;received=10.0.0.9;branch=z9hG4bK1"
        response, _ = answer(request(via=via).to_bytes(), ("198.51.100.7", 5060))
        self.assertEqual(str(response.top_via), "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;received=198.51.100.7")

    def test_rport_of_another_value(self) -> None:
        via = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1, SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bK0"
        response, port = answer(request(via=via).to_bytes())
        self.assertEqual((response.values("via"), port), (via.split(", "), 5060))

    def test_its_ack_is_known(self) -> None:
        response, _ = answer(request().to_bytes())
        ack = request("ACK", to_tag=response.to_tag or "").to_bytes()
        self.assertTrue(is_ack_of(ack, MARK))
        self.assertFalse(is_ack_of(request("ACK", to_tag="other").to_bytes(), MARK))
        self.assertFalse(is_ack_of(request("BYE", to_tag=response.to_tag or "").to_bytes(), MARK))


class PriorityTests(SynchronousTestCase):
    def test_what_takes_state_away(self) -> None:
        """Refusing it would keep what could go (RFC 5390 REQ 19)."""
        for header in ("Expires: 0", "Contact: <sip:a@x>;expires=0", "Contact: <sip:a@x>;expires=0;q=1"):
            self.assertTrue(takes_state_away(request("REGISTER", headers=[header]).to_bytes()), header)
        for header in ("Expires: 60", "Contact: <sip:a@x>;expires=03600", "Subject: 0"):
            self.assertFalse(takes_state_away(request("REGISTER", headers=[header]).to_bytes()), header)

    def test_what_was_paid_for(self) -> None:
        self.assertTrue(has_credentials(request(headers=['Authorization: Digest username="a"']).to_bytes()))
        self.assertTrue(has_credentials(request(headers=["Proxy-Authorization: Digest x=1"]).to_bytes()))
        self.assertFalse(has_credentials(request().to_bytes()))

    def test_what_is_not_thrown_away_unread(self) -> None:
        """What says that it belongs to something of ours, is urgent, or was paid for."""
        for headers in (
            ["Route: <sip:192.0.2.9;lr;ho=a>"], ["Route: <sip:192.0.2.9;lr;call=a>"], ["Route: <sip:a;flow=b;lr>"],
            ["Resource-Priority: ets.0"], ["Proxy-Authorization: Digest x=1"],
        ):  # fmt: skip
            self.assertTrue(is_marked(request(headers=headers).to_bytes()), headers)
        self.assertTrue(is_marked(request(uri="urn:service:sos").to_bytes()))
        self.assertFalse(is_marked(request().to_bytes()))

    def test_tokens(self) -> None:
        """Of a hand-over and of a dialog, genuine or not."""
        for name, found in (("ho", handover_token), ("call", call_token)):
            data = request(headers=[f"Route: <sip:192.0.2.9;lr;{name}=a_b-c>, <sip:x>"]).to_bytes()
            self.assertEqual((found(data), found(request().to_bytes())), ("a_b-c", ""))

    def test_call_id(self) -> None:
        data = request().to_bytes()
        self.assertEqual(seen(data).call_id, request().call_id)
        self.assertEqual(
            seen(data.replace(b"Call-ID:", b"i :").replace(b"i :", b"i: ")).call_id, request().call_id
        )
