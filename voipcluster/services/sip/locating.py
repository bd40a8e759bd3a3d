"""Where a new request goes: to phones of a user, as he wants it, to a gateway, or along its Route (RFC 3261 section 16.5)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from voipcluster.balance.handover import Handover
from voipcluster.errors import PeerError
from voipcluster.services.gateway.outgoing import Outgoing, OutgoingCall
from voipcluster.services.sip.accepted import Accepted
from voipcluster.services.sip.core import SipCore
from voipcluster.services.sip.diverting import Diverting, Wishes
from voipcluster.services.sip.loops import Loops
from voipcluster.services.sip.targets import NoSuchUser, Targets
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.reaching import Attempt
from voipcluster.sip.uri import is_sips


class Located(NamedTuple):
    """
    Where a request goes.

    @ivar mark: for the branch; C{diverting}: gives more targets when these came to nothing, or L{None}; C{outgoing}: what it is
        besides when a number is called, or L{None}.
    """

    mark: str
    targets: list[Target]
    diverting: Diverting | None = None
    outgoing: OutgoingCall | None = None


class Locating:
    """
    @param targets: the users who are registered; C{wishes}: their preferences.
    @ivar outgoing: calls to numbers, or L{None}: there are none.
    """

    def __init__(self, core: SipCore, targets: Targets, wishes: Wishes) -> None:
        self._core, self._targets, self._wishes = core, targets, wishes
        self._preferences = wishes.preferences
        self._loops = Loops(core)
        self.outgoing: Outgoing | None = None

    def number_of(self, uri: str) -> str:
        """The number that a URI of ours is, as E.164 has it, or an empty text."""
        return "" if self.outgoing is None else self.outgoing.routing.number_text(uri)

    def is_for_help(self, uri: str) -> bool:
        """Whether a Request-URI calls for help, which nobody's own preferences forbid."""
        return self.outgoing is not None and self.outgoing.routing.is_emergency(uri)

    def check_caller(self, accepted: Accepted) -> None:
        """@raise PeerError: the caller's own preferences do not let the call out (RFC 5359 section 2.14)."""
        if self._preferences and not self.is_for_help(accepted.uri):
            self._wishes.check_caller(
                accepted.incoming.request, accepted.client, accepted.uri, self.number_of
            )

    def locate(self, accepted: Accepted, uri: str) -> Located:
        """@raise PeerError: there are no targets; L{NumberAsked}: the DNS has to say first where they are."""
        if accepted.routes:
            return self._located("", accepted, [Target(uri)])
        incoming = accepted.incoming
        mark = self._loops.mark(incoming.request, uri)
        if self._preferences:
            reaching = self._wishes.reaching(
                incoming.request, accepted.client, uri, accepted.drop_lines, self.number_of
            )
            if reaching is not None:
                outgoing = self._outgoing_of(accepted)
                diverting = Diverting(incoming, reaching, uri, partial(self._of_attempt, accepted, outgoing))
                return Located(mark, diverting.targets, diverting, outgoing)
        try:
            return self._located(mark, accepted, self._known(accepted, self._targets.locate(uri)))
        except NoSuchUser:
            outgoing = self._outgoing_of(accepted)
            if outgoing is None:
                raise
            return Located(mark, outgoing.reach(uri), None, outgoing)

    def answered(self, accepted: Accepted, uri: str, uris: Sequence[str]) -> Located:
        """
        Where a number is, behind L{NumberAsked}.

        @param uris: what the DNS has for it.
        @raise PeerError: there are no targets.
        """
        request = accepted.incoming.request
        assert self.outgoing is not None  # it has asked
        outgoing = self.outgoing.of(request, accepted.client)
        found: list[Target] = []
        for one in uris:
            with suppress(PeerError):
                found += outgoing.named(self._targets.locate(one))
        targets = outgoing.reach(uri, self._known(accepted, found))
        return Located(self._loops.mark(request, uri), targets, None, outgoing)

    def _located(self, mark: str, accepted: Accepted, targets: list[Target]) -> Located:
        """@raise PeerError: one of the targets is a gateway that does not take it."""
        routes = accepted.routes or ()
        if self.outgoing is None or not self.outgoing.leads_to_gateway(targets, routes):
            return Located(mark, targets)
        outgoing = self.outgoing.of(accepted.incoming.request, accepted.client)
        return Located(mark, outgoing.named(targets, routes), None, outgoing)

    def _outgoing_of(self, accepted: Accepted) -> OutgoingCall | None:
        return None if self.outgoing is None else self.outgoing.of(accepted.incoming.request, accepted.client)

    def _of_attempt(
        self, accepted: Accepted, outgoing: OutgoingCall | None, attempt: Attempt
    ) -> list[Target]:
        if outgoing is None:
            return self._known(accepted, self._targets.locate(attempt.uri))
        uri, by = outgoing.sip_uri(attempt.uri), attempt.diversions[-1].by if attempt.diversions else ""
        try:
            return outgoing.named(self._known(accepted, self._targets.locate(uri)), (), by)
        except NoSuchUser:
            return outgoing.reach(uri, (), by)

    def _known(self, accepted: Accepted, targets: list[Target]) -> list[Target]:
        if accepted.client.user is None and not accepted.client.gateway:
            return targets
        return [
            target if target.flow is not None or target.routes else self._known_here(target, accepted)
            for target in targets
        ]

    def _known_here(self, target: Target, accepted: Accepted) -> Target:
        """A Contact that leads back to us: with its copy goes who has proved a password, so that nobody is asked again."""
        core, client = self._core, accepted.client
        if not core.names.meaning(target.uri).local:
            return target
        known = Handover(flow=client.flow, ingress=core.node, user=client.user, gateway=client.gateway)
        token = core.handovers.seal(known, accepted.incoming.request.call_id, core.wall())
        return target._replace(
            routes=(core.route_to_node(core.own_address, f"ho={token}", is_sips(target.uri)),)
        )
