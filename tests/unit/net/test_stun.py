"""STUN Binding answers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.net.stun import binding_response

COOKIE = bytes.fromhex("2112a442")
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")


def request(attributes: bytes = b"", kind: bytes = b"\x00\x01", cookie: bytes = COOKIE) -> bytes:
    return kind + len(attributes).to_bytes(2, "big") + cookie + TRANSACTION + attributes


class BindingTests(SynchronousTestCase):
    def test_ipv4(self) -> None:
        """The source comes back as XOR-MAPPED-ADDRESS, the value of the test vector (RFC 5769 section 2.2)."""
        answer = binding_response(request(), ("192.0.2.1", 32853))
        attribute = bytes.fromhex("002000080001a147e112a643")
        self.assertEqual(answer, b"\x01\x01\x00\x0c" + COOKIE + TRANSACTION + attribute)

    def test_ipv6(self) -> None:
        """The same for IPv6 (RFC 5769 section 2.3)."""
        answer = binding_response(request(), ("2001:db8:1234:5678:11:2233:4455:6677", 32853))
        attribute = bytes.fromhex("002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9")
        self.assertEqual(answer, b"\x01\x01\x00\x18" + COOKIE + TRANSACTION + attribute)

    def test_optional_attributes_are_ignored(self) -> None:
        """SOFTWARE and FINGERPRINT may be there (RFC 8489 section 14); a wrong fingerprint is no STUN (section 14.7)."""
        asked = request(bytes.fromhex("8022000361626300802800040b42769e"))
        answer = binding_response(asked, ("192.0.2.1", 1))
        assert answer is not None
        self.assertEqual(answer[:2], b"\x01\x01")
        self.assertIsNone(binding_response(asked[:-1] + b"\x00", ("192.0.2.1", 1)))

    def test_unknown_attribute(self) -> None:
        """One that must be understood and is not gives 420 with its type (RFC 8489 section 6.3.1)."""
        answer = binding_response(request(bytes.fromhex("7f00000161000000")), ("192.0.2.1", 1))
        expected = bytes.fromhex("0009000400000414000a00027f000000")
        self.assertEqual(answer, b"\x01\x11\x00\x10" + COOKIE + TRANSACTION + expected)

    def test_anything_else_is_not_answered(self) -> None:
        """Answers, other methods, RFC 3489 requests and broken lengths get no answer: no loop, no amplifier."""
        for data in (
            b"",
            request()[:19],
            request() + b"\x00",
            request(kind=b"\x01\x01"),
            request(kind=b"\x00\x11"),
            request(kind=b"\x00\x03"),
            request(cookie=b"\x00\x00\x00\x00"),
            b"\x00\x01\x00\x02" + COOKIE + TRANSACTION + b"ab",
        ):
            self.assertIsNone(binding_response(data, ("192.0.2.1", 1)), data)

    def test_truncated_attribute(self) -> None:
        """A request with an attribute that claims more than there is is none, and gets no answer (RFC 8489 section 6.3)."""
        self.assertIsNone(binding_response(request(bytes.fromhex("8022ffff")), ("192.0.2.1", 1)))

    def test_of_another_use(self) -> None:
        """What belongs to ICE is not understood here, and named once however much of it there is: no amplifier."""
        answer = binding_response(
            request(bytes.fromhex("0025000000240004000000010026000000270000")), ("192.0.2.1", 1)
        )
        expected = bytes.fromhex("0009000400000414000a000200250000")
        self.assertEqual(answer, b"\x01\x11\x00\x10" + COOKIE + TRANSACTION + expected)
