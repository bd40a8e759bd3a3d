"""What is no SIP, and who is told so."""

from __future__ import annotations

from tests.unit.services.transaction.test_transactions import ALICE, FROM_ALICE, HERE, TransactionCase
from tests.unit.sip.messages import request, response
from voipcluster.address import Flow
from voipcluster.errors import PeerError
from voipcluster.services.transaction.unreadable import warning


class UnreadableTests(TransactionCase):
    def test_malformed(self) -> None:
        """A broken request is answered when it says whom to answer, an ACK never; a broken response is dropped."""
        good = request().to_bytes()
        for data, answers in (
            (good.replace(b"Content-Length: 0", b"Content-Length: 9"), [(400, ALICE)]),
            (good.replace(b"SIP/2.0\r\n", b"SIP/3.0\r\n", 1), [(505, ALICE)]),
            (good.replace(b"INVITE", b"ACK").replace(b"Length: 0", b"Length: 9"), []),
            (good.replace(b"Length: 0", b"Length: 9").replace(b"Via:", b"Xia:"), []),
            (good.replace(b"Via:", b"Xia:"), []),
            (response(200).to_bytes().replace(b"Length: 0", b"Length: 9"), []),
            (b"\x00\xff", []),
            (good.replace(b";branch=z9hG4bKalice1", b";;,;,,"), [(400, ALICE)]),  # RFC 4475 section 3.1.2.1
            (good.replace(b"SIP/2.0/UDP 192.0.2.1:5060", b"nonsense"), [(400, ALICE)]),
            (good.replace(b"INVITE", b"ACK").replace(b";branch=z9hG4bKalice1", b";;"), []),
        ):
            self.service.bytes_received(data, FROM_ALICE)
            self.assertEqual(self.sent(), answers, data)
        self.assertEqual(self.user.incoming, [])
        self.assertEqual(self.service.malformed, 10)

    def test_framing_failed(self) -> None:
        """What a stream cannot cut into messages is answered with the reason (section 18.3)."""
        flow = Flow("TCP", HERE, ALICE, self.transport.open(ALICE))
        self.service.framing_failed(request(without=["CSeq"]).to_bytes(), flow, 400, "no length")
        self.service.framing_failed(b"nothing", flow, 400, "no length")
        self.assertEqual(self.sent(), [])
        self.service.framing_failed(request().to_bytes(), flow, 400, "no length")
        self.assertEqual(self.sent(), [(400, ALICE)])

    def test_words(self) -> None:
        """Warning has our words in a quoted string, whatever a peer put into them (section 20.43)."""
        self.assertEqual(
            warning(PeerError('a "b" \\ \r\n' + "x" * 500))[:40], '399 voipcluster "a ?b? ? ??' + "x" * 13
        )
        self.assertLess(len(warning(PeerError("x" * 500))), 150)
