"""Responses that cannot go back the way their request came (RFC 3261 section 18.2.2, RFC 3263 section 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.python.failure import Failure

from voipcluster.address import Flow
from voipcluster.errors import TransportError
from voipcluster.services.transaction.resolving import Resolving
from voipcluster.services.transaction.transport import TransportService
from voipcluster.sip.resolution import Server
from voipcluster.sip.uri import SipUri
from voipcluster.sip.values import Via

Failed = Callable[[TransportError], None]


class ReturnPath:
    """
    One response whose connection is gone and whose source takes no new one: the sent-by of its Via says where else to go.

    A name without a port has SRV records, with one it has addresses.
    """

    def __init__(
        self, transport: TransportService, wire: bytes, via: Via, tried: Flow, failed: Failed
    ) -> None:
        self._transport, self._wire, self._via, self._tried, self._failed = (
            transport,
            wire,
            via,
            tried,
            failed,
        )
        self._servers: Sequence[Server] = ()

    def look_up(self, resolving: Resolving) -> None:
        via, transport = self._via, self._tried.transport
        uri = SipUri("sip", via.host, port=via.port, params=(("transport", transport.lower()),))
        resolving.servers_of(uri, via.branch).addCallback(self._located).addErrback(self._not_located)

    def _located(self, servers: Sequence[Server]) -> None:
        self._servers = [server for server in servers if server.hop != self._tried.hop]
        self._next(TransportError(f"no other way back than {self._tried}"))

    def _not_located(self, failure: Failure) -> None:
        error = failure.value
        self._failed(error if isinstance(error, TransportError) else TransportError(repr(error)))

    def _next(self, error: TransportError) -> None:
        if not self._servers:
            self._failed(error)
            return
        server, self._servers = self._servers[0], self._servers[1:]
        try:
            flow = self._transport.flow_to(server.hop, self._tried.local, server.domain)
        except TransportError as refused:
            self._next(refused)
        else:
            self._transport.send(self._wire, flow, self._next)
