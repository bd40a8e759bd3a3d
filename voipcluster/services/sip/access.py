"""Who may send what: digest authentication, and what may be relayed (RFC 3261 section 22, RFC 8760)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from attrs import evolve
from twisted.logger import Logger

from voipcluster.address import Flow
from voipcluster.balance.handover import Handover
from voipcluster.errors import ParseError, PeerError
from voipcluster.services.gateway.allowances import is_forbidden
from voipcluster.services.gateway.incoming import Incoming
from voipcluster.services.notices import Notices
from voipcluster.services.sip.core import SipCore
from voipcluster.services.transaction.transactions import ServerTransaction
from voipcluster.sip.auth import RANDOM_SIZE, Accepted, Authenticator, Credentials, Lookup
from voipcluster.sip.digest import parse_answer
from voipcluster.sip.message import Request
from voipcluster.sip.proxy.routing import Meaning, Names
from voipcluster.sip.uri import SipUri, parse_uri
from voipcluster.sip.values import address_uri

ASSERTED = "p-asserted-identity"  # only our own nodes may say it (RFC 3325 section 5)
MD5_ONLY = ("baresip v0.", "baresip v1.", "sipp")  # how their User-Agent begins


class Proof(NamedTuple):
    """
    What came of a look at credentials.

    @ivar client: the client with its user, or L{None}: it has to prove who it is.
    @ivar used: the header lines that are used up; C{challenges}: headers of the response otherwise.
    """

    client: Handover | None
    used: list[int]
    challenges: list[tuple[str, str]]


class Access:
    """
    @ivar required: whether users of our domains authenticate.
    @ivar outcomes: how many were accepted, challenged, stale, guessed wrong, banned for that, refused.
    @ivar gateways: what gateways and strangers may do, or L{None}: there are no gateways.
    """

    _log = Logger()

    def __init__(self, core: SipCore, authenticator: Authenticator, lookup: Lookup, required: bool) -> None:
        self._core = core
        self._authenticator = authenticator
        self._lookup = lookup
        self.required = required
        self.outcomes: Counter[str] = Counter()
        self.gateways: Incoming | None = None
        self._notices = Notices(core.seconds, self._log)

    def register_user(
        self, incoming: ServerTransaction, client: Handover
    ) -> tuple[Handover | None, list[int]]:
        """
        Who sends a REGISTER of one of our domains.

        @return: the client with its user, or L{None} when it was challenged; and the header lines that are used up.
        """
        if self.gateways is not None:
            client = self.gateways.known(client)
            self.gateways.may_register(client)
        if client.user is not None or not self.required:
            return client, []
        uri = _uri_of(incoming.request, "to")
        realm = self._core.names.domain_of(uri) or ""
        return self._checked(incoming, client, "authorization", 401, "www-authenticate", realm)

    def caller(
        self, incoming: ServerTransaction, client: Handover, target: SipUri, routed: bool
    ) -> tuple[Handover | None, list[int]]:
        """
        Who sends any other request, and whether it may be relayed.

        Users of our domains authenticate and speak for themselves only; anybody may reach our users; nobody may use us
        between strangers.

        @param routed: whether its Route leads on to somebody else.
        @return: as L{register_user}.
        @raise PeerError: 403; 503 for what another node must serve itself, because it serves other domains.
        """
        gateways = self.gateways
        if gateways is None:
            return self._caller(incoming, client, target, routed)
        try:
            return self._beside_gateways(gateways, incoming, client, target, routed)
        except PeerError as error:
            if is_forbidden(error) and not (client.hops and not client.redirected):
                self._core.transactions.limiting.number_refused(client.flow)
            raise

    def _beside_gateways(
        self, gateways: Incoming, incoming: ServerTransaction, client: Handover, target: SipUri, routed: bool
    ) -> tuple[Handover | None, list[int]]:
        """The same where there are gateways, or numbers that lead out."""
        client = gateways.known(client)
        is_told = client.hops and not client.redirected  # by the node that it came to, which has looked
        if client.gateway:
            known, used = self._of_gateway(gateways, incoming, client, target, routed)
        else:
            known, used = self._caller(incoming, client, target, routed)
            if known is not None and not is_told:
                by_password = gateways.known(known)
                if by_password.gateway:
                    gateways.check(incoming.request, by_password, target, routed)
                    known = by_password
        if (
            known is not None
            and not is_told
            and not routed
            and incoming.request.method == "INVITE"
            and self._core.names.is_local(target)
        ):
            gateways.check_room(incoming.request, known, target)
        return known, used

    def _of_gateway(
        self, gateways: Incoming, incoming: ServerTransaction, client: Handover, target: SipUri, routed: bool
    ) -> tuple[Handover | None, list[int]]:
        """Who comes through a gateway: the gateway itself, or a user of ours who proves that he is."""
        if client.hops and not client.redirected:
            return client, []  # the node that it came to has looked
        known, used = client, list[int]()
        sender = sender_of(incoming.request, self._core.names)
        if (
            self.required
            and client.user is None
            and sender is not None
            and sender.domain is not None
            and gateways.speaks_for_users(sender.aor)
        ):
            found, used = self._checked(
                incoming, client, "proxy-authorization", 407, "proxy-authenticate", sender.domain
            )
            if found is None:
                return None, used
            self._speaks_for_itself(found, sender)
            known = found
        gateways.check(incoming.request, known, target, routed)
        return known, used

    def _caller(
        self, incoming: ServerTransaction, client: Handover, target: SipUri, routed: bool
    ) -> tuple[Handover | None, list[int]]:
        names = self._core.names
        if client.user is not None:
            if client.hops and client.user.rpartition("@")[2] not in names.domains:
                raise self._other_domains(client, target)
            return client, []
        sender = sender_of(incoming.request, names)
        realm = None if sender is None else sender.domain
        if realm is None:
            if routed or not names.is_local(target):
                self.outcomes["refused"] += 1
                if client.hops and not client.redirected:
                    raise self._other_domains(client, target)
                raise PeerError("neither the caller nor the callee is ours", 403)
            if self.gateways is not None and (client.redirected or not client.hops):
                self.gateways.check_stranger(incoming.request, client, target)
            return client, []
        if not self.required:
            return client, []
        found, used = self._checked(incoming, client, "proxy-authorization", 407, "proxy-authenticate", realm)
        if found is not None and (
            self.gateways is None or not self._is_gateway(self.gateways, found, sender)
        ):
            self._speaks_for_itself(found, sender)
        return found, used

    def _is_gateway(self, gateways: Incoming, client: Handover, sender: Meaning | None) -> bool:
        """Whether who proved a password is a gateway, which speaks for those behind it, but for no other user of ours."""
        aor = None if sender is None else sender.aor
        return bool(gateways.known(client).gateway) and not gateways.speaks_for_users(aor)

    def within_dialog(self, incoming: ServerTransaction, client: Handover, sender: Meaning) -> Proof:
        """
        Who sends a request within a dialog that names a user of ours in From; nothing is answered here.

        @param sender: what From means, of one of our domains.
        @raise PeerError: 403.
        """
        keys = "proxy-authorization", "proxy-authenticate"
        proof = self._proof(incoming.request, client, *keys, sender.domain or "")
        if proof.client is not None:
            self._speaks_for_itself(proof.client, sender)
        return proof

    def used_up(self, request: Request) -> list[int]:
        """The lines of a request with credentials for proxies of our domains."""
        domains, lines = self._core.names.domains, request.lines
        return [
            index
            for index in request.layout.indexes("proxy-authorization")
            if any(_is_of(realm, lines[index]) for realm in domains)
        ]

    def _speaks_for_itself(self, client: Handover, sender: Meaning | None) -> None:
        if sender is not None and client.user != sender.aor:
            self.outcomes["refused"] += 1
            raise PeerError("From names another user", 403)

    def _other_domains(self, client: Handover, target: SipUri) -> PeerError:
        """A node that places requests of its domains here, while they are none of ours; it hears 503 and goes on by itself."""
        self._notices.warn(
            client.ingress,
            "node {node} hands over a request for {target}, which is of its domains and not of those of this node: "
            "cluster.domain must be the same on all nodes",
            node=client.ingress,
            target=repr(target.host),
        )
        return PeerError("this node serves other domains", 503)

    def _checked(
        self,
        incoming: ServerTransaction,
        client: Handover,
        key: str,
        status: int,
        challenge_key: str,
        realm: str,
    ) -> tuple[Handover | None, list[int]]:
        proof = self._proof(incoming.request, client, key, challenge_key, realm)
        if proof.client is None:
            incoming.refuse(status, None, proof.challenges)
        return proof.client, proof.used

    def _proof(self, request: Request, client: Handover, key: str, challenge_key: str, realm: str) -> Proof:
        now = self._core.wall()
        lines = request.layout.indexes(key)
        limiting = self._core.transactions.limiting
        source = limiting.source(client.flow)
        result = self._authenticator.check(
            request.method,
            request.get_all(key),
            realm,
            now,
            partial(self._looked_up, client.flow),
            partial(self._is_ours, request.uri),
            source,
        )
        if isinstance(result, Accepted):
            self.outcomes["accepted"] += 1
            limiting.proved(client.flow, f"{result.username}@{result.domain}")
            used = [index for index in lines if _is_of(realm, request.lines[index])]
            return Proof(evolve(client, user=f"{result.username}@{result.domain}"), used, [])
        if result.guessed:
            limiting.failed(client.flow, f"{result.username}@{realm}")
            who = f"{result.username[:80]}@{realm}"
            self._core.transactions.refusal_lines.note(
                request,
                client.flow,
                401 if key == "authorization" else 407,
                f"wrong password, or no such user: {who!r}",
            )
        self.outcomes["guessed" if result.guessed else "stale" if result.stale else "challenged"] += 1
        challenges = self._authenticator.challenges(
            realm, now, self._core.octets(RANDOM_SIZE), result.stale, not _takes_choice(request), source
        )
        return Proof(None, [], [(challenge_key, challenge) for challenge in challenges])

    def _looked_up(self, flow: Flow, username: str, realm: str) -> Credentials | None:
        """@raise PeerError: 403, so many wrong passwords of that user came from there that none is tried any more."""
        if not self._core.transactions.limiting.may_try(flow, f"{username}@{realm}"):
            self.outcomes["banned"] += 1
            raise PeerError("too many wrong passwords, try again later", 403)
        return self._lookup(username, realm)

    def _is_ours(self, request_uri: str, uri: str) -> bool:
        """Whether the C{uri} of credentials is what was asked for, or something that we serve (RFC 8760 section 2.6)."""
        if uri == request_uri:
            return True
        try:
            names = self._core.names
            return names.is_local(parse_uri(uri)) and names.is_local(parse_uri(request_uri))
        except ParseError:
            return False


def _is_of(realm: str, line: bytes) -> bool:
    """Whether a header line holds credentials of a realm; all answers to our challenges are used up."""
    try:
        return parse_answer(line.partition(b":")[2].decode("utf-8", "surrogateescape").strip()).realm == realm
    except ParseError:
        return False


def _takes_choice(request: Request) -> bool:
    """
    Whether a client can be offered more than MD5.

    By RFC 8760 section 2.4 a client passes over challenges that it does not know. baresip before 2.0 and sipp 3.6 give
    up instead, and what does not say what it is (no User-Agent) is old or a tool: these get the one algorithm all know.
    """
    agent = (request.get("user-agent") or "").lower()
    return bool(agent) and not any(agent.startswith(name) for name in MD5_ONLY)


def sender_of(request: Request, names: Names) -> Meaning | None:
    """The From URI; L{None} for one of another scheme, which is nobody of ours (RFC 4475 section 3.3.4 lets it pass)."""
    try:
        return names.meaning(request.from_uri)
    except ParseError as error:
        if error.status_hint == 416:
            return None
        raise


def _uri_of(request: Request, key: str) -> SipUri:
    """@raise ParseError: 400."""
    try:
        return parse_uri(address_uri(request.get(key) or ""))
    except ParseError as error:
        raise ParseError(f"{key}: {error}", 400) from None


def credentials_lookup(ha1: Callable[[str, str, str], str | None]) -> Lookup:
    """A look-up for the authenticator from one that gives a single H(A1)."""

    def lookup(username: str, realm: str) -> Credentials | None:
        known = {
            name: value for name in ("MD5", "SHA-256") if (value := ha1(username, realm, name)) is not None
        }
        return Credentials(username, realm, known) if known else None

    return lookup
