"""Ways to ask a node, and its admin socket, which is the one for everything. Plain blocking I/O."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from voipcluster.errors import UsageError
from voipcluster.paths import ADMIN_SOCKET, ShortPath

TIMEOUT = 30.0  # s; a node that has all others read their files answers within 24
QUICK = 10.0  # s; one that is only looked at waits 2 for the others
LOOKS = frozenset(
    (
        "status", "registrations", "calls", "explain", "trace", "gateways", "gateway-show", "routes", "history", "metrics",
        "config", "bans", "user-list", "user-show",
    )
)  # fmt: skip
MAX_ANSWER = 64 << 20  # octets; a hundred thousand registrations as JSON are a third of it
_STREAM = 1 << 18  # octets that are read at once where there are many
_CUT, _TOO_LONG = "the node's answer breaks off", "the node's answer is too long"


class Client(Protocol):
    """Asks a node."""

    def ask(self, command: str, **arguments: object) -> Any:
        """
        @return: the result, as JSON gives it.
        @raise UsageError: the node cannot be reached, or it refuses; one line.
        """

    def parts(
        self, command: str, size: int, wanted: int = 0, overlap: int = 0, **arguments: object
    ) -> Iterator[Any]:
        """
        The parts of a long list, each asked for by itself, without an end: who asks stops at the last one. The web page has one
        only.

        @param size: rows of a part at most.
        @param wanted: rows after which the list is probably left, 0: never.
        @param overlap: rows that a part has from the one before: where so many have gone meanwhile none is passed over.
        @raise UsageError: as L{ask}.
        """

    def stream(self, command: str, **arguments: object) -> Iterator[Any]:
        """
        The parts of a list that a node tells one after the other, asked once. The web page has one only.

        @raise UsageError: as L{ask}.
        """


class SocketClient:
    """
    Asks over C{admin.sock} in the state directory.
    """

    def __init__(self, state_dir: str) -> None:
        self._path = Path(state_dir) / ADMIN_SOCKET

    def ask(self, command: str, **arguments: object) -> Any:
        with self._connected(command) as connection:
            connection.sendall(_request(command, arguments))
            answer = _read_line(connection)
        return _result(answer, str(self._path))

    def parts(
        self, command: str, size: int, wanted: int = 0, overlap: int = 0, **arguments: object
    ) -> Iterator[Any]:
        after = 0
        with self._connected(command) as connection:

            def send() -> None:
                connection.sendall(_request(command, {**arguments, "limit": size, "after": after}))

            send()
            while True:
                answer = _read_line(connection)
                after += size - overlap
                ahead = not 0 < wanted <= after
                if ahead:  # the node makes the next one while this one is read
                    send()
                yield _result(answer, str(self._path))
                if not ahead:
                    send()

    def stream(self, command: str, **arguments: object) -> Iterator[Any]:
        with self._connected(command) as connection, connection.makefile("rb", _STREAM) as answers:
            connection.sendall(_request(command, arguments))
            while True:
                answer = answers.readline(MAX_ANSWER)
                if not answer.endswith(b"\n"):
                    raise UsageError(_CUT if len(answer) < MAX_ANSWER else _TOO_LONG)
                part = _result(answer, str(self._path))
                if part is None:
                    return
                yield part

    @contextmanager
    def _connected(self, command: str) -> Iterator[socket.socket]:
        patience = QUICK if command in LOOKS else TIMEOUT
        try:
            with (
                ShortPath(self._path) as path,
                socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
            ):
                connection.settimeout(patience)
                connection.connect(path)
                yield connection
        except TimeoutError:
            raise UsageError(f"{self._path}: the node does not answer within {patience:.0f} s") from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise UsageError(
                f"no node is running on the state directory {self._path.parent} (--state-dir)"
            ) from None
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror or error}") from None


def _request(command: str, arguments: dict[str, object]) -> bytes:
    return json.dumps({"command": command, "arguments": arguments}).encode("utf-8") + b"\n"


def _read_line(connection: socket.socket) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while size <= MAX_ANSWER:
        piece = connection.recv(1 << 16)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
        if piece.endswith(b"\n"):  # one answer to one request: nothing comes behind it
            return b"".join(pieces)
    raise UsageError(_CUT if size <= MAX_ANSWER else _TOO_LONG)


def _result(answer: bytes, where: str) -> Any:
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not document.keys() & {"result", "error"}:
        raise UsageError(f"{where}: not an answer of a node")
    if "error" in document:
        raise UsageError(str(document["error"]))
    return document["result"]
