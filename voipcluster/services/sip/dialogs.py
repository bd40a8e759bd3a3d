"""Record-Route values and the requests that come back along them (RFC 3261 sections 12 and 16.12)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from voipcluster.address import SECURE, UDP, Flow, is_ipv6, join_host_port
from voipcluster.balance.handover import Handover
from voipcluster.errors import ParseError, PeerError
from voipcluster.services.sip.core import SipCore
from voipcluster.services.sip.next_hop import hop_of
from voipcluster.sip.message import COMMA, Request, Response
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.route import (
    NODE,
    Address,
    CallToken,
    Party,
    contact_hash,
    dialog_hash,
    place_hash,
    route_uri,
    route_value,
)
from voipcluster.sip.uri import SipUri, is_sips, parse_uri

PLACE_SIZE = 8  # octets of a L{place_hash} in a token: no 2**64 names are tried to find one for somebody else
BEHIND = b"\x01"  # in the place of a L{place_hash}: the caller is somewhere behind the far end of its flow
_GRUU = b"gruu"  # stands for the contact address of a party whose Contact is a GRUU: it has none that a URI could match


class Along(NamedTuple):
    """How a request within a dialog goes on from here: Route values behind ours, and our call token."""

    routes: Sequence[str]
    token: str


class Dialogs:
    """
    Makes the tokens of dialogs that go through this node, and reads them again.

    @ivar of_gruu: where a Request-URI leads that is a GRUU of ours, L{None} when it is none or the phone is away.
    @ivar lost: addresses of nodes that are not heard of: nothing goes over their flows.
    """

    def __init__(self, core: SipCore) -> None:
        self._core = core
        self.of_gruu: Callable[[str], Target | None] = lambda uri: None
        self.lost: AbstractSet[Address] = frozenset()

    def caller_party(self, request: Request, client: Handover) -> Party | None:
        """How the callee's requests reach the caller; L{None} when its Contact says where it truly is."""
        return self.party(client.flow, client.ingress, request.contact_uri)

    def party(self, flow: Flow, owner: str, contact: str) -> Party | None:
        """
        @param owner: the name of the node that has the flow; C{contact}: the URI of the party's Contact.
        """
        core = self._core
        address = core.addresses.get(owner)
        contact_key = _GRUU if ";gr" in contact else contact_hash(contact)
        if address is None:
            return None
        host, port = flow.remote
        # of the other IP version: no node but this one is known to have an address from which to send there
        elsewhere = is_ipv6(host) != is_ipv6(address[0])
        if (
            flow.transport == UDP
            and not elsewhere
            and contact_key
            in (
                contact_hash(f"sip:{host}:{port}"),
                contact_hash(f"sip:{host}") if port == 5060 else b"",
            )
        ):
            return None
        epoch = core.epoch if owner == core.node else core.epochs(owner)
        return Party(address, flow, epoch, contact_key)

    def caller_place(
        self, request: Request, client: Handover, caller: Party | None, trusted: bool = False
    ) -> bytes:
        """
        What the token says of the Contact of a caller without a flow; nothing when the caller is not there itself.

        Else whoever calls could name somebody whom the callee's requests would reach in our name (toll fraud). Of a stranger
        with a flow it says when that leads to a proxy, a carrier's perhaps, and not to the stranger.

        @param trusted: whether a proxy in between is one of the callee's own.
        """
        if client.user is None and not trusted and not _is_direct(request, client):
            return b"" if caller is None else BEHIND
        if caller is not None:
            return b""
        contact = request.contact_uri
        try:
            uri = parse_uri(contact)
        except ParseError:
            return b""
        flow = client.flow
        if flow.reliable or (uri.param("maddr") or uri.host, uri.port or 5060) != flow.remote:
            return b""
        return place_hash(contact)[:PLACE_SIZE]

    def is_caller_contact(self, token: str, uri: str) -> bool:
        """Whether the call token says that the caller is where a Request-URI leads. @raise PeerError: 403."""
        place = self._core.call_tokens.open(token).place
        return len(place) == PLACE_SIZE and place == place_hash(uri)[:PLACE_SIZE]

    def is_behind(self, token: str) -> bool:
        """Whether the call token says that the caller's flow leads to a proxy that is not the caller. @raise PeerError: 403."""
        return self._core.call_tokens.open(token).place == BEHIND

    def record_route(
        self,
        names: tuple[str, str],
        caller: Party | None,
        client: Handover,
        secure: bool,
        place: bytes,
        target: Target,
        flow: Flow,
    ) -> str:
        """
        Our Record-Route for one target (section 16.6 step 4).

        Two values where the sides do not share a transport or family, so that each finds us the way it can (RFC 5658); and
        where one side asked for sips and the other did not, so that neither is promised what it has not, or loses it.

        @param names: Call-ID and the caller's tag; C{secure}: whether the caller wants sips; C{place}: see L{CallToken}.
        @param flow: what the copy for the target goes out on.
        """
        core = self._core
        token = "call=" + core.call_tokens.seal(
            CallToken(dialog_hash(*names), caller, target.party, names, place)
        )
        towards = flow if target.party is None else target.party.flow
        callee_address = core.name_towards(
            towards, target.party is None or target.party.owner == core.own_address
        )
        callee_transport = towards.transport
        onward = callee_transport != UDP and is_sips(target.uri)
        ours = route_value(callee_address, callee_transport, self._marked(token, callee_address), onward)
        caller_address, caller_transport = (
            core.name_towards(client.flow, client.ingress == core.node),
            client.flow.transport,
        )
        secure = secure and caller_transport in SECURE
        if caller_address == callee_address and callee_transport == caller_transport and onward == secure:
            return ours
        token = self._marked(token, caller_address)
        return f"{ours}, {route_value(caller_address, caller_transport, token, secure)}"

    def _marked(self, token: str, address: Address) -> str:
        """A call token with our name where C{address} does not tell the other nodes that it is ours."""
        return token if address[0] == self._core.own_address[0] else f"{token};{NODE}={self._core.node}"

    def foreign(self, values: Sequence[str]) -> list[str]:
        """Those of Route or Record-Route values that name no node of ours. @raise ParseError: one that is none."""
        return [value for value in values if not self._is_node(route_uri(value))]

    def _is_node(self, uri: SipUri) -> bool:
        return self._core.names.is_node(uri) or (uri.has_param(NODE) and self._is_sealed(uri.param("call")))

    def _is_sealed(self, token: str | None) -> bool:
        try:
            self._core.call_tokens.open(token or "")
        except PeerError:
            return False
        return True

    def proxies_before_us(self, request: Request) -> tuple[list[str], int]:
        """
        Who put himself into the route set (section 16.6 step 4) before the request came to us.

        @return: the Record-Route values of others, and how many there were; -1 when they cannot be read.
        """
        if "record-route" not in request.layout.at:
            return [], 0
        try:
            values = request.values("record-route")
            return self.foreign(values), len(values)
        except ParseError:
            return [], -1

    def proxies_behind_us(self, response: Response, before: int) -> list[str]:
        """
        The same of who saw the request later, from a response to it.

        @param before: how many values the request came with. They come back at the end and may name anybody, as the caller likes.
        """
        lines = response.layout.indexes("record-route")
        if not lines or (len(lines) == 1 and COMMA not in response.lines[lines[0]]):
            return []  # it is ours, nearly always
        try:
            values = response.values("record-route")
            return self.foreign(values[: max(0, len(values) - before)])
        except ParseError:
            return []

    def ways(self, response: Response, names: tuple[str, str]) -> tuple[Along, Along] | None:
        """
        Where the requests of a dialog go from here, to the callee and to the caller, by the Record-Route of the response that has
        made it (sections 12.1.1 and 12.1.2).

        @param names: Call-ID and the caller's tag.
        @return: L{None} when there is no value of ours for that dialog: then its requests do not come here.
        """
        try:
            values = response.values("record-route")
            tokens = [route_uri(value).param("call") for value in values]
        except ParseError:
            return None
        dialog = dialog_hash(*names)
        ours = [(n, token) for n, token in enumerate(tokens) if token and self._is_of(token, dialog)]
        if not ours:
            return None
        (first, to_callee), (last, to_caller) = ours[0], ours[-1]
        return Along(values[:first][::-1], to_callee), Along(values[last + 1 :], to_caller)

    def _is_of(self, token: str, dialog: bytes) -> bool:
        try:
            return self._core.call_tokens.open(token).dialog == dialog
        except PeerError:
            return False

    def target_in_dialog(self, request: Request, uri: str, text: str) -> tuple[Target, bool]:
        """
        Where a request within a dialog goes.

        @param uri: its Request-URI; C{text}: the call token of its Route.
        @return: the target, and whether the caller of the dialog sent the request.
        @raise PeerError: 403, the token is not ours or of another dialog.
        """
        token = self._core.call_tokens.open(text)
        from_tag, to_tag = request.tags
        if to_tag is None:
            raise PeerError(
                "a call token outside of its dialog", 403
            )  # else anybody who was called may call anywhere
        call_id = request.call_id
        if token.names == (call_id, from_tag) or dialog_hash(call_id, from_tag or "") == token.dialog:
            return self._to_party(uri, token.callee), True
        if dialog_hash(call_id, to_tag) == token.dialog:
            return self._to_party(uri, token.caller), False
        raise PeerError("the call token of Route is of another dialog", 403)

    def check(self, request: Request, text: str) -> None:
        """@raise PeerError: 403, the token is not ours, or the request is none of its dialog."""
        token = self._core.call_tokens.open(text)
        tags = (request.from_tag or "", request.to_tag or "")
        if request.to_tag is None or token.dialog not in [dialog_hash(request.call_id, tag) for tag in tags]:
            raise PeerError("the call token of Route is of another dialog", 403)

    def _to_party(self, uri: str, party: Party | None) -> Target:
        if party is None or not _names(uri, party):
            if ";gr" in uri:
                # the phone wants to see its Contact, over the flow that it has now (RFC 5627 section 5.4)
                target = self.of_gruu(uri)
                if target is not None:
                    return target
            if party is None or party.contact != _GRUU:
                return Target(uri)  # reached by its Contact, or it moved (target refresh, section 12.2)
        return self.over_flow(uri, party.owner, party.flow, party.epoch, party)

    def over_flow(
        self, uri: str, owner: Address, flow: Flow, epoch: int, party: Party | None, secure: bool = False
    ) -> Target:
        """
        A target behind a flow, our own one or that of another node.

        @param secure: whether the way to that node must not be in the clear; with a sips URI it never is.
        @raise PeerError: 430, the flow is ours and gone (RFC 5626 section 5.3.1).
        """
        core = self._core
        if owner == core.addresses[core.node]:
            if flow.connection and (epoch != core.epoch & 0xFFFFFFFF or not core.transport.is_alive(flow)):
                raise PeerError("the connection to the client is gone", 430)
            return Target(uri, flow=flow, party=party)
        past = past_its_node(uri, flow)
        if past is not None and owner in self.lost:
            return past
        token = "flow=" + core.flow_tokens.seal(flow, epoch)
        route = core.route_to_node(owner, token, secure or is_sips(uri))
        # the node may end before it has sent this
        return Target(uri, routes=(route,), party=party, alternatives=() if past is None else (past,))


def past_its_node(uri: str, flow: Flow) -> Target | None:
    """A phone on UDP that is where its Contact says can be reached from anywhere, also past the node that has its flow."""
    if flow.transport != UDP:
        return None
    try:
        hop = hop_of(parse_uri(uri))
    except (ParseError, PeerError):
        return None
    if hop.transport != UDP or (hop.host, hop.port) != flow.remote:
        return None
    return Target(uri)


def _names(uri: str, party: Party) -> bool:
    """
    Whether a URI is the Contact of a party, or the far end of its flow.

    A phone may register with the port that it listens on, and answer with that of its connection.
    """
    contact = contact_hash(uri)
    return contact == party.contact or contact == contact_hash(f"sip:{join_host_port(*party.flow.remote)}")


def _is_direct(request: Request, client: Handover) -> bool:
    """Whether who made a request sent it to this cluster, and no proxy in between did."""
    nodes = 0 if client.redirected else len(client.visited)
    if request.layout.vias == 1 and COMMA not in request.lines[request.layout.via]:
        return True
    return len(request.values("via")) <= 1 + nodes
