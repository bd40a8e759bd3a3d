"""Retry-After (RFC 3261 section 20.33)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.message import Response, parse
from voipcluster.sip.retry_after import retry_after


def response(*lines: str) -> Response:
    head = ["SIP/2.0 503 Service Unavailable", "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", *lines]
    made = parse("\r\n".join([*head, "Content-Length: 0", "", ""]).encode())
    assert isinstance(made, Response)
    return made


class RetryAfterTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """Seconds, with a comment, with parameters."""
        for text, seconds in (
            ("18", 18.0),
            ("18 (in a meeting)", 18.0),
            ("120;duration=3600", 120.0),
            ("0", 0.0),
        ):
            self.assertEqual(retry_after(response(f"Retry-After: {text}")), seconds, text)

    def test_none(self) -> None:
        """What is no number of seconds, or of more than months, says nothing."""
        for text in ("", "x", "-1", "1.5", "99999999", "(18)"):
            self.assertEqual(retry_after(response(f"Retry-After: {text}")), 0.0, text)
        self.assertEqual(retry_after(response()), 0.0)
