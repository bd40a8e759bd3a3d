"""The filter that lets the kernel throw new INVITEs away."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.net.thinning import HEADER, LOOKED_AT, MOST_NUMBERS, program, thin
from voipcluster.net.udp import open_udp_socket

INVITE = (
    b"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
    b"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: call-1\r\nCSeq: 7 INVITE\r\n"
)
BODY = b"Content-Length: 40\r\n\r\n" + b"v" * 40
RANDOM = 0xFFFFF000 + 56


def passes(
    data: bytes,
    passing: float = 0.0,
    chance: float = 0.5,
    looked_at: int = LOOKED_AT,
    numbers: tuple[str, ...] = (),
) -> bool:
    """What the kernel makes of a datagram: the instructions carried out as in bpf(4)."""
    packet, code = bytes(HEADER) + data, program(passing, looked_at, numbers)
    at = accumulator = 0
    while True:
        operation, if_true, if_false, constant = code[at]
        at += 1
        if operation == 0x80:
            accumulator = len(packet)
        elif operation == 0x20 and constant == RANDOM:
            accumulator = int(chance * (1 << 32))
        elif operation in (0x20, 0x28, 0x30):
            size = {0x20: 4, 0x28: 2, 0x30: 1}[operation]
            if constant + size > len(packet):
                return False
            accumulator = int.from_bytes(packet[constant : constant + size], "big")
        elif operation == 0x15:
            at += if_true if accumulator == constant else if_false
        elif operation == 0x35:
            at += if_true if accumulator >= constant else if_false
        elif operation == 0x05:
            at += constant
        else:
            return constant > 0


class ProgramTests(SynchronousTestCase):
    def test_new_invites_pass_by_chance(self) -> None:
        self.assertFalse(passes(INVITE + BODY))
        self.assertTrue(passes(INVITE + BODY, 0.3, 0.71))
        self.assertFalse(passes(INVITE + BODY, 0.3, 0.69))
        self.assertTrue(passes(INVITE + BODY, 1.0, 0.0))

    def test_what_always_passes(self) -> None:
        """All other methods, responses, what belongs to a dialog of ours or comes from another node, and emergencies."""
        for data in (
            INVITE.replace(b"INVITE sip", b"BYE sip") + BODY,
            INVITE.replace(b"INVITE sip", b"REGISTER sip") + BODY,
            b"SIP/2.0 200 OK\r\n" + INVITE[36:] + BODY,
            b"\r\n\r\n",
            b"INVITE",
            INVITE + b"Route: <sip:192.0.2.9;lr;call=abc>\r\n" + BODY,
            INVITE + b"Route: <sip:192.0.2.9;lr;ho=abc>\r\n" + BODY,
            INVITE + b"Route: <sip:192.0.2.9;lr;flow=abc>\r\n" + BODY,
            INVITE.replace(b"sip:bob@example.com SIP", b"sip:bob@192.0.2.9;call=abc SIP") + BODY,
            INVITE.replace(b"sip:bob@example.com SIP", b"urn:service:sos SIP") + BODY,
            INVITE + b"Resource-Priority: esnet.0\r\n" + BODY,
        ):
            self.assertTrue(passes(data), data)

    def test_numbers_for_help(self) -> None:
        """Whoever dials one of them is heard, in each spelling of the scheme; no other number is, nor one in another place."""
        numbers = ("112", "911", "08001")
        for uri in (b"sip:112@a.example", b"tel:112;phone-context=+49", b"sips:911@a", b"sip:08001@b"):
            self.assertTrue(passes(INVITE.replace(b"sip:bob@example.com", uri) + BODY, numbers=numbers), uri)
            self.assertFalse(passes(INVITE.replace(b"sip:bob@example.com", uri) + BODY), uri)
        for uri in (b"sip:113@a", b"sip:bob112@a", b"sip:0800@b", b"http:112"):
            self.assertFalse(passes(INVITE.replace(b"sip:bob@example.com", uri) + BODY, numbers=numbers), uri)
        self.assertTrue(passes(INVITE + BODY, 0.3, 0.71, numbers=numbers))
        self.assertFalse(passes(INVITE + BODY, 0.3, 0.69, numbers=numbers))

    def test_it_fits(self) -> None:
        """No more instructions than the kernel takes, and no jump too far for an octet; also a shorter one works."""
        code = program(0.5, numbers=[f"{number:06}" for number in range(MOST_NUMBERS + 2)])
        self.assertLess(len(code), 4096)
        self.assertTrue(all(if_true < 256 and if_false < 256 for _, if_true, if_false, _ in code))
        self.assertTrue(passes(INVITE + b"Route: <sip:x;call=abc>\r\n" + BODY, looked_at=360))


class SocketTests(SynchronousTestCase):
    def test_a_real_socket(self) -> None:
        """The kernel takes it, and gives it up."""
        with open_udp_socket("127.0.0.1", 0) as ours, open_udp_socket("127.0.0.1", 0) as theirs:

            def arrives(data: bytes) -> bool:
                theirs.sendto(data, ours.getsockname())
                try:
                    return bool(ours.recv(2000))
                except BlockingIOError:
                    return False

            self.assertTrue(arrives(INVITE + BODY))
            self.assertTrue(thin(ours, 0.0))
            self.assertFalse(arrives(INVITE + BODY))
            self.assertTrue(arrives(INVITE + b"Route: <sip:192.0.2.9;lr;call=abc>\r\n" + BODY))
            self.assertTrue(thin(ours, 0.0, ("112",)))
            self.assertTrue(arrives(INVITE.replace(b"sip:bob", b"sip:112") + BODY))
            self.assertFalse(arrives(INVITE + BODY))
            self.assertTrue(thin(ours, 0.5))
            self.assertTrue(any(arrives(INVITE + BODY) for _ in range(200)))
            self.assertFalse(all(arrives(INVITE + BODY) for _ in range(200)))
            self.assertTrue(thin(ours, 1.0))
            self.assertTrue(all(arrives(INVITE + BODY) for _ in range(200)))
