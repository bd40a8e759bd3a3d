"""Answers of DNS servers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from tests.properties.dns import check_answer, check_datagram, check_stream
from tests.unit.strategies import damaged

NAMES = st.sampled_from(
    ["example.com", "a.example.com", "_sip._udp.example.com", "", "x" * 63, "192.0.2.1", "EXAMPLE.com"]
)
NUMBERS = st.integers(0, 65535)
PAYLOADS = st.one_of(
    st.builds(dns.Record_A, st.sampled_from(["192.0.2.1", "0.0.0.0", "224.0.0.1"])),
    st.builds(dns.Record_AAAA, st.sampled_from(["2001:db8::1", "::", "ff02::1"])),
    st.builds(dns.Record_CNAME, NAMES),
    st.builds(dns.Record_SRV, NUMBERS, NUMBERS, NUMBERS, NAMES),
    st.builds(
        dns.Record_NAPTR,
        NUMBERS,
        NUMBERS,
        st.sampled_from([b"s", b"A", b"u", b"\xff"]),
        st.sampled_from([b"SIP+D2U", b"sips+d2t", b"x"]),
        st.just(b""),
        NAMES,
    ),
    st.builds(dns.Record_TXT, st.binary(max_size=20)),
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    message = dns.Message(1, answer=1)
    for payload in draw(st.lists(PAYLOADS, max_size=8)):
        message.answers.append(dns.RRHeader(draw(NAMES), payload.TYPE, ttl=draw(NUMBERS), payload=payload))
    return message.toStr()


class GeneratedAnswerTests(SynchronousTestCase):
    @given(answers() | damaged(answers()))
    def test_answers(self, octets: bytes) -> None:
        """Whatever a server says, the way ends at servers that can be asked, or nowhere (RFC 3263 section 4)."""
        check_answer(octets)

    @given(answers() | damaged(answers()))
    def test_datagrams(self, octets: bytes) -> None:
        """Whatever comes on the socket of a question, it is answered at most once, and nothing is logged (S26)."""
        check_datagram(octets)

    @given(st.integers(0, 40), answers() | damaged(answers()), st.integers(-1, 1))
    def test_streams(self, step: int, octets: bytes, more: int) -> None:
        """Nor over TCP, with a length that is right or not; there the question always ends."""
        check_stream(bytes([step]) + max(0, len(octets) + more).to_bytes(2, "big") + octets)
