"""Names of ours and the Route headers that name us (RFC 3261 sections 16.4 and 16.12)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from attrs import evolve, field, frozen

from voipcluster.address import DEFAULT_PORT, join_host_port
from voipcluster.remember import remember
from voipcluster.sip.message import Request
from voipcluster.sip.route import NODE, Address, route_uri
from voipcluster.sip.uri import SipUri, parse_uri, unescape

_TOKEN = re.compile(rb"[A-Za-z0-9_\-]+")


_KEPT = 8192  # URIs whose meaning is remembered


class Meaning(NamedTuple):
    """
    What the text of a URI means in this cluster.

    @ivar domain: see L{Names.domain_of}; C{local}: L{Names.is_local}; C{aor}: L{Names.aor}.
    """

    uri: SipUri
    domain: str | None
    local: bool
    aor: str | None


@frozen
class Names:
    """
    Who we are.

    @ivar own: (host, port) of each address that this node listens on or is known by.
    @ivar cluster: the same of every node of the cluster, this one included.
    @ivar meaning: gives all that is asked of a URI which comes with each request of somebody. @raise ParseError: it is none.
    @ivar domains: the SIP domains that the cluster serves, in lower case; the first one is the default.
    """

    own: frozenset[Address]
    cluster: frozenset[Address]
    domains: tuple[str, ...]
    _own_routes: frozenset[bytes] = field(init=False, repr=False, eq=False)
    meaning: Callable[[str], Meaning] = field(init=False, repr=False, eq=False)

    @_own_routes.default
    def _begin_of_our_route_lines(self) -> frozenset[bytes]:
        return frozenset(
            f"Route: <sip:{join_host_port(*address)}".encode("utf-8", "surrogateescape")
            for address in self.own
        )

    @meaning.default
    def _remembered_meanings(self) -> Callable[[str], Meaning]:
        return remember(_KEPT)(self._meaning)

    def _meaning(self, text: str) -> Meaning:
        uri = parse_uri(text)
        return Meaning(uri, self.domain_of(uri), self.is_local(uri), self.aor(uri))

    def is_own(self, uri: SipUri) -> bool:
        """Whether a URI resolves to this very node."""
        return _address(uri) in self.own

    def takes_route(self, uri: SipUri) -> bool:
        """
        Whether a Route value names this node (section 16.4): by an address, or by a domain that any node serves.

        A phone that has the domain as its outbound proxy writes the latter; with another port it is some other server there.
        """
        if self.is_own(uri):
            return True
        if uri.host not in self.domains or uri.has_param("maddr"):
            return False
        return uri.port is None or any(uri.port == port for _, port in self.own)

    def without_own_maddr(self, uri: SipUri, transport: str, port: int) -> SipUri:
        """
        A Request-URI whose maddr names us by the transport and port over which it came means what is left of it (section 16.4).

        Any other one is given back as it is.
        """
        if uri.transport != transport or not self.is_own(uri):
            return uri
        if (uri.port or DEFAULT_PORT.get(transport, 5060)) != port:
            return uri
        return evolve(uri.without_params("maddr", "transport"), port=None)

    def is_node(self, uri: SipUri) -> bool:
        """Whether a URI resolves to any node of the cluster."""
        return _address(uri) in self.cluster

    def is_local(self, uri: SipUri) -> bool:
        """Whether a URI is in a domain that the cluster answers for."""
        return uri.host in self.domains or self.is_node(uri)

    def domain_of(self, uri: SipUri) -> str | None:
        """The domain of ours that a URI is in; the first one when it names a node, L{None} when it is foreign."""
        if uri.host in self.domains:
            return uri.host
        if self.is_local(uri):
            return self.domains[0] if self.domains else uri.host
        return None

    def aor(self, uri: SipUri) -> str | None:
        """The address of record that a URI means here, C{user@domain} with escapes decoded, or L{None}."""
        domain = self.domain_of(uri)
        if domain is None or not uri.user:
            return None
        return f"{unescape(uri.user)}@{domain}"


def _address(uri: SipUri) -> Address:
    return uri.param("maddr") or uri.host, uri.port or DEFAULT_PORT.get(uri.transport, 5060)


class Routed(NamedTuple):
    """
    A request behind the pre-processing of its Route (section 16.4).

    @ivar uri: the text of its Request-URI.
    @ivar own: the URI of the Route value that named us, or L{None}.
    @ivar routes: the values that are left, or L{None} when it has no Route.
    """

    uri: str
    own: SipUri | None
    routes: list[str] | None


def preprocess_route(request: Request, names: Names) -> Routed:
    """
    Take our own value off the top of Route; put back what a strict router in front of us moved (section 16.4).

    Two values of ours with one token are both taken (double Record-Route, RFC 5658); those of two passes through this node
    have two tokens, and the second one is left for the second pass. A second one with the token and a node's name is ours at
    whatever address (L{voipcluster.sip.route}). Those without a token are all taken: a long list of them would send a request
    round and round here.

    @raise ParseError: a Route value that is none.
    """
    if not request.has("route"):
        return Routed(request.uri, None, None)
    routes = request.values("route")
    uri = request.uri
    if ";lr" in uri and routes:
        target = parse_uri(uri)
        if target.has_param("lr") and names.is_own(target):
            # a strict router put our Record-Route value into the Request-URI: the true one is the last Route
            last = routes.pop()
            return Routed(str(route_uri(last)), target, routes)
    own: SipUri | None = None
    taken = 0
    while routes and (taken < 2 or (own is not None and own.param("call") is None)):
        top = route_uri(routes[0])
        if own is None:
            if not names.takes_route(top):
                break
        elif own.param("call") != top.param("call") or not (
            names.takes_route(top) or (top.has_param(NODE) and top.has_param("call"))
        ):
            break
        own = own or top
        del routes[0]
        taken += 1
    return Routed(uri, own, routes)


def own_call_token(request: Request, names: Names) -> str | None:
    """
    The call token when the only Route is ours, for UDP, in our own spelling; else L{None}, and L{preprocess_route} has to look.

    So it is with nearly every request within a dialog; then nothing of Route is left, and nothing else of it matters.
    """
    index = request.layout.only_route
    if index < 0 or ";lr" in request.uri:
        return None
    begin, found, end = request.lines[index].partition(b";lr;call=")
    if (
        not found
        or begin not in names._own_routes
        or end[-1:] != b">"
        or not _TOKEN.fullmatch(end, 0, len(end) - 1)
    ):
        return None
    return end[:-1].decode("ascii")
