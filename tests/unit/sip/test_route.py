"""The tokens in our Route values."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import Flow
from voipcluster.errors import ParseError, PeerError
from voipcluster.seal import Sealer
from voipcluster.sip.route import (
    CallToken,
    CallTokens,
    FlowTokens,
    Party,
    contact_hash,
    dialog_hash,
    pack_flow,
    place_hash,
    place_of_route,
    route_uri,
    route_value,
    unpack_flow,
)

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
FOUR = Flow("UDP", ("192.0.2.1", 5060), ("198.51.100.7", 33333))
SIX = Flow("TCP", ("2001:db8::1", 5060), ("2001:db8::7", 65535), 2**32 - 1)
MIXED = Flow("TLS", ("192.0.2.1", 1), ("::1", 2), 3)
DIALOG = dialog_hash("call", "a1")


class RouteValueTests(SynchronousTestCase):
    def test_value(self) -> None:
        """A Route value has lr, the transport when it is not UDP, and the token; IPv6 in brackets."""
        self.assertEqual(route_value(("192.0.2.1", 5060), "UDP", ""), "<sip:192.0.2.1:5060;lr>")
        text = route_value(("2001:db8::1", 5070), "TCP", "call=T-_x")
        self.assertEqual(text, "<sip:[2001:db8::1]:5070;lr;transport=tcp;call=T-_x>")
        self.assertEqual(route_uri(text).param("call"), "T-_x")

    def test_secure(self) -> None:
        """A sips value asks for TLS by its scheme (RFC 5630 section 3.1.4), and for a WebSocket in it by C{ws} (RFC 7118)."""
        self.assertEqual(route_value(("192.0.2.1", 5061), "TLS", "", True), "<sips:192.0.2.1:5061;lr>")
        text = route_value(("192.0.2.1", 8443), "WSS", "call=x", True)
        self.assertEqual(text, "<sips:192.0.2.1:8443;lr;transport=ws;call=x>")
        self.assertEqual((route_uri(text).transport, route_uri(text).param("call")), ("WSS", "x"))
        self.assertEqual(route_value(("192.0.2.1", 8080), "WS", ""), "<sip:192.0.2.1:8080;lr;transport=ws>")

    def test_no_route(self) -> None:
        """What is no SIP URI is a ParseError."""
        for text in ("", "<", "<tel:+1>", "<sip:[::>"):
            self.assertRaises(ParseError, route_uri, text)


class FlowTokenTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        """A flow of either family, with its connection and the epoch of its owner, comes back as it was."""
        tokens = FlowTokens(KEY)
        for flow in (FOUR, SIX, MIXED):
            self.assertEqual(tokens.open(tokens.seal(flow, 2**32 - 1)), (flow, 2**32 - 1))

    def test_small(self) -> None:
        """An IPv4 flow takes 21 octets."""
        self.assertEqual(len(pack_flow(FOUR, 1)), 21)

    def test_altered(self) -> None:
        """A token with any one character changed, added or missing is refused with 403 (RFC 5626 section 5.3.1)."""
        tokens = FlowTokens(KEY)
        good = tokens.seal(FOUR, 7)
        wrong = [good[:i] + ("A" if c != "A" else "B") + good[i + 1 :] for i, c in enumerate(good)]
        for text in (*wrong, good[:-1], good + "A", good + "=", "", "ä"):
            self.assertEqual(self.assertRaises(PeerError, tokens.open, text).status_hint, 403)

    def test_other_cluster_or_purpose(self) -> None:
        """A token of another cluster, or made for another purpose, is refused."""
        call = CallTokens(KEY).seal(CallToken(DIALOG, None, None))
        for text in (FlowTokens(OTHER_KEY).seal(FOUR, 7), call):
            self.assertRaises(PeerError, FlowTokens(KEY).open, text)

    def test_cut_short(self) -> None:
        """What is cut short is refused wherever it ends, though the seal is good."""
        packed = pack_flow(SIX, 7)
        for size in range(len(packed)):
            self.assertEqual(self.assertRaises(PeerError, unpack_flow, packed[:size]).status_hint, 403)


class CallTokenTests(SynchronousTestCase):
    caller = Party(("192.0.2.1", 5060), FOUR, 7, contact_hash("sip:a@10.0.0.1"))
    callee = Party(("2001:db8::2", 5070), SIX, 8, contact_hash("sip:b@[2001:db8::7]:65535"))

    def test_there_and_back(self) -> None:
        """Both parties, one of them or none; owners and flows of either family."""
        tokens = CallTokens(KEY)
        for caller in (None, self.caller, self.callee):
            for callee in (None, self.callee, self.caller):
                token = CallToken(DIALOG, caller, callee)
                for place in (b"", place_hash("sip:a@h")[:8]):
                    placed = token._replace(place=place)
                    self.assertEqual(CallTokens(KEY).open(tokens.seal(placed)), placed)

    def test_altered(self) -> None:
        """A token with any one character changed is refused with 403."""
        tokens = CallTokens(KEY)
        good = tokens.seal(CallToken(DIALOG, self.caller, self.callee))
        for i, c in enumerate(good):
            wrong = good[:i] + ("A" if c != "A" else "B") + good[i + 1 :]
            self.assertEqual(self.assertRaises(PeerError, tokens.open, wrong).status_hint, 403)

    def test_cut_short(self) -> None:
        """A payload of another version, cut anywhere, is refused though the seal is good."""
        tokens, sealer = CallTokens(KEY), Sealer(KEY, b"call")
        payload = sealer.open(tokens.seal(CallToken(DIALOG, self.caller, self.callee)))
        for size in range(len(payload)):
            error = self.assertRaises(PeerError, tokens.open, sealer.seal(payload[:size]))
            self.assertEqual(error.status_hint, 403)

    def test_dialog(self) -> None:
        """The hash of a dialog tells calls and tags apart, also where the two could run into each other."""
        hashes = {dialog_hash("c", "t"), dialog_hash("c", "u"), dialog_hash("d", "t"), dialog_hash("ct", "")}
        self.assertEqual(len(hashes), 4)
        self.assertEqual(len(DIALOG), 8)

    def test_contact(self) -> None:
        """A contact is its host and port, whatever user and parameters; what is no URI is its text."""
        self.assertEqual(contact_hash("sip:a@h:5070;x=1"), contact_hash("sip:b@H:5070"))
        self.assertNotEqual(contact_hash("sip:a@h"), contact_hash("sip:a@h:5070"))
        self.assertNotEqual(contact_hash("tel:1"), contact_hash("tel:2"))
        self.assertNotEqual(contact_hash("sip:a@h"), contact_hash("sip:a@h;maddr=192.0.2.1"))
        self.assertEqual(len(contact_hash("")), 4)

    def test_place(self) -> None:
        """User, host or maddr, and port; of what is no URI the text."""
        self.assertEqual(place_hash("sip:a@h:5070;x=1"), place_hash("sips:%61@H:5070"))
        for other in ("sip:b@h:5070", "sip:a@h", "sip:a@h:5070;maddr=192.0.2.1", "sip:h:5070", "tel:1", ""):
            self.assertNotEqual(place_hash("sip:a@h:5070"), place_hash(other))
        self.assertEqual(place_of_route("<sip:h;lr>"), place_hash("sip:h"))
        self.assertNotEqual(place_of_route("<"), place_of_route("<<"))
