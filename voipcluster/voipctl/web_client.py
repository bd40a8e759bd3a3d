"""Asking a node by its web page's JSON, which only reads. Plain blocking I/O."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from voipcluster.errors import UsageError
from voipcluster.voipctl.client import MAX_ANSWER, TIMEOUT
from voipcluster.web.slices import SILENT


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A node never redirects; whoever does is not a node."""

    def redirect_request(self, *given: Any) -> None:
        return None


class WebClient:
    """
    Asks over HTTP; only what C{INodeView} reads.

    @param url: of the web page, for instance C{http://127.0.0.1:8080/}.
    """

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
        if not _is_of_a_node(url):
            # before an @ there may be a password
            shown = "it" if "@" in url else repr(url)
            raise UsageError(f"--url: {shown} is not http://HOST[:PORT]/")
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
        silent = arguments.pop("silent", False)
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
                missing = response.headers.get(SILENT, "")
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
            answer = json.loads(body)
        except (ValueError, RecursionError):
            raise UsageError(f"{address}: not an answer of a node") from None
        return {"calls": answer, "silent": missing.split(", ") if missing else []} if silent else answer

    def parts(
        self, command: str, size: int, wanted: int = 0, overlap: int = 0, **arguments: object
    ) -> Iterator[Any]:
        """The only one."""
        yield self.ask(command, **arguments)

    def stream(self, command: str, **arguments: object) -> Iterator[Any]:
        """The same, and it is not asked for parts."""
        arguments.pop("parts", None)
        yield self.ask(command, **arguments)


def _is_of_a_node(url: str) -> bool:
    """Whether it names a host, perhaps a port, and nobody who logs in: a node knows nobody that way."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and port != 0
    )


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
