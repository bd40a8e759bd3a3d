"""Which messages belong to which transaction."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.messages import request, response
from voipcluster.errors import ParseError
from voipcluster.sip.transaction.matching import client_key, server_key

OLD = "SIP/2.0/UDP 192.0.2.1:5060;branch=old"


class MatchingTests(SynchronousTestCase):
    def test_ack_matches_its_invite(self) -> None:
        """An ACK has the key of its INVITE, any other method has its own (section 17.2.3)."""
        invite = server_key(request("INVITE"))
        self.assertEqual(server_key(request("ACK")), invite)
        self.assertNotEqual(server_key(request("CANCEL")), invite)
        self.assertNotEqual(server_key(request("BYE")), invite)

    def test_cancel_finds_its_invite(self) -> None:
        """A CANCEL is matched to the INVITE as if the method were INVITE (section 9.2)."""
        self.assertEqual(server_key(request("CANCEL"), "INVITE"), server_key(request("INVITE")))

    def test_same_branch_of_two_hosts(self) -> None:
        """The same branch from another sent-by host or port is another transaction (section 17.2.3)."""
        keys = {
            server_key(request(via=f"SIP/2.0/UDP {sent_by};branch=z9hG4bKsame"))
            for sent_by in ("192.0.2.1", "192.0.2.1:5070", "192.0.2.2")
        }
        self.assertEqual(len(keys), 3)

    def test_rfc_2543(self) -> None:
        """Without the cookie Request-URI, From tag, Call-ID, CSeq number and top Via count, the To tag of an ACK not (17.2.3)."""
        invite = server_key(request(via=OLD))
        self.assertEqual(server_key(request("ACK", via=OLD, to_tag="b1")), invite)
        self.assertNotEqual(server_key(request(via=OLD, uri="sip:carol@example.com")), invite)
        self.assertNotEqual(server_key(request(via=OLD, cseq="8 INVITE")), invite)
        self.assertNotEqual(server_key(request(via=OLD.replace("old", "new"))), invite)

    def test_only_the_cookie(self) -> None:
        """A branch that is the cookie alone identifies nothing: such requests are told apart as in RFC 2543."""
        bare = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"
        self.assertNotEqual(
            server_key(request(via=bare, cseq="1 INVITE")), server_key(request(via=bare, cseq="2 INVITE"))
        )

    def test_response(self) -> None:
        """A response belongs to the branch of the top Via and the method of CSeq (section 17.1.3)."""
        self.assertEqual(client_key(response(200)), ("z9hG4bKours", "INVITE"))
        self.assertEqual(client_key(response(200, cseq="7 CANCEL")), ("z9hG4bKours", "CANCEL"))

    def test_unusable(self) -> None:
        """Without a Via or CSeq there is no transaction to speak of (section 8.2.6.2)."""
        self.assertRaises(ParseError, server_key, request(without=["Via"]))
        self.assertRaises(ParseError, server_key, request(via=OLD, without=["CSeq"]))
        self.assertEqual(client_key(response(200, vias=[])), ("", "INVITE"))
