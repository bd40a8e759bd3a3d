"""
A reading of HEP version 3 of the tests' own, made after the specification and not after L{voipcluster.sip.hep}.

Octet by octet, without a line of what it checks.
"""

from __future__ import annotations

import ipaddress
import json
from typing import Any

NAMES = {
    1: "family", 2: "protocol", 3: "source", 4: "destination", 5: "source", 6: "destination", 7: "source_port",
    8: "destination_port", 9: "seconds", 10: "microseconds", 11: "type", 12: "agent", 14: "key", 15: "payload",
    17: "correlation", 19: "node",
}  # fmt: skip
SIZES = {1: 1, 2: 1, 3: 4, 4: 4, 5: 16, 6: 16, 7: 2, 8: 2, 9: 4, 10: 4, 11: 1, 12: 4}
ADDRESSES = {3, 4, 5, 6}


class NotHep(Exception):
    """What was read is not HEP version 3."""


def number(octets: bytes) -> int:
    value = 0
    for octet in octets:
        value = value * 256 + octet
    return value


def read(packet: bytes) -> dict[str, Any]:
    """The chunks of one packet by name; addresses as text, numbers as such, the others as octets."""
    if packet[:4] != b"HEP3":
        raise NotHep("its first four octets")
    if number(packet[4:6]) != len(packet):
        raise NotHep("its length")
    found: dict[str, Any] = {}
    rest = packet[6:]
    while rest:
        vendor, kind, length = number(rest[0:2]), number(rest[2:4]), number(rest[4:6])
        if not 6 <= length <= len(rest):
            raise NotHep(f"the length of chunk {kind}")
        value, rest = rest[6:length], rest[length:]
        if vendor or kind not in NAMES:
            raise NotHep(f"chunk {vendor}/{kind}, which nobody is to send here")
        if kind in SIZES and len(value) != SIZES[kind]:
            raise NotHep(f"the size of chunk {kind}")
        if NAMES[kind] in found:
            raise NotHep(f"chunk {kind} twice")
        if kind in ADDRESSES:
            found[NAMES[kind]] = str(ipaddress.ip_address(value))
        else:
            found[NAMES[kind]] = number(value) if kind in SIZES else value
    return found


def split(stream: bytes) -> tuple[list[bytes], bytes]:
    """The whole packets of a stream, and what is left of it."""
    packets = []
    while len(stream) >= 6 and len(stream) >= number(stream[4:6]):
        if stream[:4] != b"HEP3":
            raise NotHep("what follows a packet")
        length = number(stream[4:6])
        packets.append(stream[:length])
        stream = stream[length:]
    return packets, stream


def report(found: dict[str, Any]) -> dict[str, Any]:
    """The report in a packet of type 34."""
    document = json.loads(found["payload"])
    assert isinstance(document, dict)
    return document
