"""Overload control of one node, made from its configuration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from voipcluster.balance.overload import OverloadSettings
from voipcluster.errors import PeerError
from voipcluster.net.batch import arrange
from voipcluster.services.sip.core import SipCore
from voipcluster.services.transaction.downstream import Downstreams
from voipcluster.services.transaction.overload import OverloadService
from voipcluster.services.transaction.wakeups import Arrange

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts

UNTRIED = 0.5  # see L{OverloadSettings}; a call is an INVITE and, later, half as much again


def overload_of(
    node: NodeParts,
    seconds: Callable[[], float],
    octets: Callable[[int], bytes],
    rand: Callable[[], float],
) -> OverloadService:
    """What refuses requests while more come than the node can serve; fed by the samples of its workload."""
    options = node.config.overload

    def thin(passing: float) -> None:
        numbers = () if service.for_help is None else node.routing.dialling.plan.emergency
        for port in node.transport.udp_ports:
            port.thin(passing, numbers)

    def arranging(order: Arrange | None) -> None:
        for port in node.transport.udp_ports:
            port.arrange = order or arrange

    service = OverloadService(
        OverloadSettings(target=options.target, untried=UNTRIED),
        seconds,
        node.core.wall,
        node.transactions,
        node.transport,
        node.limiting,
        octets(6).hex(),
        lambda: tuple(host for host, _ in node.core.addresses.values()),
        enabled=options.enabled,
        thin=thin if options.kernel else None,
        is_handover=partial(_opens, node.core),
        is_call=partial(_opens_call, node.core),
        lost=lambda: sum(port.backlog().lost for port in node.transport.udp_ports),
        arrange=arranging,
    )
    take_part(node, service, seconds, rand)

    def sampled(elapsed: float, busy: float, delay: float) -> None:
        load = node.workload.workload()
        # a shortage of packets is not cured by refusing signalling (RFC 6357 section 1): only what needs the relay is kept out
        service.server.calls_only = (
            load.packets >= node.config.cluster.threshold and load.leading == "packets"
        )
        service.sampled(elapsed, busy, delay)

    node.workload.sampled = sampled
    return service


def take_part(
    node: NodeParts, service: OverloadService, seconds: Callable[[], float], rand: Callable[[], float]
) -> None:
    """Tell upstreams how much they may send, and heed what downstreams say, as far as the configuration says so."""
    options = node.config.overload
    node.transactions.taking_part = service.taking_part if options.feedback else service.leaving_out
    if not options.offer:
        node.core.downstreams = None
    elif node.core.downstreams is None:
        node.core.downstreams = Downstreams(seconds, rand, node.limiting.is_known)


def _opens(core: SipCore, token: str, call_id: str) -> bool:
    """Whether a node of the cluster made this hand-over token, lately and for that call."""
    try:
        core.handovers.open(token, call_id, core.wall())
    except PeerError:
        return False
    return True


def _opens_call(core: SipCore, token: str) -> bool:
    """Whether a node of the cluster made this token of a dialog."""
    try:
        core.call_tokens.open(token)
    except PeerError:
        return False
    return True
