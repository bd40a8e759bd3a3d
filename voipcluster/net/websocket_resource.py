"""
The web resource that SIP over WebSocket begins at: who may, and that both speak SIP (RFC 7118 section 4, RFC 6455 section 4.2).

The resource of L{twisted.web.websocket} cannot name a sub-protocol in its answer, which RFC 7118 demands. This one makes the same
handshake with wsproto, and hands the connection over by the same hook of twisted's HTTP channel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlsplit

import h11
from attrs import frozen
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import AcceptConnection
from wsproto.events import Request as Opening
from wsproto.handshake import H11Handshake
from wsproto.utilities import ProtocolError

import twisted
from voipcluster.errors import UsageError
from voipcluster.net.websocket import SipWebSocket

PROTOCOL = "sip"
_HOOK = "_protocolUpgradeForWebsockets"  # of twisted.web.http.HTTPChannel; private, so another release may have none
ANY_ORIGIN = "*"
_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")  # 16 octets in base64
UPGRADE_REQUIRED = 426  # RFC 9110 section 15.5.22


@frozen
class Origins:
    """
    Pages of which web sites may connect (RFC 6455 section 10.2). What is no browser sends no Origin, and authenticates like all.

    @ivar listed: such as C{https://phone.example.com}, or L{ANY_ORIGIN}; when there are none, pages of the same host and
        of our domains and their subdomains.
    """

    listed: frozenset[str] = frozenset()
    domains: Collection[str] = ()

    def allows(self, origin: str | None, host: str) -> bool:
        """
        @param origin: the Origin header; C{host}: what the client calls us, without port.
        """
        if origin is None or ANY_ORIGIN in self.listed:
            return True
        origin = origin.lower()
        if self.listed:
            return origin in self.listed
        try:
            name = urlsplit(origin).hostname
        except ValueError:
            return False
        if not name:
            return False  # "null": a file, or a page that hides where it is from
        return name == host.lower().strip("[]") or any(
            name == domain or name.endswith(f".{domain}") for domain in self.domains
        )


class SipWebSocketResource(Resource):
    """
    @param accept: given the client's address and the frames of the connection, makes its L{SipWebSocket}, or L{None}
        when there is no room.
    @raise UsageError: this release of Twisted cannot hand a connection over.
    """

    isLeaf = True

    def __init__(
        self, accept: Callable[[tuple[str, int], Connection], SipWebSocket | None], origins: Origins
    ) -> None:
        super().__init__()
        if not hasattr(http.HTTPChannel, _HOOK):
            raise UsageError(
                f"SIP over WebSocket does not work with Twisted {twisted.__version__}, whose HTTPChannel has no {_HOOK}: "
                "install another release, or set web.port and websocket.port to 0"
            )
        self._accept, self._origins = accept, origins

    def render(self, request: Request) -> bytes | int:
        if request.method != b"GET":
            # Twisted's own answer ends in a traceback when the path is no ASCII.
            request.responseHeaders.setRawHeaders("Allow", ["GET"])
            return _refuse(request, http.NOT_ALLOWED, "an opening handshake is a GET (RFC 6455 section 4.1)")
        return self.render_GET(request)

    def render_GET(self, request: Request) -> bytes | int:
        host = request.getRequestHostname().decode("latin-1")
        # octets, because getHeader() raises for those that are no UTF-8
        origins = request.requestHeaders.getRawHeaders(b"origin", [])
        if not all(self._origins.allows(origin.decode("latin-1"), host) for origin in origins):
            return _refuse(
                request, http.FORBIDDEN, "pages of this origin may not connect (websocket.origins)"
            )
        if request.clientproto == b"HTTP/1.0":
            return _upgrade_required(request)  # it has no Upgrade (RFC 9110 section 7.8)
        handshake = H11Handshake(ConnectionType.SERVER)
        headers = [
            (name, value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values
        ]
        try:
            handshake.initiate_upgrade_connection(headers, request.path)
            offered = [event for event in handshake.events() if isinstance(event, Opening)]
        except (ProtocolError, h11.ProtocolError, UnicodeError):
            return _upgrade_required(request)
        keys = request.requestHeaders.getRawHeaders(b"sec-websocket-key", [])
        if len(keys) != 1 or _KEY.fullmatch(keys[0]) is None:
            return _refuse(
                request,
                http.BAD_REQUEST,
                "one Sec-WebSocket-Key of 16 octets is wanted (RFC 6455 section 4.2.1)",
            )
        if not any(PROTOCOL in event.subprotocols for event in offered):
            return _refuse(
                request, http.BAD_REQUEST, "the sub-protocol sip is not offered (RFC 7118 section 4)"
            )
        answer = handshake.send(AcceptConnection(subprotocol=PROTOCOL))
        frames = handshake.connection
        assert frames is not None, "it was accepted"
        peer: Any = request.getClientAddress()
        stream = self._accept((peer.host, peer.port), frames)
        if stream is None:
            return _refuse(request, http.SERVICE_UNAVAILABLE, "no room for one more connection")
        channel: Any = request.channel
        transport = channel.transport
        transport.write(answer)
        channel.setTimeout(None)
        upgraded = getattr(transport, "upgraded", None)
        if upgraded is not None:
            upgraded()
        getattr(channel, _HOOK)(stream)
        return NOT_DONE_YET


def _upgrade_required(request: Request) -> bytes:
    request.responseHeaders.setRawHeaders("Sec-WebSocket-Version", ["13"])
    request.responseHeaders.setRawHeaders("Upgrade", ["websocket"])
    return _refuse(request, UPGRADE_REQUIRED, "SIP over WebSocket is to be opened here (RFC 7118)")


def _refuse(request: Request, status: int, text: str) -> bytes:
    request.setResponseCode(status)
    request.responseHeaders.setRawHeaders("Content-Type", ["text/plain; charset=utf-8"])
    return f"{text}\n".encode()
