"""Where a node listens, from its configuration: its addresses, TLS, WebSocket, the web page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.interfaces import IReactorTime

from voipcluster.address import TLS, WS, WSS
from voipcluster.config import Config
from voipcluster.config.addresses import host_names
from voipcluster.net.sip_tls import SipTls, TlsFiles
from voipcluster.net.websocket_resource import Origins, SipWebSocketResource
from voipcluster.services.media.ports import RelayAddress
from voipcluster.services.transaction.transport import ListenAddress, TransportService
from voipcluster.services.transaction.websockets import WebSocketService
from voipcluster.sip.route import Address
from voipcluster.web.gate import Gate
from voipcluster.web.site import WebService
from voipcluster.web.view import INodeView


def make_tls(config: Config) -> SipTls | None:
    """
    TLS when there is a certificate.

    @raise UsageError: a file cannot be used.
    """
    tls = config.tls
    if not tls.certificate:
        return None
    return SipTls(TlsFiles(tls.certificate, tls.key, tls.ca, tls.client_certificate))


def listen_addresses(config: Config) -> list[ListenAddress]:
    """Where SIP comes in, the address that the other nodes know first."""
    node, port, tls_port = config.node, config.sip.port, config.tls.port
    first = ListenAddress(node.address, port, node.advertised or None, tls_port=tls_port)
    return [first, *(ListenAddress(also, port, tls_port=tls_port) for also in node.also)]


def relay_addresses(config: Config) -> list[RelayAddress]:
    """Where media comes in, one address of each IP version."""
    node = config.node
    return [RelayAddress(node.address, node.advertised), *map(RelayAddress, node.also)]


def own_names(config: Config) -> frozenset[Address]:
    """All that this node is called in a URI: host and port."""
    ports = (config.sip.port, *own_ports(config).values())
    return frozenset((host, port) for host in host_names(config.node) for port in ports)


def own_ports(config: Config) -> dict[str, int]:
    """The ports of transports that have another one than UDP and TCP; of two for WebSocket, that which has no web page."""
    ports = {TLS: config.tls.port} if config.tls.certificate else {}
    for transport, port in reversed(_websocket_ports(config)):
        ports[transport] = port
    return ports


def _websocket_ports(config: Config) -> list[tuple[str, int]]:
    """Transport and port, the one to be named first."""
    web, websocket = config.web, config.websocket
    ports = [(websocket.tls, websocket.port), (web.tls, web.port)]
    return [(WSS if tls else WS, port) for tls, port in ports if port]


def make_web(
    reactor: Any, config: Config, transport: TransportService, tls: SipTls | None, view: INodeView, gate: Gate
) -> list[WebSocketService | WebService]:
    """The web page with C{/sip}, and the port for WebSocket alone, as far as they are wanted."""
    node, web, websocket = config.node, config.web, config.websocket
    origins = Origins(frozenset(websocket.origins), tuple(domain.lower() for domain in config.cluster.domain))
    services: list[WebSocketService | WebService] = []
    for kind, port in _websocket_ports(config):
        taking = transport.take_websockets(kind, (node.address, port), node.advertised or None)
        resource = SipWebSocketResource(taking, origins)
        secure = _secured(reactor, tls) if kind == WSS else None
        if port == websocket.port:
            services.append(WebSocketService(reactor, node.address, port, resource, secure))
        else:
            services.append(WebService(reactor, config.web_host, web.port, view, gate, resource, secure))
    return services


def _secured(reactor: Any, tls: SipTls | None) -> Callable[[Any], Any]:
    assert tls is not None, "the configuration was checked"
    return partial(tls.accepting, clock=IReactorTime(reactor), browsers=True)
