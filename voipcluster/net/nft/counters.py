"""Reads the counters of a relay's table piece by piece: what one read gives in one turn of the reactor, some 2 ms at most."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.net.nft.elements import mark_in
from voipcluster.net.nft.socket import NftSocket, open_netlink
from voipcluster.net.rtp import IReaders

Counted = dict[int, tuple[int, int]]
"""Packets and octets, with IP and UDP headers, by mark."""


@implementer(IReadDescriptor)
class CounterReading:
    """
    @param table: its name.
    @ivar spent: seconds that the last reading kept the reactor.
    """

    def __init__(
        self,
        table: str,
        readers: IReaders,
        seconds: Callable[[], float],
        connect: Callable[[], socket.socket] = open_netlink,
    ) -> None:
        self._table, self._readers, self._seconds = table, readers, seconds
        self._socket: NftSocket | None = NftSocket(connect())
        self._maps: list[str] = []
        self._counted: dict[str, Counted] = {}
        self._done: Deferred[dict[str, Counted]] | None = None
        self.spent = 0.0
        readers.addReader(self)

    def read(self, maps: Sequence[str]) -> Deferred[dict[str, Counted]]:
        """
        Read these maps, one after the other.

        @return: fires with the counters of each; fails with L{OSError}, C{ENOENT} when the table is gone.
        """
        assert self._done is None, "one reading at a time"
        done: Deferred[dict[str, Counted]] = Deferred()
        self._done, self._maps, self._counted, self.spent = done, list(maps), {name: {} for name in maps}, 0.0
        try:
            self._ask()
        except OSError:
            self._fail(Failure())
        return done

    def _ask(self) -> None:
        assert self._socket is not None, "it is open"
        self._socket.ask_for_elements(self._table, self._maps[0])

    def doRead(self) -> None:
        if self._done is None or self._socket is None:
            return
        began = self._seconds()
        try:
            elements, at_end = self._socket.next_elements()
            name = self._maps[0]
            mapped = self._counted[name]
            by_key = not name.startswith("stream")  # streams lead to marks, all others begin with them
            for one in elements:
                mapped[mark_in(one.key if by_key else one.value)] = one.packets, one.octets
            if at_end:
                del self._maps[0]
                if self._maps:
                    self._ask()
        except Exception:  # of the kernel, or of a message that is not as it should be
            self._fail(Failure())
            return
        self.spent += self._seconds() - began
        if not self._maps:
            done, self._done = self._done, None
            done.callback(self._counted)

    def _fail(self, failure: Failure) -> None:
        done, self._done = self._done, None
        if done is not None:
            done.errback(failure)

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        return "CounterReading"

    def connectionLost(self, reason: Failure) -> None:
        self.close()

    def close(self) -> None:
        """A reading that is under way fails with L{CancelledError}."""
        if self._socket is None:
            return
        self._readers.removeReader(self)
        self._socket.close()
        self._socket = None
        self._fail(Failure(CancelledError()))
