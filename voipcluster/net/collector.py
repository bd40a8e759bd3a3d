"""
The way to a collector of what passes here (HEP): packets leave at once or are lost, and nobody ever waits for it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import MessageLengthError
from twisted.internet.interfaces import IConnector, IDelayedCall
from twisted.internet.protocol import ClientFactory, DatagramProtocol, connectionDone
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.python.failure import Failure

from voipcluster.address import is_ip, is_ipv6, join_host_port

FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0  # seconds until the next attempt; it doubles
ANEW = 300.0  # seconds after which a name is looked up again: a collector may move
CONNECT = 5.0  # seconds
LINGER = 1.0  # seconds that a collector has to take the last packets
_FULL = (errno.EAGAIN, errno.ENOBUFS)  # costs one packet or some: the way is there
MOST_UNSENT = 1 << 20  # octets that a connection may hold back for a slow collector

Told = Callable[[str], object]
"""Told why the collector cannot be reached, once each time; an empty text when it can again."""


class Collector(Protocol):
    """Where packets go."""

    @property
    def ready(self) -> bool:
        """Whether what is sent now has a chance."""

    def start(self) -> None: ...

    def stop(self) -> Deferred[Any]: ...

    def send(self, packet: bytes) -> bool:
        """@return: whether it left, as far as we know."""


class _Trouble:
    """Says what is the matter when that changes."""

    def __init__(self, told: Told) -> None:
        self._told, self._last = told, ""

    def is_now(self, reason: str) -> None:
        if bool(reason) != bool(self._last):
            self._last = reason
            self._told(reason)


class UdpCollector(DatagramProtocol):
    """
    Over UDP, from a port of its own.

    @param host: IP literal, or a name, which is looked up now and then.
    """

    noisy = False

    def __init__(self, reactor: Any, host: str, port: int, told: Told) -> None:
        self._reactor, self._host, self._port = reactor, host, port
        self._trouble = _Trouble(told)
        self._listening: Any = None
        self._remote: tuple[str, int] | None = None
        self._later: IDelayedCall | None = None
        self._running = False

    @property
    def ready(self) -> bool:
        return self._remote is not None and self._listening is not None

    def start(self) -> None:
        self._running = True
        if is_ip(self._host):
            self._open(self._host)
        else:
            self._look_up()

    def stop(self) -> Deferred[Any]:
        self._running = False
        if self._later is not None and self._later.active():
            self._later.cancel()
        listening, self._listening = self._listening, None
        return maybeDeferred(lambda: None if listening is None else listening.stopListening())

    def send(self, packet: bytes) -> bool:
        if self._remote is None or self.transport is None:
            return False
        try:
            self.transport.write(packet, self._remote)
        except MessageLengthError:
            return False
        except OSError as error:  # as lost on the way
            if error.errno not in _FULL:
                self._trouble.is_now(str(error))
            return False
        self._trouble.is_now("")
        return True

    def _look_up(self) -> None:
        if self._running:
            self._reactor.resolve(self._host, (1, 2, 4)).addCallbacks(self._open, self._unknown)

    def _open(self, host: str) -> None:
        if not self._running:
            return
        self._remote = host, self._port
        if self._listening is None:
            self._listening = self._reactor.listenUDP(0, self, interface="::" if is_ipv6(host) else "")
        self._trouble.is_now("")
        if not is_ip(self._host):
            self._later = self._reactor.callLater(ANEW, self._look_up)

    def _unknown(self, failure: Failure) -> None:
        if self._remote is None:
            self._trouble.is_now(f"its name is not known: {failure.getErrorMessage()}")
        if self._running:
            self._later = self._reactor.callLater(LONGEST_DELAY, self._look_up)


class _Stream(StreamProtocol):
    """One connection; it reads nothing, since a collector says nothing."""

    def __init__(self, owner: TcpCollector) -> None:
        self._owner = owner
        self._wire: Any = None  # the transport, of which twisted types less than it has
        self._full = False
        self._held = 0

    def connectionMade(self) -> None:
        self._wire = self.transport
        self._wire.registerProducer(self, True)
        self._owner.up(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._owner.down(reason.getErrorMessage())

    def send(self, packet: bytes) -> bool:
        if self._full:
            self._held += len(packet)
            if self._held > MOST_UNSENT:
                return False
        self._wire.write(packet)
        return True

    def pauseProducing(self) -> None:
        self._full = True

    def resumeProducing(self) -> None:
        self._full, self._held = False, 0

    def stopProducing(self) -> None:
        pass  # connectionLost follows

    def close(self) -> None:
        self._wire.unregisterProducer()
        self._wire.loseConnection()

    def abort(self) -> None:
        """For a collector that does not read what is left."""
        self._wire.abortConnection()


class TcpCollector(ClientFactory):
    """
    Over a TCP connection that is opened again whenever it is gone.

    @param host: IP literal or name.
    """

    noisy = False

    def __init__(self, reactor: Any, host: str, port: int, told: Told) -> None:
        self._reactor, self._host, self._port = reactor, host, port
        self._trouble = _Trouble(told)
        self._stream: _Stream | None = None
        self._connector: IConnector | None = None
        self._later: IDelayedCall | None = None
        self._delay = FIRST_DELAY
        self._running = False
        self._stopped: Deferred[None] | None = None

    @property
    def ready(self) -> bool:
        return self._stream is not None

    def start(self) -> None:
        self._running = True
        self._connect()

    def stop(self) -> Deferred[Any]:
        self._running = False
        if self._later is not None and self._later.active():
            self._later.cancel()
        stream = self._stream
        if stream is not None:
            stopped = self._stopped = Deferred()
            self._later = self._reactor.callLater(LINGER, stream.abort)
            stream.close()
            return stopped
        if self._connector is not None:
            self._connector.disconnect()
        return maybeDeferred(lambda: None)

    def send(self, packet: bytes) -> bool:
        return self._stream is not None and self._stream.send(packet)

    def buildProtocol(self, addr: object) -> _Stream:
        return _Stream(self)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.down(reason.getErrorMessage())

    def up(self, stream: _Stream) -> None:
        self._stream, self._delay = stream, FIRST_DELAY
        self._trouble.is_now("")

    def down(self, reason: str) -> None:
        self._stream = self._connector = None
        if self._running:
            self._trouble.is_now(f"no connection to {join_host_port(self._host, self._port)}: {reason}")
            self._later = self._reactor.callLater(self._delay, self._connect)
            self._delay = min(LONGEST_DELAY, 2 * self._delay)
            return
        if self._later is not None and self._later.active():
            self._later.cancel()
        stopped, self._stopped = self._stopped, None
        if stopped is not None:
            stopped.callback(None)

    def _connect(self) -> None:
        self._connector = self._reactor.connectTCP(self._host, self._port, self, CONNECT)
