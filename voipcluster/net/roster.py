"""
The roster: who the members of the cluster are, signed with the CA's key by the primary.

Any member may pass it on, and nobody but the primary can change it. The one with the higher generation is the newer one.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from attrs import evolve, frozen
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from voipcluster.errors import PeerError
from voipcluster.net.certificates import Certified

MAX_MEMBERS = 256


@frozen
class Member:
    """
    One node: C{role} is C{primary} or C{secondary}, C{address} and C{port} are those of its cluster link, C{key} the SHA-256 of
    its public key in hex.
    """

    name: str
    role: str
    address: str
    port: int
    key: str


@frozen
class Roster:
    """@ivar members: in the order of joining."""

    cluster: str
    generation: int
    members: tuple[Member, ...]

    def get(self, name: str) -> Member | None:
        return next((member for member in self.members if member.name == name), None)

    def with_member(self, member: Member) -> Roster:
        """Add a member, or put it in the place of the one with its name."""
        if self.get(member.name) is None:
            members = (*self.members, member)
        else:
            members = tuple(member if old.name == member.name else old for old in self.members)
        return evolve(self, generation=self.generation + 1, members=members)

    def without(self, name: str) -> Roster:
        members = tuple(member for member in self.members if member.name != name)
        return evolve(self, generation=self.generation + 1, members=members)

    def check(self, peer: Certified) -> Member:
        """@raise PeerError: the certificate is right, but it is not the one of a member."""
        member = self.get(peer.name)
        if member is None:
            raise PeerError(f"node {peer.name!r} is not a member of this cluster", 403)
        if member.key != peer.key:
            raise PeerError(f"node {peer.name!r} has joined anew; this certificate is its old one", 403)
        if member.role != peer.role:
            raise PeerError(f"node {peer.name!r} is {member.role}, its certificate says {peer.role}", 403)
        return member


def _text(roster: Roster) -> str:
    members = [
        {"name": one.name, "role": one.role, "address": one.address, "port": one.port, "key": one.key}
        for one in roster.members
    ]
    return json.dumps(
        {"format": 1, "cluster": roster.cluster, "generation": roster.generation, "members": members},
        sort_keys=True,
    )


def sign(roster: Roster, ca_key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """@return: C{roster}, JSON text, and C{signature}, ECDSA with SHA-256 over that text in base64."""
    text = _text(roster)
    signature = ca_key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
    return {"roster": text, "signature": base64.b64encode(signature).decode("ascii")}


def verify(signed: object, ca: x509.Certificate) -> Roster:
    """
    Read a signed roster.

    @raise PeerError: its signature or its form is wrong.
    """
    try:
        if not isinstance(signed, dict):
            raise ValueError("no object")
        text, signature = signed["roster"], signed["signature"]
        public_key = ca.public_key()
        assert isinstance(public_key, ec.EllipticCurvePublicKey), "our CAs are of P-256"
        public_key.verify(
            base64.b64decode(signature, validate=True), text.encode(), ec.ECDSA(hashes.SHA256())
        )
        return _read(json.loads(text))
    except InvalidSignature:
        raise PeerError("the signature of the roster is wrong", 403) from None
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, binascii.Error) as error:
        raise PeerError(f"not a signed roster: {error!r}") from None


def _read(value: Any) -> Roster:
    """Fields that a newer version added are ignored."""
    members = tuple(
        Member(
            _of(str, one["name"]),
            _of(str, one["role"]),
            _of(str, one["address"]),
            _of(int, one["port"]),
            _of(str, one["key"]),
        )
        for one in value["members"][: MAX_MEMBERS + 1]
    )
    if len(members) > MAX_MEMBERS:
        raise ValueError(f"more than {MAX_MEMBERS} members")
    return Roster(_of(str, value["cluster"]), _of(int, value["generation"]), members)


def _of(kind: type[Any], value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{kind.__name__} is wanted")
    return value
