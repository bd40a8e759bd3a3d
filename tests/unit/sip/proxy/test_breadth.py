"""Max-Breadth as it comes in (RFC 5393 section 5)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.messages import request
from voipcluster.errors import PeerError
from voipcluster.sip.proxy.breadth import incoming_breadth


class BreadthTests(SynchronousTestCase):
    def test_value(self) -> None:
        """Its number, however many digits it has; of several the smallest counts (section 5.3.3)."""
        self.assertIsNone(incoming_breadth(request()))
        for values, breadth in (
            (["1"], 1),
            (["0059"], 59),
            (["60"], 60),
            (["1000"], 1000),
            (["9" * 40], 10**9),
            (["7", "3"], 3),
            (["7, 30"], 7),
        ):
            message = request(headers=[f"Max-Breadth: {value}" for value in values])
            self.assertEqual(incoming_breadth(message), breadth, values)

    def test_used_up(self) -> None:
        """With 0 not even one copy may go out: 440 (section 5.3.3)."""
        for value in ("0", "000"):
            error = self.assertRaises(PeerError, incoming_breadth, request(headers=[f"Max-Breadth: {value}"]))
            self.assertEqual(error.status_hint, 440)

    def test_no_number(self) -> None:
        """What is no number is 400."""
        for value in ("", "-1", "x", "1 0", "\u0661"):
            error = self.assertRaises(PeerError, incoming_breadth, request(headers=[f"Max-Breadth: {value}"]))
            self.assertEqual(error.status_hint, 400, value)
