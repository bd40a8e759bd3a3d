"""The node as the first hop of a phone that registers somewhere else (RFC 5626 section 5, RFC 3327)."""

from __future__ import annotations

from functools import partial

from voipcluster.address import Flow
from voipcluster.balance.handover import Handover
from voipcluster.errors import ParseError
from voipcluster.services.sip.access import ASSERTED
from voipcluster.services.sip.copies import Copy
from voipcluster.services.sip.core import SipCore
from voipcluster.services.sip.dialogs import Dialogs
from voipcluster.services.sip.serving import DIALOG_FORMING
from voipcluster.services.transaction.transactions import ServerTransaction
from voipcluster.sip.layout import layout_of
from voipcluster.sip.message import Request, header_line
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.proxy.validation import Refused
from voipcluster.sip.route import Party, contact_hash
from voipcluster.sip.uri import is_sips
from voipcluster.sip.values import parse_name_addr


class Edge:
    """Puts us into the Path of a registration elsewhere, and brings what comes along it to the phone."""

    def __init__(self, core: SipCore, dialogs: Dialogs) -> None:
        self._core = core
        self._dialogs = dialogs

    def registering(self, request: Request, client: Handover) -> Request:
        """
        A REGISTER as it goes on to its registrar: with a Path value that names the phone's flow and has C{ob} when it asks for
        outbound and we are its first hop (section 5.1).

        @raise PeerError: 421, the client does not know of Path (RFC 3327 section 5.2); 400, a broken Contact.
        """
        first_hop = len(request.values("via")) == 1 + client.hops
        if not first_hop or not any(_has_reg_id(value) for value in request.values("contact")):
            return request
        if "path" not in [word.lower() for word in request.values("supported")]:
            raise Refused("outbound needs Path", 421, (("Require", "path"),))
        core, flow = self._core, client.flow
        epoch = core.epoch if client.ingress == core.node else core.epochs(client.ingress)
        token = f"flow={core.flow_tokens.seal(flow, epoch)}"
        # how the registrar comes to us is not how the phone does; for sips it is TLS all the way (RFC 3261 section 26.2.2)
        address = core.public_address if client.ingress == core.node else core.addresses[client.ingress]
        path = core.route_to_node(address, f"{token};ob", is_sips(request.uri))
        layout, lines = layout_of((*request.keys, "path")), [*request.lines, header_line("path", path)]
        return Request(request.method, request.uri, request.start, layout, lines, request.body)

    def towards(
        self,
        incoming: ServerTransaction,
        uri: str,
        flow: Flow,
        epoch: int,
        routes: list[str] | None,
        max_forwards: int,
    ) -> tuple[Target, Copy]:
        """
        What goes to the phone when its registrar sent a request along our Path (section 5.3): we stay in the route of a dialog.

        @raise PeerError: 430, the flow is gone.
        """
        core, request = self._core, incoming.request
        party = Party(core.own_address, flow, epoch, contact_hash(uri))
        target = self._dialogs.over_flow(uri, core.own_address, flow, epoch, party)
        asserted = [index for index, key in enumerate(request.keys) if key == ASSERTED]
        copy = Copy(request, incoming, max_forwards, routes, asserted)
        if request.method in DIALOG_FORMING:
            client = Handover(flow=incoming.flow, ingress=core.node)
            names = request.call_id, request.from_tag or ""
            caller = self._dialogs.caller_party(request, client)
            # its registrar is the proxy of the phone, and knows by itself what it takes from there
            place = self._dialogs.caller_place(request, client, caller, trusted=True)
            copy.record_route = partial(
                self._dialogs.record_route, names, caller, client, is_sips(uri), place
            )
        return target, copy


def _has_reg_id(value: str) -> bool:
    """@raise ParseError: no Contact; C{status_hint} is 400."""
    if value == "*":
        return False
    try:
        contact = parse_name_addr(value)
    except ParseError as error:
        raise ParseError(str(error), 400) from None
    return contact.param("reg-id") is not None and contact.param("+sip.instance") is not None
