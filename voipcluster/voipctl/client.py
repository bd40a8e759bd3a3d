"""Ways to ask a node: its admin socket, here, or its web page (L{voipcluster.voipctl.web_client}). Plain blocking I/O."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, Protocol

from voipcluster.errors import UsageError
from voipcluster.paths import ADMIN_SOCKET, ShortPath

TIMEOUT = 30.0  # s; a node that asks all others answers within a few
MAX_ANSWER = 64 << 20  # octets; a hundred thousand registrations as JSON are a third of it


class Client(Protocol):
    """
    Asks a node one thing.

    @ivar in_parts: whether it gives the next part of a list, too; the web page shows its first one.
    """

    in_parts: bool

    def ask(self, command: str, **arguments: object) -> Any:
        """
        @return: the result, as JSON gives it.
        @raise UsageError: the node cannot be reached, or it refuses; one line.
        """


class SocketClient:
    """
    Asks over C{admin.sock} in the state directory.
    """

    in_parts = True

    def __init__(self, state_dir: str) -> None:
        self._path = Path(state_dir) / ADMIN_SOCKET

    def ask(self, command: str, **arguments: object) -> Any:
        request = json.dumps({"command": command, "arguments": arguments}).encode("utf-8") + b"\n"
        try:
            with (
                ShortPath(self._path) as path,
                socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
            ):
                connection.settimeout(TIMEOUT)
                connection.connect(path)
                connection.sendall(request)
                answer = _read_line(connection)
        except TimeoutError:
            raise UsageError(f"{self._path}: no answer within {TIMEOUT:.0f} s") from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise UsageError(
                f"no node is running on the state directory {self._path.parent} (--state-dir)"
            ) from None
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror or error}") from None
        return _result(answer, str(self._path))


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
    raise UsageError(
        "the node's answer breaks off" if size <= MAX_ANSWER else "the node's answer is too long"
    )


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
