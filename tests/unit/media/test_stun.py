"""STUN messages against the vectors of RFC 5769, and what is cut, forged or no STUN at all."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError
from voipcluster.media.stun import (
    BINDING_ERROR,
    BINDING_REQUEST,
    BINDING_SUCCESS,
    ERROR_CODE,
    MESSAGE_INTEGRITY,
    PRIORITY,
    UNKNOWN_ATTRIBUTES,
    USE_CANDIDATE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    binding_request,
    failure,
    read_stun,
    success,
)

PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
REQUEST = bytes.fromhex(  # RFC 5769 section 2.1
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
RESPONSE = bytes.fromhex(  # section 2.2
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)


class VectorTests(SynchronousTestCase):
    def test_request(self) -> None:
        """The sample request has its user, its priority, and integrity by its password alone (RFC 5769 section 2.1)."""
        message = read_stun(REQUEST)
        self.assertEqual((message.kind, message.transaction), (BINDING_REQUEST, TRANSACTION))
        self.assertEqual(message.attributes[USERNAME], b"evtj:h6vY")
        self.assertEqual(message.attributes[PRIORITY], bytes.fromhex("6e0001ff"))
        self.assertTrue(message.made_with(PASSWORD))
        self.assertFalse(message.made_with(PASSWORD + b"x"))
        self.assertEqual(message.unknown(), [])

    def test_response(self) -> None:
        """The sample response verifies, and ours shows the same address (RFC 5769 section 2.2)."""
        sample = read_stun(RESPONSE)
        self.assertTrue(sample.made_with(PASSWORD))
        ours = read_stun(success(TRANSACTION, "192.0.2.1", 32853, PASSWORD))
        self.assertEqual(ours.kind, BINDING_SUCCESS)
        self.assertEqual(ours.attributes[XOR_MAPPED_ADDRESS], sample.attributes[XOR_MAPPED_ADDRESS])
        self.assertTrue(ours.made_with(PASSWORD))

    def test_response_over_ipv6(self) -> None:
        """An IPv6 address is masked with the transaction too (RFC 5769 section 2.3)."""
        ours = read_stun(success(TRANSACTION, "2001:db8:1234:5678:11:2233:4455:6677", 32853, PASSWORD))
        expected = bytes.fromhex("0002a1470113a9faa5d3f179bc25f4b5bed2b9d9")
        self.assertEqual(ours.attributes[XOR_MAPPED_ADDRESS], expected)

    def test_failures(self) -> None:
        """Class and number of an error; integrity only with a password; what was not understood (RFC 8489 section 14.8)."""
        refused = read_stun(failure(TRANSACTION, 401, None))
        self.assertEqual((refused.kind, refused.attributes[ERROR_CODE]), (BINDING_ERROR, b"\0\0\4\1"))
        self.assertNotIn(MESSAGE_INTEGRITY, refused.attributes)
        unknown = read_stun(failure(TRANSACTION, 420, PASSWORD, [0x7FFF, 0x001C, 2]))
        self.assertEqual(unknown.attributes[ERROR_CODE], b"\0\0\4\x14")
        self.assertEqual(unknown.attributes[UNKNOWN_ATTRIBUTES], b"\x7f\xff\0\x1c\0\x02")
        self.assertTrue(unknown.made_with(PASSWORD))

    def test_no_answer_outgrows_its_question(self) -> None:
        """A refused request of minimum size gets no more octets back than it had (attack S18 over media ports)."""
        smallest = binding_request(TRANSACTION, [(USERNAME, b"abcd:efgh")], b"wrong")
        self.assertLessEqual(len(failure(TRANSACTION, 401, None)), len(smallest))


class HostileTests(SynchronousTestCase):
    def test_what_counts_is_protected(self) -> None:
        """An attribute behind the integrity is ignored, as anybody may have put it there (RFC 8489 section 14.5)."""
        signed = binding_request(TRANSACTION, [(USERNAME, b"a:b")], PASSWORD)[:-8]
        forged = signed + bytes.fromhex("00250000")
        forged = forged[:2] + (len(forged) - 20).to_bytes(2, "big") + forged[4:]
        message = read_stun(forged)
        self.assertTrue(message.made_with(PASSWORD))
        self.assertNotIn(USE_CANDIDATE, message.attributes)

    def test_changed_octets(self) -> None:
        """No octet in front of the fingerprint can be changed unnoticed."""
        for at in range(len(REQUEST) - 8):
            changed = bytearray(REQUEST)
            changed[at] ^= 1
            try:
                message = read_stun(bytes(changed))
            except ParseError:
                continue
            self.assertFalse(message.made_with(PASSWORD), at)

    def test_cut_and_random(self) -> None:
        """Anything else is refused in one way, whatever its lengths say."""
        random = Random(7)
        for size in range(len(REQUEST)):
            self.assertRaises(ParseError, read_stun, REQUEST[:size])
        for _ in range(3000):
            body = random.randbytes(4 * random.randrange(20))
            wire = b"\0\1" + len(body).to_bytes(2, "big") + REQUEST[4:20] + body
            try:
                message = read_stun(wire)
            except ParseError:
                continue
            self.assertFalse(message.made_with(PASSWORD))

    def test_many_attributes(self) -> None:
        """More attributes than any agent has are refused."""
        many = binding_request(TRANSACTION, [(0x8000, b"")] * 40, PASSWORD)
        self.assertRaises(ParseError, read_stun, many)
