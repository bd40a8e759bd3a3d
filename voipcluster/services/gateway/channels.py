"""The channels that calls from gateways, and answered calls to them, hold until they are over."""

from __future__ import annotations

from voipcluster.services.gateway.allowances import Allowances
from voipcluster.services.gateway.book import GatewayBook
from voipcluster.services.media.relay import CallKey
from voipcluster.services.sip.calls import Call, CallTable


class Channels:
    """
    Told of the beginning and of the end of what holds a channel.

    @ivar allowances: where minutes are counted, too, or L{None}.
    """

    def __init__(self, book: GatewayBook, calls: CallTable) -> None:
        self._book, self._calls = book, calls
        self.allowances: Allowances | None = None
        self._held: dict[CallKey, list[str]] = {}
        self._came: dict[CallKey, bool] = {}  # calls from gateways, and whether they were answered

    def came(self, call: Call) -> None:
        """A call has come from a gateway; its further INVITEs, of a fork in front of us, are the same call."""
        if call.key not in self._came:
            self._came[call.key] = False
            self._book.seized(call.gateway_in)
            if self.allowances is not None:
                self.allowances.seized(call.gateway_in)

    def answered(self, call: Call) -> None:
        """A call that has come from a gateway was answered."""
        if self._came.get(call.key) is False:
            self._came[call.key] = True
            self._book.answered(call.gateway_in)
            if self.allowances is not None:
                self.allowances.answered(call.key, call.gateway_in, call.gateway_out)

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
        if call.gateway_in:
            self._came[call.key] = True
            self._book.adopted(call.gateway_in)
        if call.gateway_out:
            self._book.adopted(call.gateway_out)
            self._held[call.key] = [call.gateway_out]

    def over(self, call: Call, reason: str) -> None:
        """A call has ended."""
        if self._came.pop(call.key, None) is not None:
            self._book.released(call.gateway_in, reason)
        for gateway in self._held.pop(call.key, ()):
            self._book.released(gateway, reason)
