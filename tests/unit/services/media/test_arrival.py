"""What is known of a hop, and credentials that nobody can guess."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import Hop
from voipcluster.services.media.arrival import Arrival, IcePolicy


class ArrivalTests(SynchronousTestCase):
    def test_hops(self) -> None:
        """The IP version of the target, and whether a browser is behind it (RFC 7118)."""
        source = Hop("UDP", "192.0.2.1", 5060)
        self.assertEqual(Arrival.of(source, None), Arrival("192.0.2.1", None, browser=False))
        self.assertEqual(
            Arrival.of(source, Hop("WSS", "2001:db8::1", 1)), Arrival("192.0.2.1", 6, browser=True)
        )
        self.assertEqual(
            Arrival.of(source, Hop("TLS", "192.0.2.2", 1)), Arrival("192.0.2.1", 4, browser=False)
        )

    def test_credentials(self) -> None:
        """8 and 24 ice-chars, of as many random octets (RFC 8445 section 5.3)."""
        asked: list[int] = []
        policy = IcePolicy.of(
            "relay", lambda count: asked.append(count) or bytes(range(250, 250 - count, -1))
        )
        made = policy.credentials()
        self.assertEqual(asked, [6, 18])
        self.assertTrue(re.fullmatch(r"[A-Za-z0-9+/]{8}", made.ufrag), made)
        self.assertTrue(re.fullmatch(r"[A-Za-z0-9+/]{24}", made.password), made)
