"""
Sealed tokens: a few bytes that only this cluster can make, as text that fits into a SIP URI parameter.

A token is base64url without padding of C{payload + BLAKE2s-128(key of the purpose, payload)} (RFC 7693 section 2.9). It is
signed, not secret. BLAKE2s with a key is a MAC by itself, at a fifth of the price of HMAC-SHA256; each call needs one.
L{Concealer} makes secret ones: the MAC is also what the key stream is made from (the construction of RFC 5297, SIV).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from voipcluster.errors import PeerError

MAC_SIZE = 16  # octets: more than the 80 bits that RFC 5626 section 5.2 suggests for flow tokens

_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _encode(sealed: bytes) -> str:
    # as base64.urlsafe_b64encode() does it, without its calls: each call needs one
    return binascii.b2a_base64(sealed, newline=False).translate(_URL_SAFE).rstrip(b"=").decode()


def _decode(token: str) -> bytes:
    """@raise PeerError: no base64url."""
    try:
        if not token.isascii():
            raise ValueError(token)
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        if _encode(sealed) != token:  # one token, one text: the unused bits of the last character count too
            raise ValueError(token)
    except (ValueError, binascii.Error):
        raise PeerError("not a token of this cluster", 403) from None
    return sealed


class Sealer:
    """
    Seals and opens tokens of one purpose; a token of one purpose never opens as another.

    @param cluster_key: at least 32 random octets that every node of the cluster holds.
    @param purpose: a word, for instance C{b"flow"}.
    """

    def __init__(self, cluster_key: bytes, purpose: bytes) -> None:
        assert len(cluster_key) >= 32, "the cluster key is 32 random octets"
        key = hmac.digest(cluster_key, b"voipcluster " + purpose, "sha256")
        self._keyed = hashlib.blake2s(key=key, digest_size=MAC_SIZE)  # a copy costs less than a new one

    def _sign(self, payload: bytes) -> bytes:
        mac = self._keyed.copy()
        mac.update(payload)
        return mac.digest()

    def seal(self, payload: bytes, bound: bytes = b"") -> str:
        """
        @param bound: what the token is good for only, without being in it. All payloads of one purpose are of one size then:
            it is what tells where the one ends and the other begins.
        """
        return _encode(payload + self._sign(payload + bound))

    def open(self, token: str, bound: bytes = b"") -> bytes:
        """
        @raise PeerError: not a token of this cluster and purpose, or bound to something else; C{status_hint} is 403 (RFC 5626
            section 5.3.1).
        """
        sealed = _decode(token)
        payload, mac = sealed[:-MAC_SIZE], sealed[-MAC_SIZE:]
        if len(mac) != MAC_SIZE or not hmac.compare_digest(mac, self._sign(payload + bound)):
            raise PeerError("not a token of this cluster", 403)
        return payload


class Concealer:
    """
    Seals tokens that nobody else can read either. One payload always gives the same token: put a time or a number into it.

    @param cluster_key: and C{purpose}: as of L{Sealer}.
    """

    def __init__(self, cluster_key: bytes, purpose: bytes) -> None:
        assert len(cluster_key) >= 32, "the cluster key is 32 random octets"
        self._mac_key = hmac.digest(cluster_key, b"voipcluster mac " + purpose, "sha256")
        self._stream_key = hmac.digest(cluster_key, b"voipcluster stream " + purpose, "sha256")

    def _mac(self, payload: bytes) -> bytes:
        return hashlib.blake2s(payload, key=self._mac_key, digest_size=MAC_SIZE).digest()

    def _masked(self, data: bytes, mac: bytes) -> bytes:
        stream = b""
        for block in range(-(-len(data) // 64)):
            stream += hashlib.blake2b(mac + block.to_bytes(2, "big"), key=self._stream_key).digest()
        return bytes(a ^ b for a, b in zip(data, stream, strict=False))

    def seal(self, payload: bytes) -> str:
        mac = self._mac(payload)
        return _encode(mac + self._masked(payload, mac))

    def open(self, token: str) -> bytes:
        """@raise PeerError: not a token of this cluster and purpose; C{status_hint} is 403."""
        sealed = _decode(token)
        mac, masked = sealed[:MAC_SIZE], sealed[MAC_SIZE:]
        payload = self._masked(masked, mac)
        if len(mac) != MAC_SIZE or not hmac.compare_digest(mac, self._mac(payload)):
            raise PeerError("not a token of this cluster", 403)
        return payload
