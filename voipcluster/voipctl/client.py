"""Ways to ask a node: its admin socket (everything), or its web page's JSON (reading only). Plain blocking I/O."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Protocol

from voipcluster.config.paths import ADMIN_SOCKET, ShortPath
from voipcluster.errors import UsageError

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


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A node never redirects; whoever does is not a node."""

    def redirect_request(self, *given: Any) -> None:
        return None


class WebClient:
    """
    Asks over HTTP; only what C{INodeView} reads.

    @param url: of the web page, for instance C{http://127.0.0.1:8080/}.
    """

    in_parts = False
    _PATHS = {
        "status": "api/status",
        "registrations": "api/registrations",
        "calls": "api/calls",
        "gateways": "api/gateways",
        "routes": "api/routes",
        "explain": "api/explain/",
        "trace": "api/trace/",
        "history": "api/history",
        "metrics": "metrics",
    }

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"--url: {url!r} is not http://HOST[:PORT]/")
        self._url = url if url.endswith("/") else f"{url}/"
        # Its own opener: no proxy of the environment, no file: and no redirects.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)

    def ask(self, command: str, **arguments: object) -> Any:
        if command == "gateway-show":
            return _one_of(self.ask("gateways"), arguments["name"])
        if command not in self._PATHS:
            shown = "undrain" if command == "drain" and not arguments.get("on", True) else command
            also = ", or log in on the web page" if command == "drain" else ""
            raise UsageError(
                f"{shown.replace('user-', 'user ')!r} needs the admin socket, for --url only reads what everybody may: "
                f"use --state-dir on the node's machine{also}"
            )
        if arguments.get("caller") is not None:
            raise UsageError("the web page does not tell by caller; use --state-dir on the node's machine")
        address = urllib.parse.urljoin(self._url, self._PATHS[command])
        if arguments.pop("texts", False):
            raise UsageError("the web page shows no whole messages; use --state-dir on the node's machine")
        if command in ("explain", "trace"):
            address += urllib.parse.quote(str(arguments.pop("call_id")), safe="")
        query = urllib.parse.urlencode(
            {name: value for name, value in arguments.items() if value is not None}
        )
        try:
            with self._opener.open(f"{address}?{query}" if query else address, timeout=TIMEOUT) as response:
                body = response.read(MAX_ANSWER + 1)
        except urllib.error.HTTPError as error:
            raise UsageError(_http_error(error, address)) from None
        except http.client.HTTPException:  # a SIP or SSH port, or a connection that ended too early
            raise UsageError(f"{self._url}: what answers there is not a web server") from None
        except (urllib.error.URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise UsageError(f"{self._url}: {getattr(reason, 'strerror', None) or reason}") from None
        if command == "metrics":
            return body.decode("utf-8", "replace")
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise UsageError(f"{address}: not an answer of a node") from None


def _one_of(rows: Any, name: object) -> Any:
    """One gateway of the page's list, which has all but its options: they are not for everybody who reads the page."""
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("name") == name:
            return row
    raise UsageError(f"there is no gateway {name}")


def _http_error(error: urllib.error.HTTPError, address: str) -> str:
    try:
        document = json.loads(error.read(65_536))
    except (ValueError, RecursionError, OSError, http.client.HTTPException):
        document = None
    if isinstance(document, dict) and "error" in document:
        return str(document["error"])
    return f"{address}: {error.code} {error.reason}"
