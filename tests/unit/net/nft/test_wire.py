"""Octets of nfnetlink, against what the kernel's headers say and what a kernel sent."""

from __future__ import annotations

import struct
import sys

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError
from voipcluster.net.nft import wire

# What Linux 6.18 said of one element of a map of streams when it was deleted, on a machine of little endian.
ELEMENT = bytes.fromhex(
    "01000007"  # nfnetlink: inet, version 0, generation
    "0c0001007663" "5f7465737400" "0c00020073747265616d3400"
    "7c000300" "78000100"
    "18000100" "14000100" "7f000001" "10000000" "7f000002" "20000000"
    "0c000200" "08000100" "01000352"
    "2c000700" "0c000100636f756e74657200" "1c000200" "0c00010000000000000002bc" "0c0002000000000000000007"
    "0c000400000000000001d4c0" "0c000500000000000001d4b8"
    "0b0006000005" "63616c6c0000"
)  # fmt: skip


class WritingTests(SynchronousTestCase):
    def test_attribute(self) -> None:
        """Length and type in front, zeros up to four octets behind (netlink(7))."""
        self.assertEqual(wire.attribute(1, b"abcde"), struct.pack("=HH", 9, 1) + b"abcde\0\0\0")
        self.assertEqual(wire.nested(3, b""), struct.pack("=HH", 4, 0x8003))
        self.assertEqual(wire.text(1, "abc"), struct.pack("=HH", 8, 1) + b"abc\0")

    def test_batch(self) -> None:
        """A transaction lies between two marks, which name the subsystem, and maybe the generation."""
        inner = wire.message(wire.NEW_TABLE, wire.ACK, 7, wire.table("t"))
        self.assertEqual(struct.unpack_from("=IHHII", inner), (28, 0xA00, 5, 7, 0))
        self.assertEqual(inner[16:], b"\x01\0\0\0" + wire.text(1, "t"))
        octets = wire.batch([inner], generation=5)
        begin, end = octets[:28], octets[28 + 28 :]
        self.assertEqual(struct.unpack_from("=IHHII", begin), (28, 0x10, 1, 0, 0))
        self.assertEqual(begin[16:], b"\0\0\0\x0a" + wire.attribute(1, b"\0\0\0\x05"))
        self.assertEqual(struct.unpack("=IHHII", end[:16]), (20, 0x11, 1, 0, 0))
        self.assertEqual(octets[28:56], inner)

    def test_element(self) -> None:
        """What is written is what is read."""
        body = wire.elements(
            "t",
            "m",
            wire.element(b"k1", b"v1", timeout=1.5, note="call", counted=(3, 400)),
            wire.element(b"k2"),
        )
        first, second = wire.read_elements(body)
        self.assertEqual(first, wire.MapElement(b"k1", b"v1", 3, 400, "call", None))
        self.assertEqual(second, wire.MapElement(b"k2", b""))
        member = wire.attributes(wire.attributes(body)[3])[1]
        self.assertEqual(wire.attributes(member), {1: wire.attribute(1, b"k2")})

    def test_timeout_is_in_milliseconds(self) -> None:
        """C{NFTA_SET_ELEM_TIMEOUT} is a number of 64 bits."""
        member = wire.attributes(wire.element(b"k", timeout=1.5))[1]
        self.assertEqual(wire.attributes(member)[4], (1500).to_bytes(8, "big"))


class ReadingTests(SynchronousTestCase):
    def test_what_a_kernel_sent(self) -> None:
        """Key, mark, counter, time left and comment."""
        (element,) = wire.read_elements(ELEMENT[4:])
        self.assertEqual(element.key, bytes.fromhex("7f000001100000007f00000220000000"))
        self.assertEqual(element.value, bytes.fromhex("01000352"))
        self.assertEqual((element.packets, element.octets, element.comment), (7, 700, "call"))
        self.assertEqual(element.expires, 119.992)

    test_what_a_kernel_sent.skip = (
        None if sys.byteorder == "little" else "the sample has little-endian headers"
    )

    def test_messages(self) -> None:
        """Messages in one read are told apart, those of netlink itself from those of nf_tables."""
        octets = wire.message(wire.NEW_ELEMENT, wire.INTERRUPTED, 4, b"body")
        octets += struct.pack("=IHHII", 36, wire.NLMSG_ERROR, 0, 5, 0) + struct.pack("=i", -2) + bytes(16)
        element, error = wire.messages(octets)
        self.assertEqual((element.kind, element.body, element.is_control), (wire.NEW_ELEMENT, b"body", False))
        self.assertTrue(element.flags & wire.INTERRUPTED)
        self.assertEqual((error.kind, error.sequence, wire.error_of(error)), (wire.NLMSG_ERROR, 5, 2))

    def test_cut(self) -> None:
        """Lengths that do not fit are an error, wherever it is cut."""
        whole = wire.message(wire.NEW_ELEMENT, 0, 4, ELEMENT[4:])
        for size in range(1, len(whole)):
            with self.assertRaises(ParseError):
                list(wire.messages(whole[:size]))
        with self.assertRaises(ParseError):
            wire.attributes(struct.pack("=HH", 3, 1))
        with self.assertRaises(ParseError):
            wire.attributes(struct.pack("=HH", 9, 1) + b"abcd")
        with self.assertRaises(ParseError):
            wire.error_of(wire.Message(wire.NLMSG_ERROR, 0, 1, b"\0", True))

    def test_comments(self) -> None:
        """The comment is found behind other user data, and nothing is read beyond the end."""
        self.assertEqual(wire.read_comment(wire.comment("abc")), "abc")
        self.assertEqual(wire.read_comment(b"\x01\x02xx" + wire.comment("abc")), "abc")
        for octets in (b"", b"\0", b"\x01\x09x"):
            self.assertEqual(wire.read_comment(octets), "")
