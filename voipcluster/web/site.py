"""The web page's site: no inline script, nothing loaded from elsewhere, and nothing is changed without a log-in."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorTime
from twisted.web import http
from twisted.web.resource import EncodingResourceWrapper, IResource, Resource
from twisted.web.server import GzipEncoderFactory, Request, Site

from voipcluster.web.actions import Drain, Login, Logout, SessionPage
from voipcluster.web.connections import CappedFactory, Upgradable
from voipcluster.web.gate import Gate, Refusal
from voipcluster.web.pages import Api, Asset, Calls, Metrics, Missing, OfCall, Refused, Routes
from voipcluster.web.view import INodeView

STATIC = Path(__file__).parent / "static"
IDLE = 60  # s; a page asks each second, a scraper usually each 15 s
LARGEST = 65_536  # octets of a body that is read at all; twisted.web keeps up to 100,000 in memory

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Of the files that a page names; others, such as a licence, are not served."""

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "voipcluster",
}


class ReadOnlyRequest(Request):
    """A request without a body, answered with the headers that keep a browser from harm."""

    def gotLength(self, length: int | None) -> None:
        """Called once the headers are there, with L{None} for a chunked body."""
        super().gotLength(0)
        if length != 0:
            # Nothing here takes a body, and the standard class would keep one of any size on disk.
            self.channel.forceAbortClient()

    def render(self, resrc: IResource) -> None:
        # Here and not earlier: the standard class puts its own name and version in between.
        for name, value in SECURITY_HEADERS.items():
            self.responseHeaders.setRawHeaders(name, [value])
        super().render(resrc)


class PageRequest(ReadOnlyRequest):
    """As the page's own requests are: with a small body, or none."""

    _too_long = False

    def gotLength(self, length: int | None) -> None:
        if length is not None and length <= LARGEST:
            Request.gotLength(self, length)
            return
        # What comes behind is not read; who sends a body that is only somewhat too long is told so by the page itself.
        Request.gotLength(self, 0)
        self._too_long = True
        line = b"411 Length Required" if length is None else b"413 Content Too Large"
        transport = self.channel.transport
        assert transport is not None, "connected"
        transport.write(
            b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\nServer: voipcluster\r\n\r\n" % line
        )
        self.channel.loseConnection()

    def process(self) -> None:
        if not self._too_long:
            connection: Any = self.channel.transport
            if isinstance(connection, Upgradable):
                connection.request = self
            super().process()


class NodeSite(Site):
    """
    Serves one root, as far as its gate lets requests in.
    """

    requestFactory = PageRequest
    noisy = False

    def __init__(self, reactor: IReactorTime, root: IResource, gate: Gate) -> None:
        super().__init__(root, timeout=IDLE, reactor=reactor)
        self._gate = gate

    def getResourceFor(self, request: Request) -> IResource:
        try:
            self._gate.check_reading(request)
        except Refusal as refusal:
            return Refused(refusal)
        resource: IResource = super().getResourceFor(request)
        return resource

    def log(self, request: http.Request) -> None:
        """Nothing: each open page asks each second."""


def node_site(reactor: IReactorTime, view: INodeView, gate: Gate, sip: IResource | None = None) -> NodeSite:
    """
    The site of one node.

    @param view: provides L{INodeView}.
    @param sip: what is under C{/sip}.
    """
    root = Missing()
    root.putChild(b"", Asset(STATIC / "index.html", "text/html; charset=utf-8"))
    root.putChild(b"static", _folder(STATIC))
    api = Missing()
    api.putChild(b"status", _zipped(Api(view.status)))
    api.putChild(b"history", _zipped(Api(view.history, "since", _seconds)))
    api.putChild(b"calls", _zipped(Calls(view)))
    api.putChild(b"registrations", _zipped(Api(view.registrations, "aor")))
    api.putChild(b"gateways", _zipped(Api(view.gateways)))
    api.putChild(b"routes", _zipped(Routes(view, gate)))
    api.putChild(b"explain", OfCall("/api/explain/", view.explain))
    api.putChild(b"trace", _zipped(OfCall("/api/trace/", lambda call_id: view.trace(call_id, False))))
    api.putChild(b"session", SessionPage(gate))
    api.putChild(b"login", Login(gate))
    api.putChild(b"logout", Logout(gate))
    api.putChild(b"drain", Drain(gate, view))
    root.putChild(b"api", api)
    root.putChild(b"metrics", _zipped(Metrics(view)))
    if sip is not None:
        root.putChild(b"sip", sip)
    return NodeSite(reactor, root, gate)


def _folder(path: Path) -> Missing:
    """What is in a folder and of a known type, with the folders in it."""
    folder = Missing()
    for one in path.iterdir():
        if one.is_dir():
            folder.putChild(os.fsencode(one.name), _folder(one))
        elif one.suffix in TYPES:
            folder.putChild(os.fsencode(one.name), Asset(one, TYPES[one.suffix]))
    return folder


def _seconds(text: str) -> float:
    seconds = float(text)
    if not math.isfinite(seconds):
        raise ValueError(text)
    return seconds


def _zipped(resource: Resource) -> EncodingResourceWrapper:
    return EncodingResourceWrapper(resource, [GzipEncoderFactory()])


class WebService(Service):
    """
    Listens for HTTP on one address.

    @param sip: what is under C{/sip}.
    @param secure: wraps the factory in TLS.
    @raise CannotListenError: from C{startService}.
    """

    _port: IListeningPort | None = None

    def __init__(
        self,
        reactor: IReactorTCP,
        host: str,
        port: int,
        view: INodeView,
        gate: Gate,
        sip: IResource | None = None,
        secure: Callable[[Any], Any] | None = None,
    ) -> None:
        self._reactor, self._host, self._number = reactor, host, port
        site = node_site(IReactorTime(reactor), view, gate, sip)
        capped = CappedFactory(site)
        self._factory: Any = capped if secure is None else secure(capped)

    def startService(self) -> None:
        self._port = self._reactor.listenTCP(self._number, self._factory, interface=self._host)
        super().startService()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._port is not None, "started"
        address = self._port.getHost()
        assert isinstance(address, IPv4Address | IPv6Address), "TCP"
        return address.port

    def stopService(self) -> Deferred[None]:
        super().stopService()
        port, self._port = self._port, None
        return succeed(None) if port is None else port.stopListening() or succeed(None)
