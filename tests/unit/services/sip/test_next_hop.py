"""Where a request goes next, as far as no DNS is needed."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import Hop
from voipcluster.errors import ParseError, TransportError
from voipcluster.services.sip.next_hop import hop_of, strict_or_loose
from voipcluster.sip.uri import parse_uri

BOB = "sip:bob@192.0.2.1"
LOOSE, STRICT = "<sip:192.0.2.8;lr>", "<sip:192.0.2.9;transport=tcp;method=INVITE>"


class HopTests(SynchronousTestCase):
    def test_numeric(self) -> None:
        """A numeric host needs no look-up: its transport is named or follows from the scheme (RFC 3263 section 4.1)."""
        for uri, hop in (
            ("sip:192.0.2.1", Hop("UDP", "192.0.2.1", 5060)),
            ("sip:bob@[2001:db8::1]:5070;transport=tcp", Hop("TCP", "2001:db8::1", 5070)),
            ("sips:192.0.2.1", Hop("TLS", "192.0.2.1", 5061)),
            ("sip:192.0.2.1;transport=TLS", Hop("TLS", "192.0.2.1", 5061)),
            ("sip:example.com:5070;maddr=192.0.2.7", Hop("UDP", "192.0.2.7", 5070)),
        ):
            self.assertEqual(hop_of(parse_uri(uri)), hop, uri)

    def test_name(self) -> None:
        """A name is a transport error, which counts as 503 from there (section 16.9)."""
        self.assertRaises(TransportError, hop_of, parse_uri("sip:bob@example.net"))


class RouteTests(SynchronousTestCase):
    def test_no_route(self) -> None:
        """Without Route the Request-URI says it (section 16.6 step 6)."""
        self.assertEqual(strict_or_loose(BOB, []), (BOB, [], parse_uri(BOB)))

    def test_loose(self) -> None:
        """A loose router stays in Route (section 16.6 step 6)."""
        self.assertEqual(
            strict_or_loose(BOB, [LOOSE, STRICT]), (BOB, [LOOSE, STRICT], parse_uri("sip:192.0.2.8;lr"))
        )

    def test_strict(self) -> None:
        """A strict router goes into the Request-URI, the true one to the end of Route (section 16.6 step 6)."""
        uri, routes, following = strict_or_loose(BOB, [STRICT, LOOSE])
        self.assertEqual(uri, "sip:192.0.2.9;transport=tcp")
        self.assertEqual(routes, [LOOSE, f"<{BOB}>"])
        self.assertEqual(hop_of(following), Hop("TCP", "192.0.2.9", 5060))

    def test_broken(self) -> None:
        """A first value that is no Route is a ParseError."""
        self.assertRaises(ParseError, strict_or_loose, BOB, ["<tel:1>"])
