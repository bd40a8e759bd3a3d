"""CSeq that differs on the two sides of us (RFC 3261 section 22.2, RFC 3262 section 7.2)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError
from voipcluster.sip.message import Request, Response, parse
from voipcluster.sip.renumbering import Renumbered, renumbered


def request(*lines: str) -> Request:
    head = [
        "PRACK sip:a@b SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
        *lines,
        "Content-Length: 0",
        "",
        "",
    ]
    made = parse("\r\n".join(head).encode())
    assert isinstance(made, Request)
    return made


class RenumberedTests(SynchronousTestCase):
    def test_not_at_all(self) -> None:
        """By nothing: the request is not even looked at."""
        self.assertEqual(renumbered(request("CSeq: x"), 0), Renumbered())

    def test_cseq(self) -> None:
        """Its line is left out, and another one comes in its place."""
        self.assertEqual(renumbered(request("CSeq:  7   PRACK"), 2), ((1,), (("cseq", "9 PRACK"),)))

    def test_rack(self) -> None:
        """PRACK names the CSeq of its INVITE, which has moved as well; the number of the response has not."""
        drop, add = renumbered(request("CSeq: 8 PRACK", "RAck: 776656 7 INVITE"), 1)
        self.assertEqual((drop, dict(add)), ((1, 2), {"cseq": "9 PRACK", "rack": "776656 8 INVITE"}))

    def test_impossible(self) -> None:
        """The last number there is, and what cannot be read."""
        for lines in (
            ("CSeq: 2147483647 PRACK",),
            ("CSeq: 1 PRACK", "RAck: 1 INVITE"),
            ("CSeq: 1 PRACK", "RAck: 1 x INVITE"),
            (),
        ):
            with self.assertRaises(ParseError):
                renumbered(request(*lines), 1)

    def test_response(self) -> None:
        """A response gets the number back that its request had on the other side, and is written anew."""
        head = [
            "SIP/2.0 200 OK",
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
            "CSeq: 3 BYE",
            "Content-Length: 0",
        ]
        made = parse("\r\n".join([*head, "", ""]).encode())
        assert isinstance(made, Response)
        made.renumber(-1)
        self.assertEqual((made.cseq, made.received), ((2, "BYE"), None))
        self.assertIn(b"\r\nCSeq: 2 BYE\r\n", made.to_bytes())
        with self.assertRaises(ParseError):
            made.renumber(-3)
