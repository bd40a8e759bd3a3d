"""The core of a node's SIP side: each request validated, its Route read, its client known, and sent on its way."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from twisted.logger import Logger
from zope.interface import implementer

from voipcluster.address import Flow
from voipcluster.balance.decision import HandOver
from voipcluster.balance.handover import Handover
from voipcluster.errors import PeerError, TransportError
from voipcluster.services.gateway.routing import SCHEMES, NumberRouting
from voipcluster.services.registrar.registrar import RegistrarService
from voipcluster.services.sip.accepted import Accepted
from voipcluster.services.sip.access import ASSERTED, Access
from voipcluster.services.sip.capabilities import tell
from voipcluster.services.sip.claims import ANNOUNCES_NOTHING, Claims
from voipcluster.services.sip.copies import Copy
from voipcluster.services.sip.core import SipCore
from voipcluster.services.sip.dialogs import Dialogs
from voipcluster.services.sip.edge import Edge
from voipcluster.services.sip.forwarding import Forwarding
from voipcluster.services.sip.placing import Placing, redirected_client
from voipcluster.services.sip.riding import PARAMETER
from voipcluster.services.sip.serving import Serving
from voipcluster.services.transaction.transactions import ITransactionUser, ServerTransaction
from voipcluster.sip.message import REASONS, Request
from voipcluster.sip.proxy.breadth import incoming_breadth
from voipcluster.sip.proxy.context import ProxyContext
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.proxy.routing import Routed, own_call_token, preprocess_route
from voipcluster.sip.proxy.validation import Refused, check_display_names, check_request
from voipcluster.sip.registration import Source
from voipcluster.sip.route import NODE, route_uri, route_value
from voipcluster.sip.uri import SipUri, is_sips, scheme_of
from voipcluster.sip.values import Via

FLOW_FAILED = 430  # RFC 5626 section 11.5: between the nodes of the cluster
FLOW_GRACE = 1.5  # flow timers after which a connection without keep-alives is dead


@implementer(ITransactionUser)
class ProxyService:
    """
    @ivar arrived: called for each new request of a client, before it is placed.
    @ivar trusts: whether a client is a gateway of our trust domain (RFC 3325).
    @ivar numbers: what is not called by SIP URIs, or L{None}: nothing is; then nothing is called so.
    """

    _log = Logger()

    def __init__(
        self,
        core: SipCore,
        access: Access,
        dialogs: Dialogs,
        claims: Claims,
        serving: Serving,
        placing: Placing,
        registrar: RegistrarService,
        on_connection_lost: Callable[[Flow], object],
    ) -> None:
        self._core = core
        self._access = access
        self._dialogs = dialogs
        self._claims = claims
        self._serving = serving
        self._within = serving.within
        self._placing = placing
        self._registrar = registrar
        self._edge = Edge(core, dialogs)
        self.connection_lost = on_connection_lost
        self.arrived: Callable[[], object] = lambda: None
        self.trusts: Callable[[Handover], bool] = lambda client: False
        self._numbers: NumberRouting | None = None
        self._also: Collection[str] = ()  # schemes of Request-URIs

    @property
    def numbers(self) -> NumberRouting | None:
        return self._numbers

    @numbers.setter
    def numbers(self, numbers: NumberRouting | None) -> None:
        self._numbers, self._also = numbers, () if numbers is None else SCHEMES

    # -- ITransactionUser

    def request_received(self, incoming: ServerTransaction) -> None:
        request = incoming.request
        max_forwards = check_request(request, self._also)
        if "route" in request.layout.at:
            self._along_route(incoming, max_forwards)
        else:
            self._without_route(incoming, request.uri, None, max_forwards)

    def _along_route(self, incoming: ServerTransaction, max_forwards: int) -> None:
        request, names = incoming.request, self._core.names
        token = own_call_token(request, names)
        if token is not None:
            self._in_dialog(incoming, request.uri, token, [], max_forwards)
            return
        routed = preprocess_route(request, names)
        own = routed.own
        if own is not None:
            call, flow, handover = own.param("call"), own.param("flow"), own.param("ho")
            if call is not None:
                if self._is_elsewhere(own) and self._along_another_node(incoming, routed, max_forwards):
                    return
                self._in_dialog(incoming, routed.uri, call, routed.routes, max_forwards, handover)
                return
            if flow is not None:
                self._over_flow(incoming, routed, flow, max_forwards)
                return
            if handover is not None:
                client = self._core.handovers.open(handover, request.call_id, self._core.wall())
                if client.redirected:
                    raise PeerError("hand-over token of a client in a Route", 403)
                if self._core.riding is not None and client.visited:
                    self._core.riding.heard(client.visited[-1], own.param(PARAMETER))
                if not client.hops:
                    # a Contact has led it back to this node, and so that is what it came from
                    client = Handover(
                        flow=incoming.flow, ingress=self._core.node, user=client.user, gateway=client.gateway
                    )
                self._new(incoming, client, routed.uri, routed.routes, max_forwards)
                return
        elif self._along_another_node(incoming, routed, max_forwards):
            return
        self._without_route(incoming, routed.uri, self._without_nodes(request, routed), max_forwards)

    def _without_route(
        self, incoming: ServerTransaction, uri: str, routes: list[str] | None, max_forwards: int
    ) -> None:
        """A request that no Route of ours says anything about; C{routes}: those of others, C{uri}: its Request-URI then."""
        request = incoming.request
        if request.to_tag is not None and request.method != "REGISTER":
            # within a dialog, but not along a Record-Route of ours: nothing says that we may relay it
            raise Refused("no Route of ours leads to that dialog", 481)
        check_display_names(request)
        client = Handover(incoming.flow, self._core.node)
        if ";hop=" in uri:
            redirected = redirected_client(self._core, request, uri, client)
            if redirected is not None:
                client, uri = redirected
        self._new(incoming, client, uri, routes, max_forwards)

    def _in_dialog(
        self,
        incoming: ServerTransaction,
        uri: str,
        token: str,
        routes: list[str] | None,
        max_forwards: int,
        told: str | None = None,
    ) -> None:
        request = incoming.request
        try:
            target, from_caller = self._dialogs.target_in_dialog(request, uri, token)
        except PeerError as error:
            if error.status_hint != FLOW_FAILED:
                raise
            # to a user agent that is a phone which cannot be reached; the caller of a BYE is not to try again
            self._within.flow_lost(request)
            raise PeerError(str(error), 480) from None
        try:
            self._within.serve(incoming, target, from_caller, routes, max_forwards, token, told)
        except PeerError as error:
            transactions = self._core.transactions
            if request.method != "INVITE" or incoming.key in transactions.servers:
                raise
            self._claims.keep(incoming)
            transactions.reject(incoming, error)
            incoming.release_request()

    def _along_another_node(self, incoming: ServerTransaction, routed: Routed, max_forwards: int) -> bool:
        """
        A client that sends all to one node, whatever Route says: a request of a dialog at another node is passed to that one.

        @raise PeerError: 403, the token in that Route is not ours.
        """
        request = incoming.request
        routes = self._routes_to_node(request, routed.uri, incoming.flow)
        if routes is None:
            return False
        incoming.accept()
        invite = request.method == "INVITE"
        if invite:
            incoming.answer(100)
        context = ProxyContext(invite, self._within.timer_c, 64 * self._core.transactions.durations.t1)
        target = Target(routed.uri)
        Forwarding(
            self._core,
            incoming,
            context,
            Copy(request, incoming, max_forwards, routes, request.layout.indexes(ASSERTED)),
        ).start_at(target)
        return True

    def _routes_to_node(self, request: Request, uri: str, flow: Flow) -> list[str] | None:
        """
        Route as it is, but for its first value: the other node of the cluster that it names, as nodes call each other. Its
        transport is that of the client, which need not be one between nodes (a browser's WebSocket). What starts something, or
        says where a party is, takes along where it came from: that node has to know who sent it.

        @param uri: the Request-URI; C{flow}: where the request came from.
        @return: L{None} when it names no node, or no call.
        @raise PeerError: 403, the token in it is not ours.
        """
        token = self._token_of_node(request)
        if token is None:
            return None
        self._dialogs.check(request, token)
        core, routes = self._core, request.values("route")
        top = route_uri(routes[0])
        host, named = top.param("maddr") or top.host, top.param(NODE)
        for node, address in core.addresses.items():
            if named == node or (named is None and address[0] == host):
                told = f"call={token}"
                if request.method not in ANNOUNCES_NOTHING:
                    told += f";ho={self._claims.attest(request, flow)}"
                return [core.route_to_node(address, told, is_sips(uri)), *routes[1:]]
        return routes

    def _token_of_node(self, request: Request) -> str | None:
        """The call token of the topmost Route when that names another node of the cluster."""
        routes = request.values("route")
        if not routes:
            return None
        top = route_uri(routes[0])
        if self._core.names.is_node(top) or self._is_elsewhere(top):
            return top.param("call")
        return None

    def _is_elsewhere(self, uri: SipUri) -> bool:
        """Whether a Route value of a call, perhaps at an address of ours, names another node."""
        node = uri.param(NODE)
        return node is not None and node != self._core.node and node in self._core.addresses

    def _without_nodes(self, request: Request, routed: Routed) -> list[str] | None:
        """What is left of Route when a Service-Route of ours named another node: any node can place a new request."""
        routes = routed.routes
        if routes is None:
            routes = request.values("route")
        if not routes or not self._core.names.is_node(route_uri(routes[0])):
            return routed.routes
        return routes[1:]

    def is_in_dialog(self, request: Request) -> bool:
        """Whether a request carries a call token of ours for its own dialog: what also a banned source may send."""
        try:
            token = own_call_token(request, self._core.names)
            if token is None:
                own = preprocess_route(request, self._core.names).own
                token = self._token_of_node(request) if own is None else own.param("call")
            if token is not None:
                self._dialogs.check(request, token)
        except PeerError:
            return False
        return token is not None

    def ack_received(self, request: Request, flow: Flow, via: Via | None) -> None:
        """An ACK for a 2xx is routed like any request of its dialog; without a Route of ours it is a stray (16.3, S16)."""
        try:
            max_forwards = check_request(request)
            own_token = own_call_token(request, self._core.names)
            if own_token is not None:
                copy = Copy(request, None, max_forwards, [])
                copy.via = via
                target, from_caller = self._dialogs.target_in_dialog(request, request.uri, own_token)
                self._within.ack(request, flow, copy, target, from_caller, own_token)
                return
            routed = preprocess_route(request, self._core.names)
            if routed.own is None or self._is_elsewhere(routed.own):
                routes = self._routes_to_node(request, routed.uri, flow) if request.has("route") else None
                if routes is not None:
                    onward = Copy(request, None, max_forwards, routes, request.layout.indexes(ASSERTED))
                    onward.via = via
                    onward.send_ack(self._core, Target(routed.uri))
                return
            call, flow_token = routed.own.param("call"), routed.own.param("flow")
            copy = Copy(request, None, max_forwards, routed.routes, request.layout.indexes(ASSERTED))
            copy.via = via
            if call is not None:
                target, from_caller = self._dialogs.target_in_dialog(request, routed.uri, call)
                self._within.ack(request, flow, copy, target, from_caller, call)
            elif flow_token is not None:
                copy.over_flow = True
                copy.send_ack(self._core, self._target_of(routed.uri, flow_token))
        except (PeerError, TransportError) as error:
            self._log.debug(
                "an ACK was dropped: {error}", error=str(error), call=request.call_id
            )  # it is never answered (17.1.1.3)

    def cancel_received(self, invite: ServerTransaction) -> None:
        user = invite.user
        if user is not None:
            user.cancel()  # type: ignore[attr-defined]  # the user of an INVITE can be cancelled

    # -- new requests

    def _new(
        self,
        incoming: ServerTransaction,
        client: Handover,
        uri: str,
        routes: list[str] | None,
        max_forwards: int,
    ) -> None:
        core, request, placing = self._core, incoming.request, self._placing
        if self._also and scheme_of(uri) in self._also and self._numbers is not None:
            uri = self._numbers.sip_uri(uri)
        target, _, local, _ = core.names.meaning(uri)
        if target.params and target.has_param("maddr"):
            uri = str(core.names.without_own_maddr(target, incoming.flow.transport, incoming.flow.local[1]))
            target, _, local, _ = core.names.meaning(uri)
        local = local and not routes
        if request.method == "OPTIONS" and not target.user and local:
            tell(incoming, self._registrar.supported)
            return
        if not client.hops:  # else it was counted where its client sent it: that is what others plan with
            self.arrived()
        registering = request.method == "REGISTER" and local
        if not registering and "max-breadth" in request.layout.at:
            incoming_breadth(request)  # who may not be forwarded even once is told so before anything is kept
        # a redirect moves the URI to another host, so it must be one of ours; and it would lose the Route
        if (
            local
            and not client.redirected
            and placing.redirects(request, client)
            and self._may_redirect(client)
        ):
            decision = placing.decide(request, client)
            if isinstance(decision, HandOver) and placing.may_go(client, decision.node):
                placing.redirect(Accepted(incoming, client, uri, routes, max_forwards), decision)
                return
            known, used = self._access.caller(incoming, client, target, bool(routes))
            if known is not None:
                self._admit(incoming, known)
                placing.carry_out(Accepted(incoming, known, uri, routes, max_forwards, used), decision)
            return
        if registering:
            known, used = self._access.register_user(incoming, client)
        else:
            known, used = self._access.caller(incoming, client, target, bool(routes))
        if known is None:
            return
        if not registering and known.user is None and not known.gateway:
            self._admit(incoming, known)
        if (
            ASSERTED in request.layout.at
            and (client.redirected or not client.hops)
            and not self.trusts(known)
        ):
            # only our own nodes and some gateways are in the trust domain (RFC 3325 section 5): a client cannot assert who it is
            used = [*used, *request.layout.indexes(ASSERTED)]
        placing.carry_out(
            Accepted(incoming, known, uri, routes, max_forwards, used), placing.decide(request, known)
        )
        if (
            known.user is None
            and not known.gateway
            and not registering
            and (request.method != "INVITE" or core.transactions.limiting.reserves)
            and incoming.key in core.transactions.servers
        ):
            core.transactions.limiting.stranger_waits(client.flow, incoming.key)

    def _admit(self, incoming: ServerTransaction, client: Handover) -> None:
        """@raise PeerError: 503, it is a stranger, and there is no room for one more."""
        limiting, invite = self._core.transactions.limiting, incoming.request.method == "INVITE"
        if client.user is None and (limiting.reserves or not invite):
            limiting.admit_stranger(client.flow, invite)

    def _may_redirect(self, client: Handover) -> bool:
        """Whether there is room for a 302 to who has proved nothing; else a password is asked for first, without state."""
        limiting = self._core.transactions.limiting
        return limiting.may_hold_for_strangers() or limiting.is_known(client.flow)

    def serve(self, accepted: Accepted) -> None:
        """Serve what was placed here."""
        if accepted.incoming.request.method != "REGISTER":
            self._serving.serve(accepted)
        elif not accepted.routes and self._core.names.meaning(accepted.uri).local:
            self._register(accepted)
        else:
            self._register_elsewhere(accepted)

    def _register_elsewhere(self, accepted: Accepted) -> None:
        incoming = accepted.incoming
        try:
            incoming.request = self._edge.registering(incoming.request, accepted.client)
        except PeerError as error:
            self._core.transactions.reject(incoming, error)
        else:
            self._serving.serve(accepted)

    def _register(self, accepted: Accepted) -> None:
        core, incoming, client = self._core, accepted.incoming, accepted.client
        if incoming.key not in core.transactions.servers:
            incoming.accept()
        flow = client.flow
        ours = client.ingress == core.node
        epoch = core.epoch if ours else core.epochs(client.ingress)
        source = Source(
            client.ingress,
            core.flow_tokens.seal(flow, epoch),
            flow if ours else None,
            str(flow.hop),
            # each node that handed it over has put a Via on top of that of the client
            first_hop=len(incoming.request.values("via")) == 1 + client.hops,
            transport=flow.transport,
            host=flow.remote[0],
        )
        route = route_value(core.name_towards(flow, ours), flow.transport, "")
        result = self._registrar.register(
            incoming.request, source, client.user, (route,), partial(core.gruus.params, now=core.wall())
        )
        if ours and flow.connection and result.changes:
            longest = max(change.binding.expires_at for change in result.changes)
            core.transport.keep(flow, max(0.0, longest - core.seconds()))
            if result.flow_timer:
                core.transport.expect(flow, FLOW_GRACE * result.flow_timer)
        if result.status >= 300:
            why = result.reason or REASONS.get(result.status, "")
            core.transactions.refusal_lines.note(incoming.request, flow, result.status, why)
        incoming.answer(result.status, result.reason, result.headers)
        incoming.release_request()
        self._serving.completed()

    # -- requests for a flow of ours

    def _over_flow(self, incoming: ServerTransaction, routed: Routed, token: str, max_forwards: int) -> None:
        """
        We own the flow to the phone: another node serves the call and we only send, or it came along a Path of ours.

        Nobody was asked for a password, and phones and registrars know their tokens: it goes over that flow and nowhere else.
        """
        request = incoming.request
        target = self._target_of(routed.uri, token)
        assert routed.own is not None, "the token is that of our Route value"
        if routed.own.has_param("ob"):
            flow, epoch = self._core.flow_tokens.open(token)
            target, copy = self._edge.towards(incoming, routed.uri, flow, epoch, routed.routes, max_forwards)
        else:
            copy = Copy(request, incoming, max_forwards, routed.routes, request.layout.indexes(ASSERTED))
        copy.over_flow = True
        incoming.accept()
        invite = request.method == "INVITE"
        if invite:
            incoming.answer(100)
        context = ProxyContext(invite, self._within.timer_c, 64 * self._core.transactions.durations.t1)
        Forwarding(
            self._core,
            incoming,
            context,
            copy,
        ).start_at(target)

    def _target_of(self, uri: str, token: str) -> Target:
        flow, epoch = self._core.flow_tokens.open(token)
        target = self._dialogs.over_flow(uri, self._core.own_address, flow, epoch, None)
        if target.flow is not None and not self._core.transport.is_alive(target.flow):
            raise PeerError("the flow is not of this node", FLOW_FAILED)
        return target
