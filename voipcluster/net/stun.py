"""STUN Binding on the SIP port: how a client behind a NAT keeps its UDP flow alive (RFC 5626 section 8, RFC 8489)."""

from __future__ import annotations

from voipcluster.errors import ParseError
from voipcluster.media.stun import (
    BINDING_REQUEST,
    MESSAGE_INTEGRITY,
    USERNAME,
    failure,
    read_stun,
    success,
)

_UNDERSTOOD = frozenset({USERNAME, MESSAGE_INTEGRITY})  # not asked for, harmless when sent


def binding_response(request: bytes, source: tuple[str, int]) -> bytes | None:
    """
    What answers a Binding request that came from C{source}; L{None} for anything else.

    The answer never holds more than 48 octets, so a forged source gains little.
    """
    try:
        message = read_stun(request)
    except ParseError:
        return None
    if message.kind != BINDING_REQUEST:
        return None
    unknown = message.unknown(_UNDERSTOOD)
    if unknown:
        # RFC 8489 section 6.3.1: 420 with one of those that we do not know
        return failure(message.transaction, 420, None, unknown[:1], fingerprint=False)
    host, port = source
    return success(message.transaction, host.partition("%")[0], port, None, fingerprint=False)
