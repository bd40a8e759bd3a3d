"""
STUN messages as an agent that only answers needs them: binding requests, for ICE with a short-term credential, and what is said
to them (RFC 8489, RFC 8445 section 7.3).
"""

from __future__ import annotations

import hmac
import struct
import zlib
from collections.abc import Container, Sequence
from hashlib import sha1
from ipaddress import ip_address
from typing import NamedTuple

from voipcluster.errors import ParseError
from voipcluster.media.rtp import STUN_HEADER_SIZE

COOKIE = b"\x21\x12\xa4\x42"
BINDING_REQUEST, BINDING_SUCCESS, BINDING_ERROR = 0x0001, 0x0101, 0x0111

USERNAME, MESSAGE_INTEGRITY, ERROR_CODE, UNKNOWN_ATTRIBUTES = 0x0006, 0x0008, 0x0009, 0x000A
XOR_MAPPED_ADDRESS, PRIORITY, USE_CANDIDATE = 0x0020, 0x0024, 0x0025
FINGERPRINT, ICE_CONTROLLED = 0x8028, 0x8029
OPTIONAL = 0x8000  # types from here on may be ignored (RFC 8489 section 14)

MAX_ATTRIBUTES = 32
_INTEGRITY_SIZE = 20  # octets of HMAC-SHA1
_FINGERPRINT_XOR = 0x5354554E
_UNDERSTOOD = frozenset({USERNAME, MESSAGE_INTEGRITY, PRIORITY, USE_CANDIDATE})
_BEHIND_INTEGRITY = {FINGERPRINT}  # anything else there is not protected, hence ignored (section 14.5)


class StunMessage(NamedTuple):
    """
    One message; of a type that comes twice the first one counts (RFC 8489 section 14).

    @ivar kind: method and class as they are on the wire.
    @ivar transaction: 12 octets.
    @ivar attributes: values by type, in order.
    @ivar protected: what C{MESSAGE-INTEGRITY} is made of; empty when it is not there.
    """

    kind: int
    transaction: bytes
    attributes: dict[int, bytes]
    protected: bytes

    def unknown(self, understood: Container[int] = _UNDERSTOOD) -> list[int]:
        """Types that must be understood and are not; without an argument, of an ICE agent."""
        return [kind for kind in self.attributes if kind < OPTIONAL and kind not in understood]

    def made_with(self, password: bytes) -> bool:
        """Whether its integrity was made with that password (section 14.5)."""
        value = self.attributes.get(MESSAGE_INTEGRITY, b"")
        return bool(self.protected) and hmac.compare_digest(value, _integrity(password, self.protected))


def read_stun(datagram: bytes) -> StunMessage:
    """
    Read one message of RFC 5389 and later; a wrong fingerprint makes it none (RFC 8489 section 14.7).

    @raise ParseError: it is none.
    """
    size = len(datagram)
    if size < STUN_HEADER_SIZE or datagram[0] & 0xC0 or datagram[4:8] != COOKIE:
        raise ParseError("no STUN message")
    kind, length = struct.unpack_from("!HH", datagram)
    if length % 4 or STUN_HEADER_SIZE + length != size:
        raise ParseError(f"STUN length {length} does not fit {size} octets")
    attributes: dict[int, bytes] = {}
    protected, at = b"", STUN_HEADER_SIZE
    for _ in range(MAX_ATTRIBUTES):
        if at == size:
            break
        name, length = struct.unpack_from("!HH", datagram, at)
        value = datagram[at + 4 : at + 4 + length]
        end = at + 4 + (length + 3 & ~3)
        if end > size:
            raise ParseError("a STUN attribute is cut")
        if name == FINGERPRINT:
            if end != size or value != _fingerprint(datagram[:at]):
                raise ParseError("the STUN fingerprint is wrong")
        elif name == MESSAGE_INTEGRITY and not protected:
            if length != _INTEGRITY_SIZE:
                raise ParseError(f"STUN integrity of {length} octets")
            protected = _sized(datagram[:at], 4 + _INTEGRITY_SIZE)
        if not protected or name in _BEHIND_INTEGRITY or name == MESSAGE_INTEGRITY:
            attributes.setdefault(name, value)
        at = end
    else:
        if at != size:
            raise ParseError(f"STUN message with more than {MAX_ATTRIBUTES} attributes")
    return StunMessage(kind, datagram[8:STUN_HEADER_SIZE], attributes, protected)


def success(
    transaction: bytes, host: str, port: int, password: bytes | None, fingerprint: bool = True
) -> bytes:
    """
    The answer to a binding request: where it came from (RFC 8489 section 14.2).

    @param password: L{None} where none is used; C{fingerprint}: for where other protocols share the port, and the asker cannot
        tell them apart otherwise.
    """
    packed = ip_address(host).packed
    mask = COOKIE + transaction
    value = struct.pack("!BBH", 0, 1 if len(packed) == 4 else 2, port ^ 0x2112)
    value += bytes(a ^ b for a, b in zip(packed, mask, strict=False))
    return _message(BINDING_SUCCESS, transaction, [(XOR_MAPPED_ADDRESS, value)], password, fingerprint)


def failure(
    transaction: bytes,
    code: int,
    password: bytes | None,
    unknown: Sequence[int] = (),
    fingerprint: bool = True,
) -> bytes:
    """
    The refusal of a request.

    @param code: 300 to 699. The text is left out: nobody shows it, and a refusal should not outgrow its request.
    @param password: L{None} when the request proved none.
    """
    attributes = [(ERROR_CODE, struct.pack("!HBB", 0, code // 100, code % 100))]
    if unknown:
        attributes.append((UNKNOWN_ATTRIBUTES, struct.pack(f"!{len(unknown)}H", *unknown)))
    return _message(BINDING_ERROR, transaction, attributes, password, fingerprint)


def binding_request(transaction: bytes, attributes: Sequence[tuple[int, bytes]], password: bytes) -> bytes:
    """A check of the other side; the relay sends none."""
    return _message(BINDING_REQUEST, transaction, attributes, password)


def _message(
    kind: int,
    transaction: bytes,
    attributes: Sequence[tuple[int, bytes]],
    password: bytes | None,
    fingerprint: bool = True,
) -> bytes:
    wire = struct.pack("!HH", kind, 0) + COOKIE + transaction
    for name, value in attributes:
        wire += struct.pack("!HH", name, len(value)) + value + bytes(-len(value) % 4)
    if password is not None:
        wire = _sized(wire, 4 + _INTEGRITY_SIZE)
        wire += struct.pack("!HH", MESSAGE_INTEGRITY, _INTEGRITY_SIZE) + _integrity(password, wire)
    if not fingerprint:
        return _sized(wire, 0)
    wire = _sized(wire, 8)
    return wire + struct.pack("!HH", FINGERPRINT, 4) + _fingerprint(wire)


def _sized(wire: bytes, more: int) -> bytes:
    """The message with the length it has with so many octets behind it (RFC 8489 sections 14.5 and 14.7)."""
    return wire[:2] + struct.pack("!H", len(wire) - STUN_HEADER_SIZE + more) + wire[4:]


def _integrity(password: bytes, wire: bytes) -> bytes:
    return hmac.new(password, wire, sha1).digest()


def _fingerprint(wire: bytes) -> bytes:
    return struct.pack("!I", zlib.crc32(_sized(wire, 8)) ^ _FINGERPRINT_XOR)
