"""Whose messages are wanted: found by what they say of themselves, and by where they come from."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import Flow
from voipcluster.errors import UsageError
from voipcluster.services.tracing.wanted import Wanted, wanted_of

FLOW = Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.10", 5062))


def message(*lines: str, start: str = "INVITE sip:nobody@example.com SIP/2.0", body: str = "") -> bytes:
    return "\r\n".join([start, *lines, "Call-ID: c1", "", body]).encode()


def user(text: str) -> Wanted:
    return wanted_of(text, None, None, False)


def address(text: str) -> Wanted:
    return wanted_of(None, text, None, False)


class WantedTests(SynchronousTestCase):
    def takes(self, wanted: Wanted, data: bytes, flow: Flow = FLOW) -> bool:
        return wanted.takes(data, "c1", flow)

    def test_user(self) -> None:
        """As caller, as callee, by any header that names people, and in the Request-URI; in a response, too."""
        for line in (
            "From: <sip:alice@example.com>;tag=1", "f:sip:alice@example.com", "To: Alice <sips:alice@example.com>",
            't: "x" <sip:alice@example.com:5061;transport=tcp>', "P-Asserted-Identity: <sip:alice@example.com>",
            "CONTACT: <sip:alice@192.0.2.10>",
        ):  # fmt: skip
            self.assertTrue(self.takes(user("alice"), message(line)), line)
            self.assertTrue(self.takes(user("alice"), message(line, start="SIP/2.0 200 OK")), line)
        self.assertTrue(self.takes(user("alice"), message(start="INVITE sip:alice@example.com SIP/2.0")))

    def test_not_the_user(self) -> None:
        """Others whose name begins or ends alike, and places that name nobody."""
        for line in (
            "From: <sip:alice2@example.com>", "From: <sip:malice@example.com>", "From: <sip:bob@alice.example.com>",
            "Subject: sip:alice@example.com", "From: alice <sip:bob@example.com>",
        ):  # fmt: skip
            self.assertFalse(self.takes(user("alice"), message(line)), line)
        self.assertFalse(self.takes(user("alice"), message(body="From: <sip:alice@example.com>")))

    def test_user_of_a_domain(self) -> None:
        """With a domain, which has no case, only that one."""
        wanted = user("alice@example.com")
        self.assertTrue(self.takes(wanted, message("From: <sip:alice@EXAMPLE.com>;tag=1")))
        for other in ("alice@example.org", "alice@example.com.evil.example", "Alice@example.com"):
            self.assertFalse(self.takes(wanted, message(f"From: <sip:{other}>")), other)

    def test_number(self) -> None:
        """A number as it is written in a tel or sip URI; its plus is no pattern."""
        for uri in ("tel:+49301234", "sip:+49301234@example.com", "sip:+49301234"):
            self.assertTrue(self.takes(user("+49301234"), message(f"To: <{uri}>")), uri)
        self.assertFalse(self.takes(user("+49301234"), message("To: <tel:49301234>")))

    def test_address(self) -> None:
        """From or to it, and, at the nodes behind, by the Via that it came with."""
        other = Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.2", 5060))
        wanted = address("192.0.2.10")
        self.assertTrue(self.takes(wanted, message()))
        self.assertFalse(self.takes(wanted, message(), other))
        for via in (
            "Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1", "v: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP 10.0.0.1;received=192.0.2.10;rport=5062",
        ):  # fmt: skip
            self.assertTrue(self.takes(wanted, message(via), other), via)
        for line in (
            "Via: SIP/2.0/UDP 192.0.2.101",
            "Via: SIP/2.0/UDP 1192.0.2.10",
            "Contact: <sip:192.0.2.10>",
        ):
            self.assertFalse(self.takes(wanted, message(line), other), line)

    def test_address_with_a_port(self) -> None:
        """Then only that one of who is there; of IPv6 as well."""
        self.assertTrue(self.takes(address("192.0.2.10:5062"), message()))
        self.assertFalse(self.takes(address("192.0.2.10:5060"), message()))
        six = Flow("TCP", ("2001:db8::1", 5060), ("2001:db8::10", 40000), 3)
        self.assertTrue(self.takes(address("[2001:db8::10]:40000"), message(), six))
        self.assertTrue(self.takes(address("2001:db8::10"), message("Via: SIP/2.0/TCP [2001:db8::10]:40000")))
        self.assertFalse(
            self.takes(address("[2001:db8::10]:4000"), message("Via: SIP/2.0/TCP [2001:db8::10]:40000"))
        )

    def test_call_and_all(self) -> None:
        self.assertTrue(self.takes(wanted_of(None, None, "c1", False), message()))
        self.assertFalse(self.takes(wanted_of(None, None, "c2", False), message()))
        self.assertTrue(self.takes(wanted_of(None, None, None, True), message()))

    def test_what_cannot_be_wanted(self) -> None:
        """One thing, and an address that is one; the error says which words are meant."""
        for given in ((None, None, None, False), ("a", None, "c", False), ("a", None, None, True)):
            self.assertIn("one of user", str(self.assertRaises(UsageError, wanted_of, *given)))
        for bad in ("example.com", "192.0.2.1:x", "", "192.0.2.1:70000", "[::1"):
            self.assertRaises(UsageError, address, bad)

    def test_in_words(self) -> None:
        """How the operator sees what is on."""
        texts = [
            user("sip:alice@example.com").text, address("192.0.2.10").text, address("[2001:db8::1]:5060").text,
            wanted_of(None, None, "c1", False).text, wanted_of(None, None, None, True).text,
        ]  # fmt: skip
        self.assertEqual(
            texts,
            [
                "user alice@example.com",
                "address 192.0.2.10",
                "address [2001:db8::1]:5060",
                "call c1",
                "all calls",
            ],
        )
