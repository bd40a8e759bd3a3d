"""How a node comes to be a member: founding a cluster, joining one, starting again as a member, and letting others in."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.logger import Logger

from voipcluster import __version__
from voipcluster.address import is_ip, join_host_port
from voipcluster.balance.protocol import Spoken, spoken
from voipcluster.errors import PeerError, UsageError
from voipcluster.net import certificates, roster
from voipcluster.net.certificates import Identity
from voipcluster.net.join import LINK_PORT, JoinToken, join, parse_token
from voipcluster.net.roster import Member, Roster
from voipcluster.services.cluster.agreement import ANY, Agreement
from voipcluster.store.state import PRIMARY, SECONDARY, NodeState, open_state
from voipcluster.store.tokens import JoinTokens

_log = Logger()
CLUSTER_KEY_SIZE = 32  # octets


def open_member(
    directory: Path,
    role: str,
    name: str,
    address: str,
    port: int = LINK_PORT,
    token: str | None = None,
    settings: dict[str, str] | None = None,
) -> NodeState:
    """
    Open the state directory of a node, which is a member of a cluster afterwards. Blocks while it joins.

    @param role: may be empty for a directory that has been used before; so may C{name}, that of the node.
    @param address: and C{port}: of its cluster link.
    @param token: C{TOKEN@ADDRESS} to join with; it is left alone when the node is a member already.
    @param settings: told to the primary when it joins (L{voipcluster.services.cluster.agreement}).
    @raise UsageError: one line that says why it cannot start; the directory is unlocked again.
    """
    state = open_state(directory)
    try:
        if state.is_member:
            state.check_role(role or state.role, name)
            identity = load_identity(state)
            if token is not None and parse_token(token).fingerprint != certificates.fingerprint(identity.ca):
                raise UsageError(
                    f"{directory} belongs to another cluster than the one that the token of --join names"
                )
            if token is not None:
                _log.info(
                    "node {name} is a member already, by {directory}; --join is left alone. If the cluster has forgotten it "
                    "(voipctl forget), it joins again with an empty state directory",
                    name=state.name, directory=str(directory),
                )  # fmt: skip
        elif not role:
            raise UsageError(
                f"{directory} is not the state of a member yet: --role (node.role) is needed, primary to found a cluster, "
                "secondary to join one"
            )
        elif role == PRIMARY:
            if token is not None:
                raise UsageError("a primary founds its own cluster: --join is for --role secondary")
            found(state, name, address, port, time.time())
        elif token is None:
            raise UsageError(
                f"{directory} is not the state of a member yet: a secondary needs --join TOKEN@ADDRESS (node.join)"
            )
        else:
            join(state, token, name, role, address, port, settings)
        state.next_epoch(time.time())
    except BaseException:
        state.close()
        raise
    return state


def found(state: NodeState, name: str, address: str, port: int, now: float) -> None:
    """Found a cluster with this node as its primary."""
    certificates.check_name(name)
    cluster, key = secrets.token_hex(8), certificates.new_key()
    ca, ca_key = certificates.create_ca(cluster, now)
    certificate = certificates.issue(ca, ca_key, key.public_key(), (cluster, name, PRIMARY), now)
    own = Member(name, PRIMARY, address, port, certificates.key_digest(key.public_key()))
    files = {
        "ca.key": certificates.key_to_pem(ca_key),
        "ca.pem": certificates.certificate_to_pem(ca),
        "node.pem": certificates.certificate_to_pem(certificate),
        "node.key": certificates.key_to_pem(key),
        "cluster.key": secrets.token_bytes(CLUSTER_KEY_SIZE),
    }
    state.enter(cluster, name, PRIMARY, roster.sign(Roster(cluster, 1, (own,)), ca_key), files)


def load_identity(state: NodeState) -> Identity:
    """@raise UsageError: key material is missing or damaged; the text names the file."""
    loaded: dict[str, Any] = {}
    readers: dict[str, Callable[[bytes], Any]] = {
        "ca.pem": x509.load_pem_x509_certificate,
        "node.pem": x509.load_pem_x509_certificate,
        "node.key": certificates.key_from_pem,
    }
    for file_name, read in readers.items():
        try:
            loaded[file_name] = read(state.read(file_name))
        except (ValueError, TypeError):
            raise UsageError(f"{state.path(file_name)}: damaged") from None
    if len(state.read("cluster.key")) < CLUSTER_KEY_SIZE:
        raise UsageError(f"{state.path('cluster.key')}: damaged")
    return Identity(state.cluster, state.name, loaded["node.pem"], loaded["node.key"], loaded["ca.pem"])


def load_roster(state: NodeState, identity: Identity) -> Roster:
    """@raise UsageError: it is not the one that the CA has signed."""
    try:
        found_roster = roster.verify(state.roster, identity.ca)
    except PeerError as error:
        raise UsageError(f"{state.path('cluster.json')}: {error}") from None
    if found_roster.get(state.name) is None:
        raise UsageError(
            f"{state.path('cluster.json')}: node {state.name} is not a member of its own cluster"
        )
    return found_roster


class Admission:
    """
    What only the primary does: it holds the CA's key, the join tokens and the roster.

    @param changed: called with a new signed roster.
    @param in_use: whether a node of that name is running now.
    @param agreement: what a node must have like the primary to be let in.
    """

    def __init__(
        self,
        state: NodeState,
        identity: Identity,
        changed: Callable[[Roster, dict[str, str]], None],
        in_use: Callable[[str], bool],
        wall_clock: Callable[[], float] = time.time,
        agreement: Agreement = ANY,
    ) -> None:
        """@raise UsageError: the CA's key or the tokens are damaged."""
        self._state, self._identity, self._changed = state, identity, changed
        self._in_use, self._wall_clock, self.agreement = in_use, wall_clock, agreement
        try:
            self._ca_key = certificates.key_from_pem(state.read("ca.key"))
        except (ValueError, TypeError):
            raise UsageError(f"{state.path('ca.key')}: damaged") from None
        self._tokens = JoinTokens(state)
        self.roster = load_roster(state, identity)

    def create_token(self, address: str, port: int, ttl: float, uses: int) -> str:
        """@return: C{TOKEN@ADDRESS}."""
        secret = self._tokens.create(self._wall_clock(), ttl, uses)
        return str(JoinToken(certificates.fingerprint(self._identity.ca), secret, address, port))

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """
        Let a node in.

        @raise PeerError: why not; its token is not used up then.
        """
        now = self._wall_clock()
        texts = {field: request.get(field) for field in ("secret", "name", "role", "address", "request")}
        port = request.get("port")
        if (
            any(type(text) is not str for text in texts.values())
            or type(port) is not int
            or not 1 <= port <= 65535
        ):
            raise PeerError("a field of the request is missing or wrong")
        secret, name, role, address, signing_request = (str(text) for text in texts.values())
        try:
            octets = base64.b64decode(secret, validate=True)
        except (ValueError, binascii.Error):
            raise PeerError("the join token is unknown", 403) from None
        self._tokens.check(octets, now)
        try:
            certificates.check_name(
                name[:64]
            )  # one more than it may have, so a longer one is refused in a short line
        except UsageError as error:
            raise PeerError(str(error)) from None
        if role != SECONDARY:
            raise PeerError(f"role {role[:32]!r}: only a secondary joins")
        if not is_ip(address):
            raise PeerError(f"address {address[:64]!r} is not an IP address")
        if name == self._state.name or (self.roster.get(name) is not None and self._in_use(name)):
            raise PeerError(
                f"the name {name!r} is taken by a node that is running; give this one another --name"
            )
        self._check_place(name, address, port)
        Spoken(__version__).check(spoken({**request, "version": request.get("release", "")}))
        self.agreement.check(request.get("settings"))
        key = certificates.requested_key(signing_request.encode("ascii", "replace"))
        self._tokens.use(octets, now)
        certificate = self._issue(key, name, SECONDARY)
        self._publish(
            self.roster.with_member(Member(name, SECONDARY, address, port, certificates.key_digest(key)))
        )
        _log.info("node {name} at {address} has joined", name=name, address=address)
        return {
            "certificate": certificate,
            "cluster": self._state.cluster,
            "cluster_key": base64.b64encode(self._state.read("cluster.key")).decode("ascii"),
            "roster": self._state.roster,
            "version": 1,
        }

    def _check_place(self, name: str, address: str, port: int) -> None:
        """@raise PeerError: another member is there, and the others would call one node for the other."""
        for member in self.roster.members:
            if member.name != name and (member.address, member.port) == (address, port):
                raise PeerError(
                    f"{join_host_port(address, port)} is the address of node {member.name}; give this one another --address, or "
                    f"(when {member.name} is gone for good) type at the primary: voipctl forget {member.name}"
                )

    def _issue(self, key: ec.EllipticCurvePublicKey, name: str, role: str) -> str:
        who = (self._state.cluster, name, role)
        issued = certificates.issue(self._identity.ca, self._ca_key, key, who, self._wall_clock())
        return certificates.certificate_to_pem(issued).decode("ascii")

    def renew(self, name: str, role: str, signing_request: bytes) -> str:
        """
        A new certificate for the key that a member has already.

        @return: PEM.
        @raise PeerError: the request is not one for that key.
        """
        key, member = certificates.requested_key(signing_request), self.roster.get(name)
        if member is None or member.key != certificates.key_digest(key) or member.role != role:
            raise PeerError("a certificate is renewed for the key that the member has", 403)
        return self._issue(key, name, role)

    def move(self, name: str, address: str, port: int) -> None:
        """A member listens elsewhere now."""
        member = self.roster.get(name)
        if member is not None and (member.address, member.port) != (address, port):
            self._publish(self.roster.with_member(evolve(member, address=address, port=port)))

    def remove(self, name: str) -> None:
        """
        Forget a node: its certificate counts no more, at any node that hears of it.

        @raise UsageError: not a member, or the primary itself.
        """
        if name == self._state.name:
            raise UsageError(
                f"node {name} is the primary, which holds the list of members; it cannot be forgotten"
            )
        if self.roster.get(name) is None:
            raise UsageError(f"there is no node {name} in this cluster")
        _log.info("node {name} is forgotten: its certificate counts no more", name=name)
        self._publish(self.roster.without(name))

    def _publish(self, changed: Roster) -> None:
        signed = roster.sign(changed, self._ca_key)
        self._state.save_roster(signed)
        self.roster = changed
        self._changed(changed, signed)
