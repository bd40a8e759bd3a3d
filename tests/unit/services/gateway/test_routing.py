"""What a URI means as a number, and who takes it."""

from __future__ import annotations

from tests.unit.services.gateway.trunk_world import HOSTS, TrunkCase, gateway
from tests.unit.sip.messages import request
from voipcluster.address import Flow
from voipcluster.balance.handover import Handover
from voipcluster.errors import PeerError
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.numbers import Number
from voipcluster.gateway.permission import Party
from voipcluster.gateway.rewriting import CallerId
from voipcluster.gateway.routing import Route
from voipcluster.sip.uri import parse_uri

FLOW = Flow("UDP", ("192.0.2.1", 5060), ("198.51.100.1", 5060), 0)
STRANGER = Handover(FLOW, "a")


class MeaningTests(TrunkCase):
    def test_numbers(self) -> None:
        """A user part that is a number of the plan, in a context of ours or a country's."""
        for text, number in (
            ("sip:089-3456@example.com", Number("+49893456")),
            ("sip:110@example.com", Number("110", True)),
            ("sip:200;phone-context=example.com@example.com", Number("200")),
            ("sip:200;phone-context=other.example@example.com", None),
            ("sip:alice@example.com", None),
            ("sip:example.com", None),
        ):
            self.assertEqual(self.routing.number_of(parse_uri(text)), number, text)

    def test_emergency(self) -> None:
        """A number for help is one in our domains only."""
        self.assertTrue(self.routing.is_emergency("sip:112@example.com;user=phone"))
        for text in (
            "sip:112@other.example",
            "sip:1120@example.com",
            "tel:112",
            "sip:alice@example.com",
            "x",
        ):
            self.assertFalse(self.routing.is_emergency(text), text)

    def test_schemes(self) -> None:
        """tel and urn:service:sos become SIP URIs of our first domain; where no number for help is known it is 416."""
        self.assertEqual(self.routing.sip_uri("tel:+49-89"), "sip:+4989@example.com;user=phone")
        self.assertEqual(self.routing.sip_uri("URN:service:sos"), "sip:110@example.com;user=phone")
        for text in ("urn:service:sosx", "urn:isbn:1"):
            self.assertEqual(self.assertRaises(PeerError, self.routing.sip_uri, text).status_hint, 416)

    def test_caller(self) -> None:
        """A user is one with his number, if his name is one; of others whom a gateway names, asserted before From."""
        user = Handover(FLOW, "a", user="4055@example.com")
        self.assertEqual(self.routing.caller_of(request(), user), Party("4055", "4055@example.com", True))
        self.assertEqual(self.routing.caller_of(request(), STRANGER), Party())
        said = request(headers=["P-Asserted-Identity: <sip:x@a.example>, <tel:+33-1>"])
        self.assertEqual(self.routing.caller_of(said, STRANGER), Party("+331"))
        said = request(headers=["From: <sip:03055@carrier.example>;tag=1"], without=("From",))
        self.assertEqual(self.routing.caller_of(said, STRANGER), Party("+493055"))

    def test_identities(self) -> None:
        """A number that may be shown, and the address of record only where no rule says what is shown."""
        party = Party("+4930", "+4930@example.com", True)
        number = "sip:+4930@example.com;user=phone"
        self.assertEqual(
            self.routing.identities(party, Route("", "a"), "example.com"), (number, "sip:+4930@example.com")
        )
        rules = Route("", "a", caller=CallerId("+49100", ("+4989",)))
        self.assertEqual(
            self.routing.identities(party, rules, "example.com"), ("sip:+49100@example.com;user=phone",)
        )
        self.assertEqual(self.routing.identities(Party("+1"), Route("", "a"), "x")[0], "sip:+1@x;user=phone")


class CandidateTests(TrunkCase):
    gateways = (
        gateway("a", transport="tcp", channels=1),
        Gateway("b", servers=("sip.carrier.example", "[2001:db8::1]:5070"), transport="tls"),
    )

    def test_targets(self) -> None:
        """One target a server, with falling q; the transport is in the URI, and all but the last one are given some seconds."""
        number = Number("+49893456")
        found = self.routing.targets(number, self.routing.candidates(number, Party()))
        self.assertEqual(
            [(target.uri, target.gateway, target.answer_within) for target in found],
            [
                (f"sip:+49893456@{HOSTS['a']};user=phone;transport=tcp", "a", 4.0),
                ("sip:+49893456@sip.carrier.example;user=phone;transport=tls", "b", 4.0),
                ("sip:+49893456@[2001:db8::1]:5070;user=phone;transport=tls", "b", 0.0),
            ],
        )
        self.assertEqual([target.q for target in found], [500, 499, 498])

    def test_refused(self) -> None:
        """Those that are not asked say why, in words for an operator."""
        self.book.seized("a")
        self.book.set_up("b", False, "no answer to OPTIONS")
        found = self.routing.candidates(Number("+1"), Party())
        self.assertEqual(
            [candidate.refused for candidate in found],
            ["full: 1 of 1 channels in use", "down: no answer to OPTIONS"],
        )
        found = self.routing.candidates(Number("+1", True), Party())
        self.assertEqual([candidate.refused for candidate in found], ["", "down: no answer to OPTIONS"])
