"""SIP on a byte stream, cut anywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.properties.stream import check_stream, framed
from tests.unit.strategies import damaged, requests, responses
from voipcluster.sip.framing import MessageFramed

LENGTHS = st.sampled_from(
    [
        b"Content-Length: 3",
        b"l:3",
        b"l\t: 3 ",
        b"Content-Length:\r\n 3",
        b"CONTENT-LENGTH: 03",
        b"Content-Length: 3\r\nl: 5",
        b"",
    ]
)
PLAIN = LENGTHS.map(lambda line: b"OPTIONS sip:a SIP/2.0\r\nX: y\r\n" + line + b"\r\n\r\nabc")
BETWEEN = st.sampled_from([b"", b"", b"\r\n", b"\r\n\r\n", b"\r\n\r\n\r\n\r\n", b"\n", b"\r"])


class GeneratedStreamTests(SynchronousTestCase):
    @given(st.integers(0, 60), st.lists(st.tuples(BETWEEN, requests() | responses() | PLAIN), max_size=3))
    def test_whole_messages(self, step: int, messages: list[tuple[bytes, bytes]]) -> None:
        """However the octets arrive, the messages are the same, and the parser sees each end where the framer saw it."""
        check_stream(bytes([step]) + b"".join(blank + message for blank, message in messages))

    @given(st.integers(0, 60), damaged(st.lists(PLAIN, min_size=1, max_size=3).map(b"".join)))
    def test_damaged_ones(self, step: int, data: bytes) -> None:
        """The same of a damaged stream, and the fault is the same too."""
        check_stream(bytes([step]) + data)

    def test_what_is_compared(self) -> None:
        """One octet at a time gives the message that one read gives."""
        data = b"\r\n\r\nOPTIONS sip:a SIP/2.0\r\nl: 3\r\n\r\nabcOPT"
        for step in (1, 7, 1000):
            events, pings, partial = framed(data, step)
            self.assertEqual([type(event) for event in events], [MessageFramed])
            self.assertEqual((pings, partial), (1, True))
