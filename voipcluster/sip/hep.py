"""
HEP version 3, in which capture agents tell a collector such as Homer what passed (the protocol's specification, revision 36).

A packet is C{HEP3}, its length, and chunks: vendor (0 is for all), type, length (both lengths with what they are part of), and
a value in network byte order.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, NamedTuple

from voipcluster.address import UDP

SIP, QUALITY = (
    1,
    34,
)  # protocol types (chunk 11): a SIP message; a report about the quality of a stream as JSON
LARGEST: Final = 65_535  # octets of a packet: its length is a number of 16 bits
LARGEST_DATAGRAM: Final = 65_507  # over UDP and IPv4

_IPV4, _IPV6 = 2, 10  # address families, as Linux numbers them
_TCP, _UDP = 6, 17
_NUMBER, _OCTET = struct.Struct("!HHHI"), struct.Struct("!HHHB")
_TIMES_AND_PORTS = struct.Struct("!HHHHHHHHHHHIHHHI")
_HEAD = struct.Struct("!4sH")
_CHUNK = struct.Struct("!HHH")


class Chunk(IntEnum):
    """The types of chunks that are used here, of vendor 0."""

    FAMILY = 1
    PROTOCOL = 2
    IPV4_SOURCE = 3
    IPV4_DESTINATION = 4
    IPV6_SOURCE = 5
    IPV6_DESTINATION = 6
    SOURCE_PORT = 7
    DESTINATION_PORT = 8
    SECONDS = 9
    MICROSECONDS = 10
    PROTOCOL_TYPE = 11
    AGENT = 12
    KEY = 14
    PAYLOAD = 15
    CORRELATION = 17
    NODE = 19


class Passed(NamedTuple):
    """
    What is told of one message or report.

    @ivar source: and C{destination}: IP literal and port; C{transport} in upper case.
    @ivar at: seconds since 1970.
    @ivar kind: L{SIP} or L{QUALITY}.
    @ivar call_id: what the collector keeps together.
    """

    source: tuple[str, int]
    destination: tuple[str, int]
    transport: str
    at: float
    kind: int
    payload: bytes
    call_id: str


class HepWriter:
    """
    @param agent: which capture agent we are to the collector, 32 bits; C{node}: our name.
    @param key: what the collector knows us by, or nothing.
    @param largest: octets of one packet; a payload that is too long for it is cut.
    """

    def __init__(self, agent: int, node: str, key: bytes = b"", largest: int = LARGEST) -> None:
        self._largest = largest
        self._always = _NUMBER.pack(0, Chunk.AGENT, 10, agent) + _chunk(Chunk.NODE, node.encode("utf-8"))
        if key:
            self._always += _chunk(Chunk.KEY, key)

    def packet(self, passed: Passed) -> bytes:
        """
        @raise ValueError: an address is no IP literal.
        """
        source, destination = passed.source, passed.destination
        family, first, second = _addresses(source[0], destination[0])
        whole = int(passed.at)
        fixed = (
            family
            + _OCTET.pack(0, Chunk.PROTOCOL, 7, _UDP if passed.transport == UDP else _TCP)
            + first
            + second
            + _TIMES_AND_PORTS.pack(
                0, Chunk.SOURCE_PORT, 8, source[1],
                0, Chunk.DESTINATION_PORT, 8, destination[1],
                0, Chunk.SECONDS, 10, whole,
                0, Chunk.MICROSECONDS, 10, int((passed.at - whole) * 1e6),
            )
            + _OCTET.pack(0, Chunk.PROTOCOL_TYPE, 7, passed.kind)
            + self._always
            + _chunk(Chunk.CORRELATION, passed.call_id.encode("utf-8", "replace"))
        )  # fmt: skip
        room = self._largest - _HEAD.size - len(fixed) - _CHUNK.size
        payload = passed.payload if len(passed.payload) <= room else passed.payload[:room]
        length = _HEAD.size + len(fixed) + _CHUNK.size + len(payload)
        return b"".join(
            (
                _HEAD.pack(b"HEP3", length),
                fixed,
                _CHUNK.pack(0, Chunk.PAYLOAD, _CHUNK.size + len(payload)),
                payload,
            )
        )


def _chunk(kind: int, value: bytes) -> bytes:
    return _CHUNK.pack(0, kind, _CHUNK.size + len(value)) + value


@lru_cache(4096)
def _addresses(source: str, destination: str) -> tuple[bytes, bytes, bytes]:
    """The chunks of the family and of both addresses; an IPv6 zone is of this machine alone."""
    ours, theirs = (ip_address(host.partition("%")[0]) for host in (source, destination))
    if ours.version == theirs.version == 4:
        kinds, family = (Chunk.IPV4_SOURCE, Chunk.IPV4_DESTINATION), _IPV4
    else:
        kinds, family = (Chunk.IPV6_SOURCE, Chunk.IPV6_DESTINATION), _IPV6
    packed = [address.packed.rjust(16 if family == _IPV6 else 4, b"\0") for address in (ours, theirs)]
    return (
        _OCTET.pack(0, Chunk.FAMILY, 7, family),
        _chunk(kinds[0], packed[0]),
        _chunk(kinds[1], packed[1]),
    )
