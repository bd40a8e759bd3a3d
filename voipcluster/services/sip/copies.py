"""The copy of a request that goes to each of its targets: what all copies have in common, and what differs for one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from twisted.logger import Logger
from twisted.python.failure import Failure

from voipcluster.address import SECURE, UDP, Flow
from voipcluster.errors import PeerError, Throttled, TransportError
from voipcluster.services.sip.challenged_branch import Challenges
from voipcluster.services.sip.next_hop import (
    LARGEST_DATAGRAM,
    NameToResolve,
    TooLargeForUdp,
    strict_or_loose,
)
from voipcluster.services.transaction.transactions import ClientTransaction, IClientUser, ServerTransaction
from voipcluster.sip.diversion import diverted
from voipcluster.sip.message import Request
from voipcluster.sip.outgoing import forward_request
from voipcluster.sip.overload import FIRST_OFFER, OFFER
from voipcluster.sip.proxy.breadth import incoming_breadth
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.resolution import Server
from voipcluster.sip.uri import parse_uri

if TYPE_CHECKING:
    from voipcluster.services.sip.core import SipCore

_log = Logger()


class Changes(NamedTuple):
    """
    What is different in the copy for one target.

    @ivar drop: indexes of header lines to leave out; C{add}: (key, value) of headers to append; C{body}: see L{Copy.body}.
    """

    drop: Sequence[int] = ()
    add: Sequence[tuple[str, str]] = ()
    body: bytes | None = None


class Copy:
    """
    What all copies of one request have in common.

    @ivar routes: Route values behind those of the target, or L{None}: as received.
    @ivar add: (key, value) of headers to append; C{breadth}: what branches that are tried together share, where the
        request or a fork says less than C{SipCore.max_breadth} (RFC 5393 section 5.3.3), else L{None}.
    @ivar body_towards: gives the body for whoever is at the end of a flow, or L{None}: C{body} is for all.
    @ivar towards: gives what else is different for a target, made of the target and the body; or L{None}: nothing is.
    @ivar guard: told of each target and the flow that leads to it, raises L{TransportError} where no copy may go; or L{None}.
    @ivar challenges: answers those of gateways, or L{None}: nobody does. Its changes come on top of all others.
    @ivar over_flow: whether the flow of a target says where the copy goes, and Route is a header like any other: for whoever
        may only speak to the client at the end of that flow (toll fraud).
    @ivar mark: the end of each copy's branch, see L{voipcluster.services.sip.loops}.
    @ivar record_route: gives the Record-Route value for a target, or L{None} when the request makes no dialog.
    """

    __slots__ = (
        "add", "body", "body_towards", "breadth", "challenges", "drop_lines", "guard", "incoming", "mark", "max_forwards",
        "over_flow", "record_route", "request", "routes", "towards", "via",
    )  # fmt: skip

    def __init__(
        self,
        request: Request,
        incoming: ServerTransaction | None,
        max_forwards: int,
        routes: list[str] | None,
        drop_lines: Sequence[int] = (),
        body: bytes | None = None,
        record_route: Callable[[Target, Flow], str] | None = None,
        mark: str = "",
        add: Sequence[tuple[str, str]] = (),
    ) -> None:
        """@raise PeerError: 440, Max-Breadth is used up; L{ParseError}: it is no number."""
        self.mark = mark
        self.add = add
        self.breadth = None if "max-breadth" not in request.layout.at else incoming_breadth(request)
        self.request = request
        self.incoming = incoming
        self.via = incoming.via if incoming is not None else None
        self.max_forwards = max_forwards
        self.routes = routes
        self.over_flow = False
        self.drop_lines = drop_lines
        self.body = body
        self.body_towards: Callable[[Flow], bytes] | None = None
        self.towards: Callable[[Target, bytes | None], Changes] | None = None
        self.guard: Callable[[Target, Flow], None] | None = None
        self.challenges: Challenges | None = None
        self.record_route = record_route

    def send(
        self,
        core: SipCore,
        target: Target,
        user: IClientUser | None,
        number: int,
        server: Server | None = None,
    ) -> ClientTransaction | None:
        """
        Send a copy to a target, in a client transaction unless it is an ACK.

        @param server: one that the name of the next hop leads to.
        @raise NameToResolve: the host of the next hop is a name, and no C{server} is given.
        @raise TooLargeForUdp: neither a flow nor a C{server} is given, and UDP may not be the first choice.
        @raise TransportError: there is no way to the target; L{Throttled}: not now.
        @raise ParseError: its URI or a Route value is none.
        """
        request, uri, flow, routes = self.request, target.uri, target.flow, self.routes
        downstreams, offer = core.downstreams, ""
        if (target.routes or routes) and (flow is None or not self.over_flow):
            # Route says the next hop, whatever flow leads to the target (section 16.6 step 7)
            uri, routes, next_uri = strict_or_loose(uri, [*target.routes, *(routes or ())])
            flow = core.flow_towards(next_uri) if server is None else core.flow_to_server(server)
        elif flow is None:
            flow = core.flow_to(uri) if server is None else core.flow_to_server(server)
        else:
            downstreams = None  # a phone, or whatever else sends over that flow itself
        if downstreams is not None:
            offer = FIRST_OFFER
            if downstreams.records:
                source = None if self.incoming is None else self.incoming.flow
                if not downstreams.admits(flow.remote, request, source):
                    raise Throttled(f"{flow} has asked for fewer requests")
                if flow.remote in downstreams.records:
                    offer = OFFER
        if uri[3:4] in "sS" and flow.transport not in SECURE:  # with "sip:" there is a colon
            raise TransportError("a sips URI is not sent to in the clear")  # section 26.2.2
        branch, body = core.new_branch() + self.mark, self.body
        if self.body_towards is not None:
            body = self.body_towards(flow if target.party is None else target.party.flow)
        drop_lines, add = self.drop_lines, self.add
        if target.diversions:
            dropped, added = diverted(request, target.diversions)
            drop_lines, add = (*drop_lines, *dropped), (*add, *added)
        if self.guard is not None:
            self.guard(target, flow)
        if self.towards is not None:
            drop, more, body = self.towards(target, body)
            drop_lines, add = tuple({*drop_lines, *drop}), (*add, *more)
        if self.challenges is not None:
            drop, more = self.challenges.changes(request, target)
            drop_lines, add = tuple({*drop_lines, *drop}), (*add, *more)
        wire = forward_request(
            request,
            uri=uri,
            via=f"SIP/2.0/{flow.transport} {core.sent_by(flow)};branch={branch}{offer}",
            max_forwards=self.max_forwards - 1,
            received_via=self.via,
            record_route=None if self.record_route is None else self.record_route(target, flow),
            routes=routes,
            drop_lines=drop_lines,
            add=add,
            body=body,
            max_breadth=core.max_breadth if self.breadth is None else min(self.breadth, core.max_breadth),
        )
        if request.method == "ACK":
            core.transport.send(wire, flow)
            return None
        if (
            len(wire) > LARGEST_DATAGRAM
            and server is None
            and flow.transport == UDP
            and flow is not target.flow
        ):
            # not to a phone that registered over UDP: it is reached over that flow only (RFC 5626 section 5.3)
            next_hop = next_uri if target.routes or self.routes else parse_uri(uri)
            if next_hop.param("transport") is None:
                raise TooLargeForUdp(flow.hop)
        return core.transactions.send_request(wire, request.method, branch, flow, user, number, downstreams)

    def send_ack(self, core: SipCore, target: Target) -> None:
        """
        Send a copy of an ACK, now, or when the name of its next hop is looked up.

        @raise TransportError: there is no way to the target; L{ParseError}: its URI or a Route value is none.
        """
        try:
            self.send(core, target, None, 0)
        except NameToResolve as name:
            if core.resolving is None:
                raise
            located = core.resolving.servers_of(name.uri, self.request.call_id)
            sent = located.addCallback(lambda servers: self.send(core, target, None, 0, servers[0]))
            sent.addErrback(_dropped)


def _dropped(failure: Failure) -> None:
    """An ACK that leads nowhere; it is never answered (17.1.1.3), and L{Resolving} has logged why."""
    if not isinstance(failure.value, PeerError):
        _log.failure("an ACK was not sent", failure=failure)
