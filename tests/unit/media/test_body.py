"""The description inside a message body (RFC 5621, RFC 2046 section 5.1)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError
from voipcluster.media.body import Part, find_sdp, replace_part

SDP = b"v=0\r\ns=-\r\n"
MIXED = (
    b"preamble\r\n--next\r\nContent-Type: application/x-q931\r\n\r\n\x08\x02\r\n--nextx\xff\x00\r\n"
    b"--next  \r\ncontent-type : application/SDP ; charset=x\r\nContent-Disposition: session\r\n"
    b"Content-Length:  10\r\n\r\n"
    + SDP
    + b"\r\n--next\r\nContent-Type: text/plain\r\n\r\nbye\r\n--next--\r\nend"
)


def inside(content_type: str | None, body: bytes) -> bytes | None:
    part = find_sdp(content_type, body)
    return None if part is None else body[part.begin : part.end]


class BodyTests(SynchronousTestCase):
    def test_alone(self) -> None:
        """application/sdp in any case and with parameters is the whole body."""
        for content_type in ("application/sdp", "Application/SDP; charset=utf-8"):
            self.assertEqual(find_sdp(content_type, SDP), Part(0, len(SDP)))

    def test_none(self) -> None:
        """Other types, no type and no body hold no description."""
        for content_type in (
            None,
            "text/plain",
            "application/isup",
            "application/sdpx",
            "multipart/mixed",
            "",
        ):
            self.assertIsNone(find_sdp(content_type, SDP))
        self.assertIsNone(find_sdp("application/sdp", b""))
        self.assertIsNone(find_sdp("multipart/mixed;boundary=next", SDP))

    def test_part(self) -> None:
        """The part is found between its neighbours; a longer delimiter is not one."""
        for parameter in ("boundary=next", 'boundary="next"', ' charset=x; Boundary = "next"'):
            self.assertEqual(inside(f"multipart/mixed;{parameter}", MIXED), SDP)

    def test_any_octets_are_a_boundary(self) -> None:
        """Also those that are no UTF-8, as the message layer gives them, alone and in a nested multipart."""
        for octets in (b"\xff", b"caf\xe9", b"\xc3\xa9"):
            text = octets.decode("utf-8", "surrogateescape")
            inner = MIXED.replace(b"--next", b"--" + octets)
            self.assertEqual(inside(f"multipart/mixed;boundary={text}", inner), SDP)
            nested = (
                b"--o\r\nContent-Type: multipart/mixed;boundary="
                + octets
                + b"\r\n\r\n"
                + inner
                + b"\r\n--o--"
            )
            self.assertEqual(inside("multipart/mixed;boundary=o", nested), SDP)

    def test_replaced(self) -> None:
        """The rest stays bit for bit, only the part's own length follows."""
        part = find_sdp("multipart/mixed;boundary=next", MIXED)
        assert part is not None
        longer = SDP + b"a=x\r\n"
        out = replace_part(MIXED, part, longer)
        self.assertEqual(
            out, MIXED.replace(SDP, longer).replace(b"Content-Length:  10", b"Content-Length:  15")
        )
        self.assertEqual(replace_part(MIXED, part, SDP), MIXED)

    def test_nested(self) -> None:
        """A description in a multipart body inside another is found (RFC 5621 section 4); depth is bounded."""
        body, kind = SDP, "application/sdp"
        for depth in range(5):
            text = b"--b%d\r\nContent-Type: %s\r\n\r\n%s\r\n--b%d--\r\n" % (depth, kind.encode(), body, depth)
            body, kind = text, f"multipart/related;boundary=b{depth}"
            self.assertEqual(inside(kind, body), SDP if depth < 3 else None)

    def test_encoded_part(self) -> None:
        """A description in base64 cannot be rewritten in place, and must not pass unseen: 488."""
        body = (
            b"--n\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0w\r\n--n--"
        )
        error = self.assertRaises(ParseError, find_sdp, "multipart/mixed;boundary=n", body)
        self.assertEqual(error.status_hint, 488)
        self.assertIsNotNone(find_sdp("multipart/mixed;boundary=n", body.replace(b"base64", b"8bit")))

    def test_broken(self) -> None:
        """Unclosed, empty and header-less parts hold nothing."""
        for body in (b"--n", b"--n\r\n--n--", b"--n\r\nContent-Type: application/sdp\r\n--n--", b"--n--"):
            self.assertIsNone(inside("multipart/mixed;boundary=n", body))
        cut = b"--n\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n"
        self.assertIsNone(inside("multipart/mixed;boundary=n", cut))
