"""Session timers, Max-Breadth and Contacts of any message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.properties.session import check_session
from tests.unit.sip.messages import request, response
from tests.unit.strategies import damaged, requests, responses

NUMBERS = st.sampled_from(
    ["0", "1", "89", "90", "120", "299", "600", "1800", "3600", "4294967295", "99999999999", "-1", "x", ""]
)
SECONDS = st.sampled_from([60, 89, 90, 120, 299, 300, 600, 1800, 3600])
REFRESHERS = st.sampled_from(["", ";refresher=uac", " ; refresher=uas;x", ";", ",90"])
HOSTS = st.sampled_from(
    ["10.0.0.5", "phone.local", "[fe80::1]", "h.example;maddr=192.0.2.7", "x", "203.0.113.9"]
)
REQUEST, RESPONSE = request().to_bytes(), response(200).to_bytes()
LINES = st.lists(
    st.one_of(
        st.builds("Session-Expires: {}{}".format, NUMBERS, REFRESHERS),
        st.builds("x:{}".format, NUMBERS),
        st.builds("Min-SE: {}{}".format, NUMBERS, st.sampled_from(["", ";x=1"])),
        st.builds("Supported: {}".format, st.sampled_from(["timer", "100rel, Timer", "", '"'])),
        st.builds("Max-Breadth: {}".format, NUMBERS | st.just("60, 0") | st.just("0" * 5000 + "7")),
        st.builds("Contact: <sip:u@{}>".format, HOSTS),
    ),
    max_size=5,
)


def behind_the_first_line(message: bytes, *lines: str) -> bytes:
    start, _, rest = message.partition(b"\r\n")
    return b"\r\n".join([start, *(line.encode() for line in lines), rest])


class GeneratedSessionTests(SynchronousTestCase):
    @given(SECONDS, st.none() | SECONDS, st.booleans(), REFRESHERS)
    def test_intervals(self, interval: int, minimum: int | None, supported: bool, refresher: str) -> None:
        """An interval is passed on, changed or refused as RFC 4028 section 8 says."""
        lines = [f"Session-Expires: {interval}{refresher}"]
        lines += [] if minimum is None else [f"Min-SE: {minimum}"]
        lines += ["Supported: timer"] if supported else []
        for message in (REQUEST, RESPONSE):
            check_session(behind_the_first_line(message, *lines))

    @given(requests() | responses(), LINES)
    def test_whatever_stands_there(self, message: bytes, lines: list[str]) -> None:
        """So it is with several values or none, and with what is no number; a breadth is one, or is refused."""
        check_session(behind_the_first_line(message, *lines))

    @given(damaged(requests()), LINES)
    def test_damaged_ones(self, message: bytes, lines: list[str]) -> None:
        """And in a damaged message."""
        check_session(behind_the_first_line(message, *lines))
