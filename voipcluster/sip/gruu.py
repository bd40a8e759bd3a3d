"""
Globally routable user agent URIs: one phone of an address of record, reachable from anywhere (RFC 5627).

A public GRUU names the instance: C{sip:alice@example.com;gr=urn:uuid:...}. A temporary one hides who it is:
C{sip:tgruu.TOKEN@example.com;gr}. Any node of the cluster can make and read both, so nothing is kept: the token is concealed
and says whose it is, and it is good while the instance is registered with the Call-ID that it was given for.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final
from urllib.parse import quote as escaped
from urllib.parse import unquote as unescaped

from attrs import frozen

from voipcluster.errors import PeerError
from voipcluster.seal import Concealer
from voipcluster.sip.location import Binding
from voipcluster.sip.uri import SipUri
from voipcluster.sip.values import quote

PREFIX: Final = "tgruu."
_HEAD = struct.Struct("!Q6s6s")  # milliseconds since 1970, instance, Call-ID
_IN_PARAMETER = (
    "-_.!~*'()[]/:&+$"  # characters of a URI parameter that need no escape (RFC 3261 section 25.1)
)


@frozen
class Gruu:
    """
    What a GRUU says.

    @ivar aor: the address of record, C{user@domain}.
    @ivar instance: of a public one: C{+sip.instance} without the angle brackets, or L{None}.
    @ivar issued: of a temporary one: when it was given out, in unix seconds.
    """

    aor: str
    instance: str | None = None
    issued: float = 0.0
    _instance_hash: bytes = b""
    _call_id_hash: bytes = b""

    def leads_to(self, binding: Binding) -> bool:
        """Whether it is a GRUU of this binding, as it is registered now."""
        if self.instance is not None:
            return _bare(binding.instance).lower() == self.instance.lower()
        return (_hash(binding.instance), _hash(binding.call_id)) == (self._instance_hash, self._call_id_hash)


class Gruus:
    """Makes and reads the GRUUs of a cluster."""

    def __init__(self, cluster_key: bytes) -> None:
        self._concealer = Concealer(cluster_key, b"gruu")

    def params(self, binding: Binding, now: float) -> str:
        """
        The Contact parameters that tell a phone its GRUUs; each REGISTER brings another temporary one (section 5.3).

        @param now: unix seconds.
        """
        return f";pub-gruu={quote(public_gruu(binding))};temp-gruu={quote(self.temporary(binding, now))}"

    def temporary(self, binding: Binding, now: float) -> str:
        user, _, domain = binding.aor.rpartition("@")
        head = _HEAD.pack(int(now * 1000), _hash(binding.instance), _hash(binding.call_id))
        token = self._concealer.seal(head + user.encode("utf-8", "surrogateescape"))
        return f"sip:{PREFIX}{token}@{domain};gr"

    def read(self, uri: SipUri, aor: str) -> Gruu:
        """
        @param uri: with a C{gr} parameter. C{aor}: the address of record that its user and host would be.
        @raise PeerError: 404, it is none of ours (section 5.4).
        """
        instance = uri.param("gr")
        if instance:
            return Gruu(aor, unescaped(instance, errors="surrogateescape"))
        user, _, domain = aor.rpartition("@")
        if not user.startswith(PREFIX):
            raise PeerError("neither a public nor a temporary GRUU", 404)
        try:
            payload = self._concealer.open(user[len(PREFIX) :])
            milliseconds, instance_hash, call_id_hash = _HEAD.unpack_from(payload)
        except (PeerError, struct.error):
            raise PeerError("not a GRUU of ours", 404) from None
        owner = payload[_HEAD.size :].decode("utf-8", "surrogateescape")
        return Gruu(f"{owner}@{domain}", None, milliseconds / 1000, instance_hash, call_id_hash)


def public_gruu(binding: Binding) -> str:
    """The same for as long as the instance and the address of record are (section 3.1.1)."""
    name = escaped(_bare(binding.instance), safe=_IN_PARAMETER, encoding="utf-8", errors="surrogateescape")
    return f"sip:{binding.aor};gr={name}"


def _bare(instance: str) -> str:
    return instance.removeprefix("<").removesuffix(">")


def _hash(text: str) -> bytes:
    return hashlib.blake2s(text.encode("utf-8", "surrogateescape"), digest_size=6).digest()
