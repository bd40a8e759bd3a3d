"""What a 200 to REGISTER gives us (RFC 3261 sections 10.2.4, 20.19, 20.23)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.granted import granted_seconds, min_expires, seconds_of
from voipcluster.sip.message import Response, parse

OURS = "<sip:alice@192.0.2.1>"


def response(*lines: str) -> Response:
    head = ["SIP/2.0 200 OK", "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", "From: <sip:a@b>;tag=1"]
    head += ["To: <sip:a@b>;tag=2", "Call-ID: 1", "CSeq: 1 REGISTER", *lines, "Content-Length: 0", "", ""]
    made = parse("\r\n".join(head).encode())
    assert isinstance(made, Response)
    return made


class GrantedTests(SynchronousTestCase):
    def test_ours_among_others(self) -> None:
        """That of our own Contact, by URI and not by its text; tel: and broken ones of others do not matter."""
        contacts = 'Contact: <tel:+1>;expires=5, <sip:alice@192.0.2.2>;expires=6, "A" <SIP:alice@192.0.2.1>;expires=7'
        self.assertEqual(granted_seconds(response(contacts), OURS, 60), 7)

    def test_without_its_own(self) -> None:
        """Then that of Expires, else what was asked for."""
        self.assertEqual(granted_seconds(response(f"Contact: {OURS}", "Expires: 30"), OURS, 60), 30)
        self.assertEqual(granted_seconds(response(f"Contact: {OURS}"), OURS, 60), 60)

    def test_not_named(self) -> None:
        """Who is not in it is not registered."""
        self.assertEqual(
            granted_seconds(response("Contact: <sip:bob@192.0.2.2>", "Expires: 30"), OURS, 60), 0
        )
        self.assertEqual(granted_seconds(response("Expires: 30"), OURS, 60), 0)

    def test_no_numbers(self) -> None:
        """What is no delta-seconds of at most 31 bits counts as not given."""
        for text in (None, "", "x", "-1", "1.5", "2147483648", "99999999999999999999", "\u0661"):
            self.assertEqual(seconds_of(text, 60), 60, text)
        self.assertEqual((seconds_of("0", 60), seconds_of("2147483647", 60)), (0, 2147483647))

    def test_min_expires(self) -> None:
        """0 where a 423 does not say."""
        self.assertEqual(min_expires(response("Min-Expires: 1800")), 1800)
        self.assertEqual(min_expires(response()), 0)
