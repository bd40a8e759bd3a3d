"""Placing a new request: serve it here, hand it over, redirect the client, or refuse (design claims 3 to 10)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

from attrs import evolve
from twisted.logger import Logger

from voipcluster.address import TLS, WS, WSS, is_ipv6
from voipcluster.balance.decision import Decision, HandOver, PlacementRequest, Refuse, Serve, Ticket
from voipcluster.balance.explain import ExplainLog
from voipcluster.balance.handover import Handover
from voipcluster.balance.placement import Placement
from voipcluster.errors import PeerError
from voipcluster.services.sip.accepted import Accepted
from voipcluster.services.sip.copies import Copy
from voipcluster.services.sip.core import SipCore
from voipcluster.services.sip.forwarding import Forwarding
from voipcluster.services.sip.riding import HEADER, PARAMETER
from voipcluster.sip.message import Request, Response
from voipcluster.sip.proxy.context import ProxyContext
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.uri import is_sips, parse_uri

SIGN_OF_LIFE = 1.0  # seconds in which a node answers a hand-over with anything, or the next one is asked
PATIENCE = 4.0  # seconds that it waits longer at most, where this node itself reads late; C{UNREAD}: from there on it does
UNREAD = 0.1
FOLLOWERS = (
    "sipp",
    "baresip",
    "voipcluster-phone",
    "asterisk",
    "freeswitch",
)  # known to follow a 302 (mode auto)


class Placing:
    """
    @param mode: C{forward}, C{redirect} or C{auto}.
    @param rand: floats from 0.0 to below 1.0.
    @ivar relays: whether calls need the relay of this node.
    @ivar for_help: whether a Request-URI calls for help: then load is no reason to refuse it.
    @ivar reached_at_address: whether clients reach the nodes at the addresses by which nodes call each other.
    @ivar handed_over: how many requests went to each node; C{redirected}: how many clients were sent there; C{served}: how many
        requests this node has served, C{taken}: for another one; C{refused}: how many it has refused.
    """

    _log = Logger()

    def __init__(
        self,
        core: SipCore,
        placement: Placement,
        mode: str,
        rand: Callable[[], float],
        serve: Callable[[Accepted], None],
        timer_c: float,
    ) -> None:
        self._core = core
        self._placement = placement
        self.mode = mode
        self._rand = rand
        self._serve = serve
        self._timer_c = timer_c
        self.relays = True
        self.for_help: Callable[[str], bool] = lambda uri: False
        self.reached_at_address = True
        self.explanations = ExplainLog()
        self.handed_over: Counter[str] = Counter()
        self.redirected: Counter[str] = Counter()
        self.taken = 0
        self.served = 0
        self.refused = 0

    def behind(self) -> float:
        """Seconds that what comes to this node waits before it is read."""
        return self._placement.own().delay

    @property
    def total_handed_over(self) -> int:
        """Requests that other nodes took from this one, by hand-over or redirect."""
        return sum(self.handed_over.values()) + sum(self.redirected.values())

    def redirects(self, request: Request, client: Handover) -> bool:
        """
        Whether a client is told to go to another node, instead of being served through this one.

        Phones that follow a 302 to REGISTER are rare, and Service-Route does the same for them: REGISTER is forwarded.
        """
        if self.mode == "forward" or request.method != "INVITE" or client.hops:
            return False
        if client.flow.transport in (WS, WSS):
            return False  # a browser has the connection that it has
        if ";hop=" in request.uri:
            return False  # it has been: its outbound proxy is this node, whatever the URI says
        if self.mode == "redirect":
            return True
        agent = (request.get("user-agent") or "").lower()
        return any(name in agent for name in FOLLOWERS)

    def decide(self, request: Request, client: Handover, refused: tuple[str, ...] = ()) -> Decision:
        """Place a request and remember why."""
        decision = self._placement.place(
            PlacementRequest(
                request.call_id,
                request.method == "INVITE",
                client.visited,
                client.hops,
                refused,
                client.redirected,
                self.relays and request.method == "INVITE",
            ),
            self._core.seconds(),
            self._rand,
        )
        self.explanations.add(decision.explanation)
        return decision

    def carry_out(self, accepted: Accepted, decision: Decision) -> None:
        """Do what was decided about a request whose client is known."""
        match decision:
            case Serve():
                if accepted.client.hops:
                    self.taken += 1
                self.served += 1
                self._serve(accepted)
            case HandOver():
                self._hand_over(accepted, decision)
            case Refuse() if self.for_help(accepted.uri):
                self.served += 1
                self._serve(accepted)
            case Refuse(status=status):
                self.refused += 1
                # no Retry-After: it would keep the client from the other nodes as well (RFC 7339 section 5.10.2)
                accepted.incoming.refuse(status, why=decision.explanation.reason)

    def may_go(self, client: Handover, node: str) -> bool:
        """Whether a client can send to another node by itself, at the one address that we know of it."""
        return self.reached_at_address and is_ipv6(client.flow.remote[0]) == is_ipv6(
            self._core.addresses[node][0]
        )

    def redirect(self, accepted: Accepted, decision: HandOver) -> None:
        """302 with a Contact at the chosen node (RFC 3261 section 8.3); its C{hop} parameter says that we sent the client."""
        core, request = self._core, accepted.incoming.request
        uri = parse_uri(accepted.uri)
        transport = accepted.client.flow.transport
        address = core.addresses[decision.node]
        host, port = core.address_for(address, TLS if uri.scheme == "sips" else transport)
        client = evolve(accepted.client, visited=(core.node,), hops=1).for_redirect()
        token = core.handovers.seal(client, request.call_id, core.wall())
        names = core.names
        moved = evolve(uri, host=host, port=port, headers="").with_param("hop", token)
        if transport == TLS and uri.scheme == "sip":
            moved = moved.with_param("transport", "tls")
        domain = names.domain_of(uri)
        if domain is not None and domain != host:
            moved = moved.with_param("domain", domain)
        self.redirected[decision.node] += 1
        accepted.incoming.accept()
        accepted.incoming.answer(302, None, [("contact", f"<{moved}>")])
        accepted.incoming.release_request()
        self._placement.answered(decision.ticket, 200, core.seconds())

    def _hand_over(self, accepted: Accepted, decision: HandOver) -> None:
        accepted.incoming.accept()
        client = accepted.client
        if accepted.incoming.request.method == "INVITE" or (client.hops and not client.redirected):
            accepted.incoming.answer(100)
        _Delegation(self, accepted, decision).start()


class _HandingOver(Forwarding):
    """
    The copies that go to nodes. What these have answered may lie unread in our own socket, when it is this node that is slow.

    @ivar behind: seconds that a message waits here before it is read.
    """

    __slots__ = ("_due", "behind")

    def __init__(self, behind: Callable[[], float], *of_forwarding: Any) -> None:
        super().__init__(*of_forwarding)
        self.behind = behind
        self._due: dict[str, float] = {}

    def timer_fired(self, name: str) -> None:
        """A node that was silent for too long is waited for until all is read that had come by then."""
        if name.startswith("answer:"):
            late = self.behind()
            if late > UNREAD:
                now = self._wheel.seconds()
                left = self._due.setdefault(name, now) + min(late, PATIENCE) - now
                if left > 0.0:
                    self._cancel_timer(name)
                    self._set_timer(name, ceil(10.0 * left) / 10.0)  # each duration has a queue of its own
                    return
        super().timer_fired(name)


class _Delegation:
    """One request that other nodes are asked to take, one after the other, until one does."""

    def __init__(self, placing: Placing, accepted: Accepted, decision: HandOver) -> None:
        self._placing = placing
        self._accepted = accepted
        self._decision: HandOver | None = decision
        self._refused: tuple[str, ...] = ()
        self._request = accepted.incoming.request
        self._open: dict[str, Ticket] = {}

    def start(self) -> None:
        accepted, placing = self._accepted, self._placing
        core, request = placing._core, self._request
        copy = Copy(request, accepted.incoming, accepted.max_forwards, accepted.routes, accepted.drop_lines)
        durations = core.transactions.durations
        context = ProxyContext(request.method == "INVITE", placing._timer_c, 64 * durations.t1, relocate=True)
        _HandingOver(
            placing.behind,
            core,
            accepted.incoming,
            context,
            copy,
            self._locate,
            self._answered,
            self._ended,
            self._heard,
        ).start()

    def _locate(self, forwarding: Forwarding, failed: Sequence[Target], status: int) -> None:
        placing, accepted = self._placing, self._accepted
        decision = self._decision
        self._decision = None
        if decision is None:
            for target in failed:
                if target.node not in self._refused:
                    self._failed(target.node)
            again = placing.decide(self._request, accepted.client, self._refused)
            if not isinstance(again, HandOver):
                if isinstance(again, Serve) or placing.for_help(accepted.uri):
                    forwarding.let_go()
                    accepted.incoming.request = self._request
                    placing.served += 1
                    # whose copy the phone has already is asked on; what is not taken over by then has an end
                    try:
                        placing._serve(accepted._replace(asked_before=forwarding))
                    finally:
                        forwarding.give_up()
                else:
                    forwarding.abandon()
                    placing.refused += 1
                    accepted.incoming.request = self._request
                    accepted.incoming.answer(again.status)
                    if (refused := placing._core.transactions.refused) is not None:
                        refused(accepted.incoming, again.status, (), again.explanation.reason)
                    accepted.incoming.release_request()
                return
            decision = again
        placing.handed_over[decision.node] += 1
        self._open[decision.node] = decision.ticket
        forwarding.located((self._target(decision.node),))

    def _target(self, node: str) -> Target:
        core = self._placing._core
        client = self._accepted.client.onward(core.node, self._refused)
        token = core.handovers.seal(client, self._request.call_id, core.wall())
        address, riding = core.addresses[node], core.riding
        parameters = f"ho={token}" if riding is None else f"ho={token};{PARAMETER}={riding.text()}"
        return Target(
            self._accepted.uri,
            routes=(core.route_to_node(address, parameters, is_sips(self._accepted.uri)),),
            answer_within=SIGN_OF_LIFE,
            node=node,
        )

    def _failed(self, node: str) -> None:
        self._refused = (*self._refused, node)
        ticket = self._open.pop(node, None)
        if ticket is not None:
            self._placing._placement.failed(ticket, self._placing._core.seconds())

    def _heard(self, target: Target, status: int, response: Response | None) -> None:
        """Any response of the node, the first one counts."""
        riding = self._placing._core.riding
        if status == 100 and riding is not None and response is not None and target.node:
            riding.heard(target.node, response.get(HEADER))
        ticket = self._open.pop(target.node, None)
        if ticket is not None:
            self._placing._placement.answered(ticket, status, self._placing._core.seconds())
        if status == 503:
            self._refused = (*self._refused, target.node)

    def _answered(self, target: Target, response: Response) -> bytes | None:
        return None

    def _ended(self, status: int) -> None:
        for node in list(self._open):
            self._failed(node)


def redirected_client(
    core: SipCore, request: Request, uri_text: str, source: Handover
) -> tuple[Handover, str] | None:
    """
    The client of a request that a 302 of ours brought here, and the Request-URI that it stands for; else L{None}.

    A phone that sends all through its outbound proxy brings it to the node that redirected it: that one places it again,
    and hands it over.

    @raise PeerError: 403, the token is not ours, too old, for another call, or was not made for a client.
    """
    uri = parse_uri(uri_text)
    token = uri.param("hop")
    if token is None or not core.names.is_node(uri):
        return None
    told = core.handovers.open(token, request.call_id, core.wall())
    if not told.redirected:
        raise PeerError("hand-over token of a node in a redirected request", 403)
    domain = uri.param("domain")
    bare = uri.without_params("hop", "domain")
    if domain in core.names.domains:
        bare = evolve(bare, host=domain, port=None)
    if not core.names.is_own(uri):
        return source, str(bare)
    client = evolve(source, visited=told.visited, hops=told.hops, redirected=True)
    return client, str(bare)
