"""Tests of the phone's dialogs: RFC 3261 section 12."""

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.phone.world import ALICE, PROXY, line
from voipcluster.address import Hop
from voipcluster.errors import ParseError
from voipcluster.phone.dialog import Dialog
from voipcluster.sip.message import Request
from voipcluster.sip.outgoing import build_request, reply


def invite(**headers: str) -> Request:
    named = {"Via": "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx", "From": "<sip:bob@example.com>;tag=b"}
    named |= {"To": "<sip:alice@example.com>", "Call-ID": "c", "CSeq": "7 INVITE"}
    return build_request("INVITE", "sip:alice@192.0.2.10", [*named.items(), *headers.items()])


class OutgoingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.line = line("alice", ALICE)
        self.dialog = Dialog.outgoing(self.line, "sip:bob@example.com", ())

    def test_first_request(self) -> None:
        """A request outside of a dialog goes to the proxy, for the address that was asked for (8.1.1)."""
        request = self.dialog.request(self.line, "INVITE", branch="x")
        self.assertEqual(self.dialog.next_hop(self.line), PROXY)
        self.assertEqual((request.uri, request.cseq), ("sip:bob@example.com", (1, "INVITE")))
        self.assertEqual(str(request.top_via), "SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bKx")
        self.assertIsNone(request.to_tag)

    def test_service_route(self) -> None:
        """Loaded routes stand in the request, and the first one is where it goes (RFC 3608 section 5)."""
        self.dialog.routes = ("<sip:192.0.2.7:5080;lr>", "<sip:192.0.2.8;lr>")
        request = self.dialog.request(self.line, "INVITE", branch="x")
        self.assertEqual(request.values("route"), list(self.dialog.routes))
        self.assertEqual(self.dialog.next_hop(self.line), Hop("UDP", "192.0.2.7", 5080))

    def test_confirmed(self) -> None:
        """The 2xx gives tag, remote target and the reversed route set (12.1.2)."""
        request = self.dialog.request(self.line, "INVITE", branch="x")
        headers = [
            ("Record-Route", "<sip:192.0.2.2;lr>, <sip:192.0.2.1;lr;transport=tcp>"),
            ("Contact", "<sip:bob@192.0.2.20:5070>"),
        ]
        self.dialog.confirm(reply(request, 200, None, "b", headers))
        bye = self.dialog.request(self.line, "BYE", branch="y")
        self.assertEqual(bye.uri, "sip:bob@192.0.2.20:5070")
        self.assertEqual(bye.values("route"), ["<sip:192.0.2.1;lr;transport=tcp>", "<sip:192.0.2.2;lr>"])
        self.assertEqual((bye.to_tag, bye.cseq), ("b", (2, "BYE")))
        self.assertEqual(self.dialog.next_hop(self.line), Hop("TCP", "192.0.2.1", 5060))
        self.assertEqual(bye.top_via.transport, "TCP")

    def test_confirmed_without_routes(self) -> None:
        """Without a route set requests go to the remote target itself, a name to the proxy (8.1.2)."""
        request = self.dialog.request(self.line, "INVITE", branch="x")
        for contact, hop in (
            ("<sip:bob@192.0.2.20:5070;transport=tcp>", Hop("TCP", "192.0.2.20", 5070)),
            ("<sip:bob@host.example>", PROXY),
        ):
            self.dialog.confirm(reply(request, 200, None, "b", [("Contact", contact)]))
            self.assertEqual(self.dialog.next_hop(self.line), hop)

    def test_strict_router(self) -> None:
        """A first route without lr becomes the Request-URI, the target the last route (12.2.1.1)."""
        self.dialog.routes = ("<sip:192.0.2.7>", "<sip:192.0.2.8;lr>")
        request = self.dialog.request(self.line, "BYE", branch="x")
        self.assertEqual(request.uri, "sip:192.0.2.7")
        self.assertEqual(request.values("route"), ["<sip:192.0.2.8;lr>", "<sip:bob@example.com>"])

    def test_ack_has_the_number_of_the_invite(self) -> None:
        """An ACK belongs to its INVITE and does not count (12.2.1.1)."""
        self.dialog.request(self.line, "INVITE", branch="x")
        self.assertEqual(self.dialog.request(self.line, "ACK", branch="y", seq=1).cseq, (1, "ACK"))
        self.assertEqual(self.dialog.request(self.line, "BYE", branch="z").cseq, (2, "BYE"))


class IncomingTests(SynchronousTestCase):
    def test_callee(self) -> None:
        """The callee takes the route set as it stands, the Contact, and the caller's number (12.1.1)."""
        request = invite(
            **{"Contact": "<sip:bob@192.0.2.20>", "Record-Route": "<sip:192.0.2.2;lr>, <sip:192.0.2.1;lr>"}
        )
        dialog = Dialog.incoming(request, "a")
        self.assertEqual(dialog.routes, ("<sip:192.0.2.2;lr>", "<sip:192.0.2.1;lr>"))
        self.assertEqual((dialog.target, dialog.remote_seq, dialog.local_tag), ("sip:bob@192.0.2.20", 7, "a"))
        bye = dialog.request(line("alice", ALICE), "BYE", branch="x")
        self.assertEqual((bye.from_tag, bye.to_tag), ("a", "b"))

    def test_no_contact(self) -> None:
        """An INVITE without Contact makes no dialog (8.1.1.8)."""
        self.assertRaises(ParseError, Dialog.incoming, invite(), "a")
