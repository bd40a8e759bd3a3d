"""Those who look on at the SIP messages of a node, whole and in the clear whatever they came over."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.logger import Logger

from voipcluster.address import Flow
from voipcluster.services.notices import Notices
from voipcluster.services.transaction.transactions import TransactionService
from voipcluster.services.transaction.transport import TransportService

Listener = Callable[[bool, bytes, Flow], object]
"""Told of one message: whether we send it, its octets, and over which flow."""


class Tap:
    """
    While nobody looks on, nothing of it is on the way of a message; and whoever does cannot stop one.

    What comes is told of before anybody reads it, so also what is refused or thrown away unread. What the kernel throws away
    nobody here sees.
    """

    _log = Logger()

    def __init__(
        self, transactions: TransactionService, transport: TransportService, seconds: Callable[[], float]
    ) -> None:
        self._transactions, self._transport = transactions, transport
        self._listeners: tuple[Listener, ...] = ()
        self._notices = Notices(seconds, self._log)

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Those who look on now."""
        return self._listeners

    def add(self, listener: Listener) -> None:
        """Tell C{listener} of each message from now on."""
        if listener not in self._listeners:
            self._listeners = (*self._listeners, listener)
            self._arrange()

    def remove(self, listener: Listener) -> None:
        """No more; harmless for who is told of nothing."""
        if listener in self._listeners:
            self._listeners = tuple(one for one in self._listeners if one != listener)
            self._arrange()

    def _arrange(self) -> None:
        some = bool(self._listeners)
        self._transactions.overhear(partial(self._tell, False) if some else None)
        self._transport.overhear(partial(self._tell, True) if some else None)

    def _tell(self, sent: bool, data: bytes, flow: Flow) -> None:
        for listener in self._listeners:
            try:
                listener(sent, data, flow)
            except Exception as error:
                self._notices.warn(
                    "tap", "a message of {flow} could not be noted: {error!r}", flow=str(flow), error=error
                )
