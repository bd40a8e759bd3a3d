"""Whether a Contact is the phone that registers it (RFC 3261 section 10.2.1, RFC 5626 section 1)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.own_contact import is_own_contact
from voipcluster.sip.uri import parse_uri

PUBLIC, OTHER, HOME = "203.0.113.7", "203.0.113.99", "192.168.1.5"


class OwnContactTests(SynchronousTestCase):
    def check(self, own: bool, contact: str, via: str, source: str, transport: str = "UDP") -> None:
        self.assertEqual(
            is_own_contact(parse_uri(contact), via, source, transport), own, (contact, via, source)
        )

    def test_no_nat(self) -> None:
        """Where it comes from, whatever the port."""
        self.check(True, f"sip:a@{PUBLIC}:5070", PUBLIC, PUBLIC)
        self.check(True, "sip:a@[2001:db8:0::7]", "2001:db8::7", "2001:db8::7")

    def test_behind_a_nat(self) -> None:
        """It says what it thinks that it is, or what it learnt from rport or STUN."""
        self.check(True, f"sip:a@{HOME}", HOME, PUBLIC)
        self.check(True, f"sip:a@{PUBLIC}:33333", HOME, PUBLIC)
        self.check(True, "sip:a@10.9.8.7", HOME, PUBLIC)  # several interfaces
        self.check(True, "sip:a@[fe80::1]", "fe80::2", "2001:db8::7")

    def test_names(self) -> None:
        """A name is its own when it says it twice."""
        self.check(True, "sip:a@Phone.example.net", "phone.EXAMPLE.net", PUBLIC)
        self.check(False, "sip:a@mailbox.example.net", HOME, PUBLIC)
        for name in ("laptop", "laptop.local", "laptop.fritz.lan"):
            self.check(True, f"sip:a@{name}", HOME, PUBLIC)

    def test_browsers(self) -> None:
        """They have no address (RFC 7118 section 5.2)."""
        self.check(True, "sip:a@x7k.invalid;transport=ws", "x7k.invalid", PUBLIC, "WSS")
        self.check(True, "sip:a@abc.invalid", "def.invalid", PUBLIC)
        self.check(True, f"sip:a@{OTHER};transport=ws", HOME, PUBLIC, "WS")

    def test_another_place(self) -> None:
        """A mobile, a mailbox, a second desk phone in the same building."""
        self.check(False, f"sip:a@{OTHER}", PUBLIC, PUBLIC)
        self.check(False, f"sip:a@{OTHER}", HOME, PUBLIC)
        self.check(False, "sip:a@192.168.1.6", HOME, HOME)
        self.check(False, f"sip:a@{PUBLIC};maddr={OTHER}", PUBLIC, PUBLIC)
