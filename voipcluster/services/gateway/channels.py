"""The channels that answered calls hold at gateways, until these calls are over."""

from __future__ import annotations

from voipcluster.services.gateway.book import GatewayBook
from voipcluster.services.media.relay import CallKey
from voipcluster.services.sip.calls import Call, CallTable


class Channels:
    """Told of the beginning and of the end of what holds a channel."""

    def __init__(self, book: GatewayBook, calls: CallTable) -> None:
        self._book, self._calls = book, calls
        self._held: dict[CallKey, list[str]] = {}

    def hold(self, key: CallKey, gateway: str) -> None:
        """A gateway has answered a call; its channel is in use already."""
        call = self._calls.get(key)
        if call is None:
            self._book.released(gateway, "given up")
            return
        call.gateway_out = gateway
        self._held.setdefault(key, []).append(gateway)

    def moved(self, key: CallKey, gateway: str, by: int) -> None:
        """A gateway that may challenge has answered a request whose CSeq is greater by so much than the caller's."""
        self._calls.move(key, gateway, by)

    def adopt(self, call: Call) -> None:
        """A call of the last process goes on."""
        if call.gateway_out:
            self._book.adopted(call.gateway_out)
            self._held[call.key] = [call.gateway_out]

    def over(self, call: Call, reason: str) -> None:
        """A call has ended."""
        for gateway in self._held.pop(call.key, ()):
            self._book.released(gateway, reason)
