"""
Who sends what starts something within a dialog: the tags alone say which party it is, and whoever is in the dialog knows both.

Over the flow of a party, or to the place that the caller's INVITE came from, anybody in the dialog may send. What leaves to
somewhere else bears the name of its sender there, at our cost, and so its sender has to be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from voipcluster.address import Flow, join_host_port
from voipcluster.balance.handover import Handover
from voipcluster.errors import ParseError, PeerError
from voipcluster.services.sip.access import Access, sender_of
from voipcluster.services.sip.calls import Call
from voipcluster.services.sip.core import SipCore
from voipcluster.services.sip.dialogs import Dialogs
from voipcluster.services.transaction.limiting import AMPLIFICATION
from voipcluster.services.transaction.transactions import ServerTransaction
from voipcluster.sip.location import Binding
from voipcluster.sip.message import Request, value_of
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.proxy.validation import Refused
from voipcluster.sip.route import place_hash
from voipcluster.sip.uri import parse_uri
from voipcluster.sip.values import address_uri

# Who is not in that dialog refuses these, or does nothing but answer: RFC 3261 sections 11, 12.2.2 and 17.1.1.3, 3262, 3311, 6086
STARTS_NOTHING = frozenset({"ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "OPTIONS"})
ANNOUNCES_NOTHING = STARTS_NOTHING - {"UPDATE"}  # nor says where requests may go from then on
IN_CALLS = frozenset({"INVITE", "MESSAGE", "REFER"})  # what nobody sends within a dialog that is no call


class Passage(NamedTuple):
    """
    How a request within a dialog may go on.

    @ivar over_flow: see L{voipcluster.services.sip.copies.Copy}.
    @ivar drop: header lines that are used up (credentials of ours).
    @ivar user: who has proved a password with it, or L{None}.
    """

    over_flow: bool = False
    drop: Sequence[int] = ()
    user: str | None = None


FREE = Passage()


class Arrival(NamedTuple):
    """
    A request within a dialog as it came in.

    @ivar token: the call token in its Route; C{told}: what the node that it came in at says of its source, or L{None}.
    """

    incoming: ServerTransaction
    from_caller: bool
    token: str
    told: str | None


class Claims:
    """
    Asked for what starts something within a dialog.

    @param bindings: gives those of an address of record that are in force.
    @param trust_source: whether the source of a datagram says who sent it; it can be forged, that of a connection cannot.
    """

    def __init__(
        self,
        core: SipCore,
        access: Access,
        dialogs: Dialogs,
        bindings: Callable[[str], Iterable[Binding]],
        trust_source: bool = True,
    ) -> None:
        self._core = core
        self._access = access
        self._dialogs = dialogs
        self._bindings = bindings
        self.trust_source = trust_source

    def attest(self, request: Request, flow: Flow) -> str:
        """What another node is told of where a request of one of its dialogs came from, for its Route value of ours."""
        core = self._core
        client = Handover(flow=flow, ingress=core.node)
        return core.handovers.seal(client, request.call_id, core.wall())

    def passage(
        self, arrival: Arrival, call: Call | None, target: Target, routes: list[str] | None
    ) -> Passage | None:
        """
        How a request that starts something reaches the other party; L{None} when it was answered: challenged or refused.

        @raise PeerError: as it was refused, when it is no INVITE.
        """
        incoming = arrival.incoming
        try:
            found = self._passage(arrival, call, target, routes)
        except PeerError as error:
            self._note(arrival, error)
            if incoming.request.method != "INVITE":
                raise
            self.keep(incoming)
            self._core.transactions.reject(incoming, error)
        else:
            if isinstance(found, Passage):
                if incoming.request.has("proxy-authorization"):
                    # no answer to a challenge of ours goes further than to us (RFC 3261 section 22.3)
                    return found._replace(drop=self._access.used_up(incoming.request))
                return found
            self.keep(incoming)
            incoming.answer(407, None, found)
        incoming.release_request()
        return None

    def _note(self, arrival: Arrival, error: PeerError) -> None:
        limiting, incoming = self._core.transactions.limiting, arrival.incoming
        limiting.refused["within dialogs"] += 1
        limiting.notices.warn(
            "within dialogs",
            "{peer} was refused {method!r:.20} within a dialog: {status} {reason}",
            peer=str(self.origin(arrival) or incoming.flow),
            method=incoming.request.method,
            status=error.status_hint,
            reason=str(error),
            call=incoming.request.call_id,
        )

    def keep(self, incoming: ServerTransaction) -> None:
        """With state the ACK ends here; without, it would go on to the other party, as one for a 2xx does."""
        incoming.accept()
        incoming.limit_repeats(AMPLIFICATION * incoming.request.wire_size)

    def _passage(
        self, arrival: Arrival, call: Call | None, target: Target, routes: list[str] | None
    ) -> Passage | list[tuple[str, str]]:
        incoming, to_caller = arrival.incoming, not arrival.from_caller
        request, uri, party = incoming.request, target.uri, target.party
        leaves = (
            target.flow is None
            and not target.routes
            and not (to_caller and self._dialogs.is_caller_contact(arrival.token, uri))
        )
        # the flow of a stranger who called through a carrier leads to the carrier, and whatever number is in the URI
        behind = to_caller and party is not None and self._dialogs.is_behind(arrival.token)
        beyond = self._dialogs.foreign(routes) if routes else []
        # no call of this node: nobody is known to have said where he is, but it may be a subscription
        unknown = call is None and request.method not in IN_CALLS
        if not leaves and not behind and not beyond and (not routes or unknown or call is not None):
            return FREE
        sender = sender_of(request, self._core.names)
        user = None if sender is None or sender.domain is None else sender.aor or ""
        shown = self._is_shown(arrival, call, user)
        foreign = not shown and user is None  # reaches what users of ours have announced, and nothing else
        if call is None:
            leads = not foreign if behind else not leaves or (unknown and not foreign)
            follows = not routes or (unknown and not foreign)
        else:
            leads = not (leaves or behind) or call.leads(to_caller, uri, foreign)
            follows = all(call.goes_along(to_caller, value, foreign) for value in beyond)
        if not leads or not (follows or party is not None):
            # only to where the other party said that it is: else whoever called one of us could call anybody (toll fraud)
            raise Refused("the Request-URI or Route is none of this call", 481)
        if shown or foreign:
            return FREE if follows else Passage(over_flow=True)
        if party is not None and not behind:
            return Passage(over_flow=True)  # to that party, whoever sent it
        origin = self.origin(arrival)
        if origin is None:
            # passwords are counted where they come from
            raise Refused("nobody says where that request came from", 403)
        assert sender is not None, "the user of ours that From names"
        client = Handover(flow=origin, ingress=self._core.node)
        proof = self._access.within_dialog(incoming, client, sender)
        if proof.client is None:
            return proof.challenges
        return Passage(over_flow=not follows, user=proof.client.user)

    def learn_contact(self, arrival: Arrival, call: Call, user: str | None) -> None:
        """A party says where it is from now on; C{user}: who has proved a password with that, or L{None}."""
        request, from_caller = arrival.incoming.request, arrival.from_caller
        contact = request.contact_uri
        if not contact or call.leads(from_caller, contact, proved=True):
            return
        proved = (
            self._is_party(arrival, call)
            if user is None
            else self._is_name_of(call, from_caller, user, request)
        )
        call.learn_contact(from_caller, contact, proved)

    def answers_prove(self, call: Call, target: Target, to_caller: bool, routes: list[str] | None) -> bool:
        """Whether what comes back from a target is said by a user of ours, since nobody else is asked."""
        if routes:
            return False
        party = target.party
        if to_caller and not call.user:
            return False
        if party is not None:
            return not to_caller or _source_text(party.flow) == call.source
        return target.flow is None and not target.routes and call.leads(to_caller, target.uri, proved=True)

    # -- who sent it

    def _is_shown(self, arrival: Arrival, call: Call | None, user: str | None) -> bool:
        """
        Whether a request comes from where the one that it names in From is known to be.

        @param user: the address of record in From, empty for a domain of ours alone; L{None}: From is of no domain of ours.
        """
        if not self._access.required:
            return True
        if call is not None and self._is_party(arrival, call):
            return True
        flow = self._source(arrival) if user else None
        return flow is not None and user is not None and self._is_registered(user, flow)

    def _is_party(self, arrival: Arrival, call: Call) -> bool:
        """Whether a request comes from a user of ours who is that party of the call, by its source and its From."""
        flow = self._source(arrival)
        if flow is None:
            return False
        request, from_caller = arrival.incoming.request, arrival.from_caller
        sender = sender_of(request, self._core.names)
        user = (sender.aor if sender is not None else None) or ""
        if not self._is_name_of(call, from_caller, user, request):
            return False
        token = self._core.call_tokens.open(arrival.token)
        if from_caller:
            # the token may be that of another INVITE with these names, but then it did not come from there
            caller = token.caller
            at_its_place = call.source == _source_text(flow) and (
                call.transport == flow.transport if caller is None else _is_from(caller.flow, flow)
            )
        else:
            party = token.callee
            at_its_place = party is not None and _is_from(party.flow, flow)
            if not at_its_place:
                # called at a Contact elsewhere, a mobile or a mailbox: it is where its Contact says
                contact = request.contact_uri
                at_its_place = _is_at(contact, flow) and call.leads(False, contact, proved=True)
        return at_its_place or (bool(user) and self._is_registered(user, flow))

    def origin(self, arrival: Arrival) -> Flow | None:
        """Where a request came in at the cluster; L{None}: at a node that does not say, or what it said is too old."""
        incoming, core = arrival.incoming, self._core
        if arrival.told is not None:
            try:
                client = core.handovers.open(arrival.told, incoming.request.call_id, core.wall())
            except PeerError:
                return None
            return None if client.hops or client.redirected else client.flow
        if _vias(incoming.request) > 1 and any(
            host == incoming.flow.remote[0] for host, _ in core.addresses.values()
        ):
            return None
        return incoming.flow

    def _source(self, arrival: Arrival) -> Flow | None:
        """Where a request was sent from; L{None} when that says nothing."""
        flow = self.origin(arrival)
        if flow is None or not (self.trust_source or flow.reliable):
            return None
        if _vias(arrival.incoming.request) > (1 if arrival.told is None else 2):
            return None  # another proxy passed it on, and whoever is behind that comes from there
        return flow

    def _is_name_of(self, call: Call, from_caller: bool, user: str, request: Request) -> bool:
        """Whether From is what that party is called in the call: C{user}, an address of record of ours, or another URI."""
        if from_caller:
            return bool(user) and user == call.user
        try:
            if place_hash(request.from_uri) == place_hash(address_uri(value_of(call.called))):
                return True
            return bool(user) and user == self._core.names.meaning(call.callee).aor
        except ParseError:
            return False

    def _is_registered(self, user: str, flow: Flow) -> bool:
        """Whether a phone of that user has registered from there, at whatever node."""
        for binding in self._bindings(user):
            known = binding.flow
            if known is None and binding.flow_token:
                try:
                    known, _ = self._core.flow_tokens.open(binding.flow_token)
                except PeerError:
                    continue
            if known is not None and _is_from(known, flow):
                return True
        return False


def _vias(request: Request) -> int:
    """How many Via values a request has. @raise ParseError: unbalanced quotes."""
    return len(request.values("via"))


def _is_from(known: Flow, flow: Flow) -> bool:
    """Whether it is that flow; a connection of the same port may be that of somebody else by now."""
    return (
        known.remote == flow.remote
        and known.transport == flow.transport
        and known.connection == flow.connection
    )


def _is_at(contact: str, flow: Flow) -> bool:
    """Whether a Contact names the very place that a request came from."""
    try:
        uri = parse_uri(contact)
    except ParseError:
        return False
    return not flow.reliable and (uri.param("maddr") or uri.host, uri.port or 5060) == flow.remote


def _source_text(flow: Flow) -> str:
    return join_host_port(*flow.remote)
