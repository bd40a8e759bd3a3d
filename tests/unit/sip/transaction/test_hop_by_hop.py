"""The CANCEL of an INVITE (its ACK is tested with the INVITE client)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.messages import VIA, request
from voipcluster.sip.message import Request, parse
from voipcluster.sip.transaction.hop_by_hop import build_cancel


class CancelTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """URI, top Via, Route, From, To, Call-ID and CSeq number are the INVITE's, nothing else is in it (section 9.1)."""
        invite = request(headers=["Route: <sip:192.0.2.8;lr>, <sip:192.0.2.9;lr>", "Require: 100rel"])
        cancel = parse(build_cancel(invite.to_bytes()))
        assert isinstance(cancel, Request)
        self.assertEqual((cancel.method, cancel.uri), ("CANCEL", invite.uri))
        self.assertEqual(cancel.values("via"), [VIA])
        self.assertEqual(cancel.values("route"), ["<sip:192.0.2.8;lr>", "<sip:192.0.2.9;lr>"])
        for key in ("from", "to", "call-id"):
            self.assertEqual(cancel.get(key), invite.get(key))
        self.assertEqual(cancel.cseq, (7, "CANCEL"))
        self.assertNotIn("require", cancel.keys)

    def test_only_the_top_via(self) -> None:
        """Of several Via values only the hop's own one is in it (section 9.1)."""
        invite = request(via=f"SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKours, {VIA}")
        self.assertEqual(
            parse(build_cancel(invite.to_bytes())).values("via"),
            ["SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKours"],
        )
