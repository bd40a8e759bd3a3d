"""What is seen of a message in passing is what the parser reads."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.message import Response, parse
from voipcluster.sip.overheard import LONGEST, call_id_of, cseq_of, head_of, status_of

REQUEST = (
    "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
    "From: <sip:a@b>;tag=1\r\nTo: <sip:b@b>\r\n{call}\r\n{cseq}\r\nContent-Length: {length}\r\n\r\n{body}"
)


def request(call: str = "Call-ID: c1@x", cseq: str = "CSeq: 7 INVITE", body: str = "") -> bytes:
    return REQUEST.format(call=call, cseq=cseq, body=body, length=len(body)).encode()


class OverheardTests(SynchronousTestCase):
    def test_as_the_parser_reads_it(self) -> None:
        """Call-ID and CSeq in the spellings that RFC 3261 allows (7.3.1, 7.3.3)."""
        for call in ("Call-ID: c1@x", "i:c1@x", "CALL-id :  c1@x ", "Call-ID:\r\n c1@x", "I: c1@x"):
            for cseq in ("CSeq: 7 INVITE", "cseq:7   INVITE", "CSeq:\r\n\t7 INVITE"):
                data = request(call, cseq)
                message = parse(data)
                self.assertEqual((call_id_of(data), cseq_of(data)), (message.call_id, message.cseq))

    def test_status(self) -> None:
        """A response has one, a request none."""
        data = request().replace(b"INVITE sip:bob@example.com SIP/2.0", b"SIP/2.0 183 Session Progress")
        message = parse(data)
        assert isinstance(message, Response)
        self.assertEqual((status_of(data), status_of(request())), (message.status, 0))

    def test_the_body_is_not_the_head(self) -> None:
        """A line in the body that looks like the header is none."""
        data = request("X: y", body="\r\ni: c2\r\n")
        self.assertEqual(call_id_of(data), "")
        self.assertEqual(head_of(data) + b"\r\n\r\ni: c2\r\n", data)

    def test_what_is_no_message(self) -> None:
        """Anything at all gives nothing."""
        for data in (
            b"",
            b"\r\n\r\n",
            b"\0" * 100,
            b"SIP/2.0 2000 OK\r\n\r\n",
            b"\r\nCall-ID: ",
            b"CSeq: x y",
        ):
            self.assertEqual((call_id_of(data), cseq_of(data), status_of(data)), ("", (0, ""), 0), data)

    def test_a_long_one(self) -> None:
        """A Call-ID longer than is remembered is as if there were none."""
        self.assertEqual(call_id_of(request("Call-ID: " + "x" * LONGEST)), "x" * LONGEST)
        self.assertEqual(call_id_of(request("Call-ID: " + "x" * (LONGEST + 1))), "")
