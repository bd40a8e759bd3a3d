"""Session descriptions, multipart bodies and offer/answer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.properties.media import check_body, check_offer_answer, check_sdp
from tests.unit.strategies import damaged, descriptions


def multipart(head: bytes, sdp: bytes, length: bytes, tail: bytes) -> bytes:
    part = b"--b\r\nContent-Type: application/sdp\r\n" + length + b"\r\n" + sdp
    return b'multipart/mixed;boundary="b"\n' + head + part + tail


BODIES = st.builds(
    multipart,
    st.sampled_from([b"", b"preamble\r\n", b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"]),
    descriptions(),
    st.sampled_from(
        [
            b"",
            b"Content-Length: 9\r\n",
            b"Content-Transfer-Encoding: binary\r\n",
            b"Content-Transfer-Encoding: base64\r\n",
        ]
    ),
    st.sampled_from([b"\r\n--b--", b"\r\n--b--\r\nend", b"\n--b\n\nx\n--b--", b""]),
)


class GeneratedMediaTests(SynchronousTestCase):
    @given(descriptions() | damaged(descriptions()))
    def test_descriptions(self, sdp: bytes) -> None:
        """Each relayed line leads to the relay, for RTP and RTCP; rewriting twice is rewriting once."""
        check_sdp(sdp)

    @given(BODIES | damaged(BODIES))
    def test_bodies(self, data: bytes) -> None:
        """The part that is found can be replaced, and is found again."""
        check_body(data)
        check_body(b"application/sdp\n" + data)

    @given(st.binary(max_size=40))
    def test_offers_and_answers(self, events: bytes) -> None:
        """Whatever messages pass in whatever order, an answer is to an offer of the other side (RFC 3264 section 4)."""
        check_offer_answer(events)
