"""Which requests are kept out last."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.messages import request
from voipcluster.sip.emergency import is_emergency, is_urgent, pattern_of

URIS = (
    "sip:bob@example.com",
    "urn:service:sos",
    "URN:Service:SOS.fire",
    "urn:service:sosumi",
    "urn:service:counseling",
)
HEADERS = (
    "Resource-Priority: esnet.1", "resource-priority: dsn.flash, wps.0", "RESOURCE-PRIORITY : ETS.4",
    "Resource-Priority: dsn.routine", "Resource-Priority: x-ets.1", "Resource-Priority: q735.0,esnet.0",
    "Subject: urn:service:sos esnet.1",
)  # fmt: skip


class EmergencyTests(SynchronousTestCase):
    def test_definition(self) -> None:
        """urn:service:sos of anybody (RFC 5031), and three namespaces of those whom we know (RFC 4412, RFC 7135)."""
        for good in (
            request(uri="urn:service:sos"),
            request(uri="urn:service:sos.fire"),
            request(uri="URN:service:SOS"),
            request(headers=["Resource-Priority: esnet.1"]),
            request(headers=["resource-priority: dsn.flash, wps.0"]),
        ):
            self.assertTrue(is_emergency(good.to_bytes(), True), good.to_bytes())
            self.assertEqual(is_emergency(good.to_bytes(), False), good.uri[:1] in "uU")
        for bad in (
            request(),
            request(uri="urn:service:counseling"),
            request(uri="urn:service:sosumi"),
            request(headers=["Resource-Priority: dsn.routine"]),
            request(headers=["Resource-Priority: nets.0"]),
            request(headers=["Subject: urn:service:sos esnet.1"]),
        ):
            body = b"\r\nResource-Priority: esnet.0\r\n"
            self.assertFalse(is_emergency(bad.to_bytes() + body, True), bad.to_bytes())
            self.assertFalse(is_urgent(bad, True), bad.to_bytes())

    def test_numbers(self) -> None:
        """A number for help of this place, in any form of a URI; not one that begins or ends with it."""
        numbers = pattern_of(("110", "112"))
        self.assertIsNone(pattern_of(()))
        for uri, wanted in (
            ("sip:110@example.com", True),
            ("SIPS:1-1-2@example.com;user=phone", True),
            ("tel:112", True),
            ("tel:110;phone-context=+49", True),
            ("sip:1101@example.com", False),
            ("sip:+49110@example.com", False),
            ("sip:bob@110", False),
            ("urn:service:sos", True),
        ):
            asked = request(uri=uri)
            self.assertEqual(is_emergency(asked.to_bytes(), False, numbers), wanted, uri)
            self.assertEqual(is_urgent(asked, False, numbers), wanted, uri)

    @given(st.sampled_from(URIS), st.lists(st.sampled_from(HEADERS), max_size=3), st.booleans())
    def test_read_or_not(self, uri: str, headers: list[str], known: bool) -> None:
        """What is looked at unread and what was parsed are judged alike."""
        made = request(uri=uri, headers=headers)
        self.assertEqual(is_emergency(made.to_bytes(), known), is_urgent(made, known))

    def test_broken(self) -> None:
        """A value that cannot be taken apart is no reason to fail."""
        self.assertFalse(is_urgent(request(headers=['Resource-Priority: "esnet.0']), True))
