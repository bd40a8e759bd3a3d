"""The caller's and callee's side of a dialog: sequence numbers, remote target and route set (RFC 3261 section 12)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import define

from voipcluster.address import DEFAULT_PORT, Hop, is_ip, join_host_port
from voipcluster.errors import ParseError
from voipcluster.sip.message import COOKIE, Request, Response
from voipcluster.sip.outgoing import build_request
from voipcluster.sip.uri import SipUri, parse_uri
from voipcluster.sip.values import parse_name_addr

MAX_FORWARDS = 70
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO"  # what the phone takes


@define
class Line:
    """
    One account of a phone, and where it is.

    @ivar proxy: where requests go that no route leads elsewhere.
    @ivar contact: (IP literal, port) that others reach us at; C{transport} is that of the contact, in upper case.
    @ivar fresh: gives a new random text at each call, for tags, branches and Call-IDs.
    @ivar service_route: the values of Service-Route of the last registration (RFC 3608).
    """

    user: str
    domain: str
    password: str
    proxy: Hop
    contact: tuple[str, int]
    transport: str
    fresh: Callable[[], str]
    service_route: tuple[str, ...] = ()

    @property
    def aor(self) -> str:
        return f"sip:{self.user}@{self.domain}"

    @property
    def contact_value(self) -> str:
        transport = "" if self.transport == "UDP" else f";transport={self.transport.lower()}"
        return f"<sip:{self.user}@{join_host_port(*self.contact)}{transport}>"


def hop_to(uri: SipUri) -> Hop | None:
    """Where a URI with an IP literal leads, or L{None} for a name: the phone leaves those to its proxy."""
    if not is_ip(uri.host):
        return None
    return Hop(uri.transport, uri.host, uri.port or DEFAULT_PORT.get(uri.transport, 5060))


def first_contact(message: Request | Response) -> str | None:
    """The URI of the first Contact, or L{None}."""
    values = message.values("contact")
    return parse_name_addr(values[0]).uri if values and values[0] != "*" else None


@define
class Dialog:
    """
    What the requests of one side have in common; a request outside of a dialog is one that has no remote tag yet.

    @ivar local: the value of our From, with its tag; C{remote}: that of our To.
    @ivar target: the remote target, a URI; C{routes}: the route set, values of Route in their order.
    @ivar direct: whether the target says where to go when there is no route, not the proxy of the line.
    """

    call_id: str
    local: str
    remote: str
    target: str
    routes: tuple[str, ...] = ()
    direct: bool = False
    local_seq: int = 0
    remote_seq: int = -1

    @classmethod
    def outgoing(cls, line: Line, to: str, routes: tuple[str, ...]) -> Dialog:
        """A dialog that is to come: for an INVITE, or for requests that make none."""
        call_id = f"{line.fresh()}@{line.contact[0]}"
        return cls(call_id, f"<{line.aor}>;tag={line.fresh()}", f"<{to}>", to, routes)

    @classmethod
    def incoming(cls, request: Request, tag: str) -> Dialog:
        """
        The callee's side (12.1.1).

        @raise ParseError: no Contact, or one that cannot be read.
        """
        contact = first_contact(request)
        if contact is None:
            raise ParseError("an INVITE without Contact")
        local = f"{request.get('to') or ''};tag={tag}"
        routes = tuple(request.values("record-route"))
        number, _ = request.cseq
        remote = request.get("from") or ""
        return cls(request.call_id, local, remote, contact, routes, True, remote_seq=number)

    @property
    def local_tag(self) -> str:
        return self.local.rpartition(";tag=")[2]

    def confirm(self, response: Response) -> None:
        """Take over what a 2xx says of the dialog (12.1.2, 13.2.2.4)."""
        self.remote = response.get("to") or self.remote
        self.target = first_contact(response) or self.target
        self.routes = tuple(reversed(response.values("record-route")))
        self.direct = True

    def next_hop(self, line: Line) -> Hop:
        """Where the next request goes: the first route, else the target, else the line's proxy (8.1.2, 12.2.1.1)."""
        if self.routes:
            return hop_to(parse_name_addr(self.routes[0]).sip_uri()) or line.proxy
        return (hop_to(parse_uri(self.target)) if self.direct else None) or line.proxy

    def request(
        self,
        line: Line,
        method: str,
        *,
        branch: str,
        seq: int | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Request:
        """
        Build a request of this dialog (12.2.1.1), on the route that its next hop begins.

        @param seq: the number of another request that this one belongs to (ACK), or L{None}: the next one.
        """
        if seq is None:
            self.local_seq += 1
            seq = self.local_seq
        uri, routes = self.target, list(self.routes)
        if routes and not parse_name_addr(routes[0]).sip_uri().has_param("lr"):
            uri = parse_name_addr(routes.pop(0)).uri  # a strict router takes the Request-URI for itself
            routes.append(f"<{self.target}>")
        transport = self.next_hop(line).transport
        via = f"SIP/2.0/{transport} {join_host_port(*line.contact)};rport;branch={COOKIE}{branch}"
        common = [
            ("Via", via),
            ("Max-Forwards", str(MAX_FORWARDS)),
            *(("Route", route) for route in routes),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{seq} {method}"),
        ]
        return build_request(method, uri, [*common, *headers], body)
