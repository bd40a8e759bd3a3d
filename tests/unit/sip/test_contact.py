"""One Contact of a REGISTER."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError
from voipcluster.sip.contact import MAX_URI, binding_of, clean, contact_value, placed
from voipcluster.sip.location import Binding
from voipcluster.sip.message import Request, parse
from voipcluster.sip.registration import Refused, Settings, Source

TEMPLATE = Binding(
    aor="alice@example.com", contact="", expires_at=100.0, registered_at=100.0, call_id="c", cseq=1
)
SENT = (
    "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKx\r\nFrom: <sip:alice@example.com>;tag=1\r\n"
    "To: <sip:alice@example.com>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n{more}\r\n"
)


def request(more: str = "") -> Request:
    message = parse(SENT.format(more=more).encode())
    assert isinstance(message, Request)
    return message


class BindingTests(SynchronousTestCase):
    def binding(self, value: str, more: str = "", **granted: float) -> Binding:
        return binding_of(value, request(more), Settings(**granted), TEMPLATE)

    def test_parameters(self) -> None:
        """q and expires become values of their own, GRUUs are ours to give, all else is kept."""
        binding = self.binding(
            '<sip:a@192.0.2.7>;q=0.5;expires=120;pub-gruu="x";audio;+sip.instance="<urn:uuid:1>";reg-id=2'
        )
        self.assertEqual((binding.contact, binding.q, binding.expires_at), ("sip:a@192.0.2.7", 0.5, 220.0))
        self.assertEqual((binding.instance, binding.reg_id), ("<urn:uuid:1>", 2))
        self.assertEqual(binding.params, ';audio;+sip.instance="<urn:uuid:1>";reg-id=2')

    def test_expiry(self) -> None:
        """The parameter goes before the header, that before our default; what is no number counts as an hour."""
        self.assertEqual(self.binding("<sip:a@h>;expires=70", "Expires: 80\r\n").expires_at, 170.0)
        self.assertEqual(self.binding("<sip:a@h>", "Expires: 80\r\n").expires_at, 180.0)
        self.assertEqual(self.binding("<sip:a@h>", default_expires=90).expires_at, 190.0)
        self.assertEqual(self.binding("<sip:a@h>;expires=soon").expires_at, 3700.0)
        self.assertEqual(self.binding("<sip:a@h>;expires=9999", max_expires=600).expires_at, 700.0)
        self.assertEqual(self.binding("<sip:a@h>;expires=0").expires_at, 100.0)

    def test_too_brief(self) -> None:
        """423 names the least that is granted."""
        refused = self.assertRaises(Refused, self.binding, "<sip:a@h>;expires=5")
        self.assertEqual((refused.status_hint, refused.headers), (423, (("min-expires", "60"),)))

    def test_what_is_no_contact(self) -> None:
        """Broken URIs, parameters and what no header may hold."""
        for value in (
            "<sip:a@h>;q=2", "<sip:a@h>;q=x", '<sip:a@h>;+sip.instance="<x>";reg-id=0', "sip:a@h?Subject=x", "<nonsense>",
            "<tel:1 2>", f"<sip:{'a' * MAX_URI}@h>",
        ):  # fmt: skip
            self.assertRaises(ParseError, self.binding, value)

    def test_other_schemes(self) -> None:
        """A Contact may be any URI (10.2.1)."""
        self.assertEqual(self.binding("<tel:+15551234>").contact, "tel:+15551234")
        self.assertEqual(self.binding("<mailto:a@example.com>").contact, "mailto:a@example.com")


class PlacedTests(SynchronousTestCase):
    FLOWING = evolve(TEMPLATE, contact="sip:a@192.0.2.7", flow_token="t")
    SOURCE = Source("a", "t", host="192.0.2.7")

    def test_own(self) -> None:
        """The client's own address keeps the flow."""
        self.assertEqual(placed(self.FLOWING, request(), self.SOURCE).flow_token, "t")

    def test_elsewhere(self) -> None:
        """Another one has not got the client's flow, unless it says that it is one of its flows (RFC 5626 section 6)."""
        elsewhere = evolve(self.FLOWING, contact="sip:a@198.51.100.9")
        self.assertEqual(placed(elsewhere, request(), self.SOURCE).flow_token, "")
        outbound = evolve(elsewhere, instance="<urn:uuid:1>", reg_id=1)
        self.assertEqual(placed(outbound, request(), self.SOURCE).flow_token, "t")


class TextTests(SynchronousTestCase):
    def test_clean(self) -> None:
        """What has control characters or is too long is not taken; the error quotes a part of it."""
        self.assertEqual(clean("text", 4), "text")
        self.assertRaises(ParseError, clean, "texts", 4)
        self.assertRaises(ParseError, clean, "a\x00b", 10)
        self.assertRaises(ParseError, clean, "\udcff", 10)

    def test_contact_value(self) -> None:
        """What is left of the time, a second at least; q only when it is not 1."""
        binding = evolve(TEMPLATE, contact="sip:a@h", expires_at=160.0, params=";audio")
        self.assertEqual(contact_value(binding, 100.0), "<sip:a@h>;expires=60;audio")
        self.assertEqual(contact_value(evolve(binding, q=0.5), 159.9), "<sip:a@h>;expires=1;q=0.5;audio")
