"""STUN Binding on the SIP port: how a client behind a NAT keeps its UDP flow alive (RFC 5626 section 8, RFC 8489)."""

from __future__ import annotations

import struct
from ipaddress import ip_address

_COOKIE = 0x2112A442
_BINDING_REQUEST, _BINDING_SUCCESS, _BINDING_ERROR = 0x0001, 0x0101, 0x0111
_ERROR_CODE, _UNKNOWN_ATTRIBUTES, _XOR_MAPPED_ADDRESS = 0x0009, 0x000A, 0x0020
_UNDERSTOOD = frozenset({0x0006, 0x0008})  # USERNAME and MESSAGE-INTEGRITY: not asked for, harmless when sent
_HEADER = struct.Struct(">HHI12s")


def binding_response(request: bytes, source: tuple[str, int]) -> bytes | None:
    """
    What answers a Binding request that came from C{source}; L{None} for anything else.

    The answer never holds more than 48 octets, so a forged source gains little.
    """
    if len(request) < _HEADER.size:
        return None
    kind, length, cookie, transaction = _HEADER.unpack_from(request)
    if kind != _BINDING_REQUEST or cookie != _COOKIE or length % 4 or length + _HEADER.size != len(request):
        return None
    unknown = _unknown_attribute(request)
    if unknown is not None:
        # RFC 8489 section 6.3.1: 420 with one of those that we do not know
        body = struct.pack(">HHHBB", _ERROR_CODE, 4, 0, 4, 20)
        body += struct.pack(">HHHH", _UNKNOWN_ATTRIBUTES, 2, unknown, 0)
        return _HEADER.pack(_BINDING_ERROR, len(body), _COOKIE, transaction) + body
    host, port = source
    address = ip_address(host.partition("%")[0]).packed
    mask = struct.pack(">I12s", _COOKIE, transaction)
    masked = bytes(a ^ b for a, b in zip(address, mask, strict=False))
    family = 1 if len(address) == 4 else 2
    body = (
        struct.pack(">HHBBH", _XOR_MAPPED_ADDRESS, 4 + len(masked), 0, family, port ^ (_COOKIE >> 16))
        + masked
    )
    return _HEADER.pack(_BINDING_SUCCESS, len(body), _COOKIE, transaction) + body


def _unknown_attribute(request: bytes) -> int | None:
    """The first attribute that must be understood and is not; a truncated list ends the search."""
    offset = _HEADER.size
    while offset + 4 <= len(request):
        kind, length = struct.unpack_from(">HH", request, offset)
        if kind < 0x8000 and kind not in _UNDERSTOOD:
            return int(kind)
        offset += 4 + (length + 3) // 4 * 4
    return None
