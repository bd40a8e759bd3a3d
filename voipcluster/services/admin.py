"""
The admin socket: newline-delimited JSON on a UNIX socket that only the node's own user can open.

A request is C{{"command": name, "arguments": {...}}}, its answer C{{"result": ...}} or C{{"error": "one line"}}. Requests of one
connection are answered one after the other, in their order. What comes in parts (L{INodeControl.registration_parts}) has an
answer for each, and C{{"result": null}} behind the last; a part is made when the one before has left, and other work is done in
between.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IPullProducer, IReactorUNIX
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.errors import UsageError, VoipclusterError
from voipcluster.paths import ADMIN_SOCKET, ShortPath
from voipcluster.services.commands import INodeControl, perform

MAX_REQUEST = 16_384  # octets of one line; the longest real request is a user with a password
MAX_CONNECTIONS = 64
MAX_WAITING = 64  # requests of one connection


@implementer(IPullProducer)
class AdminProtocol(LineOnlyReceiver):
    """One connection of voipctl; a producer while an answer goes out in parts."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_REQUEST
    _log = Logger()

    def __init__(self, factory: AdminFactory) -> None:
        self._factory = factory
        self._waiting: list[bytes] = []
        self._answering = False
        self._lost = False
        self._parts: Iterator[Any] | None = None  # of what is being answered

    def connectionMade(self) -> None:
        if not self._factory.open(self):
            self._refuse("too many admin connections")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = True
        self._waiting.clear()
        self._parts = None
        self._factory.closed(self)

    def lineReceived(self, line: bytes) -> None:
        self._waiting.append(line)
        if len(self._waiting) > MAX_WAITING:
            self._refuse("too many requests at once")
        elif not self._answering:
            self._answer_next()

    def lineLengthExceeded(self, line: bytes) -> None:
        self._refuse(f"a request is one line of at most {MAX_REQUEST} octets")

    def _refuse(self, reason: str) -> None:
        assert self.transport is not None, "connected"
        self._waiting.clear()
        self._write({"error": reason})
        self.transport.loseConnection()

    def _answer_next(self) -> None:
        # Answers at hand nest, but no deeper than the few requests that may wait.
        if self._waiting:
            self._answering = True
            self._factory.answer(self._waiting.pop(0)).addCallback(self._answered)

    def _answered(self, answer: Mapping[str, Any]) -> None:
        if isinstance(answer.get("result"), Iterator) and not self._lost:
            self._parts = answer["result"]
            transport: Any = self.transport
            transport.registerProducer(self, False)
            return
        self._write(answer)
        self._answering = False
        self._answer_next()

    # -- IPullProducer

    def resumeProducing(self) -> None:
        """All that was written has left: one more part."""
        if self._parts is None:
            return
        answer = self._factory.next_part(self._parts)
        if answer is None or "error" in answer:
            self._parts = None
            transport: Any = self.transport
            transport.unregisterProducer()
            self._answered(answer or {"result": None})
        else:
            self._write(answer)

    def stopProducing(self) -> None:
        self._parts = None

    def _write(self, answer: Mapping[str, Any]) -> None:
        if self.transport is not None and not self._lost:
            self.transport.write(json.dumps(answer, separators=(",", ":")).encode("utf-8") + b"\n")


class AdminFactory(ServerFactory):
    """
    Answers requests by asking the node.

    @param node: provides L{INodeControl}.
    """

    noisy = False
    _log = Logger()

    def __init__(self, node: INodeControl) -> None:
        self._node = node
        self._open: set[AdminProtocol] = set()

    def buildProtocol(self, addr: object) -> AdminProtocol:
        return AdminProtocol(self)

    def open(self, connection: AdminProtocol) -> bool:
        """Count a new connection; whether it may stay."""
        self._open.add(connection)
        return len(self._open) <= MAX_CONNECTIONS

    def closed(self, connection: AdminProtocol) -> None:
        self._open.discard(connection)

    def close_all(self) -> None:
        for connection in list(self._open):
            if connection.transport is not None:
                connection.transport.loseConnection()

    def answer(self, line: bytes) -> Deferred[dict[str, Any]]:
        """
        Answer one request; the Deferred never fails.

        Nothing of a request is ever logged: it may hold a password.
        """
        return maybeDeferred(self._ask, line).addCallbacks(lambda result: {"result": result}, self._error)

    def next_part(self, parts: Iterator[Any]) -> dict[str, Any] | None:
        """The answer with one more part, or with an error, which is the last one; L{None}: there are no more."""
        try:
            return {"result": next(parts)}
        except StopIteration:
            return None
        except Exception:
            return self._error(Failure())

    def _ask(self, line: bytes) -> Any:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            raise UsageError("a request is one line of JSON") from None
        if not isinstance(request, dict) or not isinstance(request.get("command"), str):
            raise UsageError('a request is {"command": ..., "arguments": {...}}')
        return perform(self._node, request["command"], request.get("arguments", {}))

    def _error(self, failure: Failure) -> dict[str, Any]:
        if isinstance(failure.value, VoipclusterError):
            return {"error": " ".join(str(failure.value).split())}
        self._log.failure("an admin command failed", failure)
        return {"error": f"the node failed at this ({type(failure.value).__name__}); its log tells more"}


class AdminService(Service):
    """
    Listens on C{admin.sock} in the state directory, mode 0600.

    @param state_dir: the node's state directory; it exists, mode 0700.
    """

    _port: IListeningPort | None = None

    def __init__(self, reactor: IReactorUNIX, state_dir: str, node: INodeControl) -> None:
        self._reactor = reactor
        self._path = Path(state_dir) / ADMIN_SOCKET
        self._factory = AdminFactory(node)
        self._short: ShortPath | None = None

    def startService(self) -> None:
        """
        @raise UsageError: another node serves this state directory.
        @raise OSError: the socket cannot be made there.
        """
        self._short = ShortPath(self._path)
        try:
            _make_room(self._path, self._short.text)
            self._port = self._reactor.listenUNIX(self._short.text, self._factory, mode=0o600)
        except BaseException:
            self._short.close()
            raise
        super().startService()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        port, self._port = self._port, None
        if port is None:
            return maybeDeferred(lambda: None)
        self._factory.close_all()
        return maybeDeferred(port.stopListening).addBoth(self._stopped)

    def _stopped(self, result: Any) -> Any:
        if self._short is not None:
            self._short.close()
        return result if isinstance(result, Failure) else None


def _make_room(path: Path, short: str) -> None:
    """Remove the socket file of a node that is gone; a node that answers on it, or another file, is an error."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"{path} is in the way: not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(short)
        except (ConnectionRefusedError, FileNotFoundError):
            pass
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror or error}") from None
        else:
            raise UsageError(f"another node is running on the state directory {path.parent}")
    os.unlink(path)
