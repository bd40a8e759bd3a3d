"""What a node listens with besides UDP and TCP, from its configuration: TLS, WebSocket, the web page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.interfaces import IReactorTime

from voipcluster.address import TLS, WS, WSS
from voipcluster.config import Config
from voipcluster.net.sip_tls import SipTls, TlsFiles
from voipcluster.net.websocket_resource import Origins, SipWebSocketResource
from voipcluster.services.sip.transport import TransportService
from voipcluster.services.sip.websockets import WebSocketService
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
    reactor: Any, config: Config, transport: TransportService, tls: SipTls | None, view: INodeView
) -> list[WebSocketService | WebService]:
    """The web page with F{/sip}, and the port for WebSocket alone, as far as they are wanted."""
    node, web, websocket = config.node, config.web, config.websocket
    origins = Origins(frozenset(websocket.origins), tuple(domain.lower() for domain in config.cluster.domain))
    services: list[WebSocketService | WebService] = []
    for kind, port in _websocket_ports(config):
        resource = SipWebSocketResource(transport.take_websockets(kind, (node.address, port)), origins)
        secure = _secured(reactor, tls) if kind == WSS else None
        if port == websocket.port:
            services.append(WebSocketService(reactor, node.address, port, resource, secure))
        else:
            services.append(WebService(reactor, config.web_host, web.port, view, resource, secure))
    return services


def _secured(reactor: Any, tls: SipTls | None) -> Callable[[Any], Any]:
    assert tls is not None, "the configuration was checked"
    return partial(tls.accepting, clock=IReactorTime(reactor), browsers=True)
