"""The side of a node that calls to numbers need: routes, channels of gateways, what users may spend, who calls through what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from voipcluster.services.gateway.allowances import Allowances
from voipcluster.services.gateway.channels import Channels
from voipcluster.services.gateway.incoming import Incoming
from voipcluster.services.gateway.outgoing import Outgoing
from voipcluster.services.gateway.routing import Dialling, NumberRouting
from voipcluster.services.node.dialling import dialling_of
from voipcluster.services.notices import Notices
from voipcluster.services.sip.calls import Call
from voipcluster.sip.emergency import pattern_of

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts


class NumberSide:
    """
    Without routes and gateways nothing of it is in the way of a call.

    @ivar counted: whether calls may hold channels of gateways, or count for who pays them.
    """

    _log = Logger()

    def __init__(self, node: NodeParts, clock: IReactorTime) -> None:
        core, surroundings = node.core, node.surroundings
        self._node = node
        self.counted = False
        self.routing = NumberRouting(
            node.gateways,
            dialling_of(node.config),
            lambda: core.names,
            node.resolver,
            clock,
            surroundings.random,
        )
        self.channels = Channels(node.gateways, node.calls)
        self.allowances = self.routing.allowances = self.channels.allowances = Allowances(
            clock,
            node.tallies,
            node.gateways,
            node.config.allowance.of_user,
            node.accounts.preferences,
            surroundings.wall,
        )
        self.incoming = Incoming(
            self.routing,
            lambda: core.names,
            node.is_ours,
            node.transport.identities,
            Notices(core.seconds, self._log),
        )
        self.allowances.keep = self._keep_minutes
        node.serving.within.identity = node.gateways.credentials
        node.serving.channels = self.channels
        node.calls.adopted = self.adopted
        node.proxy.trusts = self.routing.trusts
        node.gateways.changed.append(lambda: self.use(self.routing.dialling))
        self.use(self.routing.dialling)

    def use(self, dialling: Dialling) -> None:
        """Numbers mean this from now on; calls in progress go on."""
        node, routing = self._node, self.routing
        routing.dialling = dialling
        used = bool(dialling.routes.routes or dialling.enum or node.gateways)
        self.counted = self.counted or used  # calls of a gateway that is removed go on
        node.serving.locating.outgoing = Outgoing(routing, self.channels, node.core) if used else None
        node.proxy.numbers = routing if used else None
        for_help = pattern_of(dialling.plan.emergency) if used else None
        node.placing.for_help = (lambda uri: False) if for_help is None else routing.is_emergency
        node.overload.for_help = for_help
        if node.core.downstreams is not None:
            node.core.downstreams.for_help = for_help
        node.access.gateways = self.incoming if self.incoming.applies else None

    def adopted(self, call: Call) -> None:
        """A call of the process before this one goes on."""
        self.counted = True
        self.channels.adopt(call)
        self.allowances.adopt(call)

    def over(self, call: Call, reason: str) -> None:
        """A call has ended; to be told while calls are C{counted}."""
        self.channels.over(call, reason)
        self.allowances.over(call, reason)

    def _keep_minutes(self, day: str, seconds: Mapping[str, int]) -> None:
        """Written behind the calls; the next change of a count says it again, should the disk not take this."""
        kept = self._node.keep_minutes(day, seconds)
        kept.addErrback(
            lambda failure: self._log.warn(
                "the minutes of today are not kept: {error}", error=failure.getErrorMessage()
            )
        )
