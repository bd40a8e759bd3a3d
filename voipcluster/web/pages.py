"""What the site answers: JSON from the node's view, the metrics, and the files of the page."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from prometheus_client import CONTENT_TYPE_LATEST
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from voipcluster.errors import VoipclusterError
from voipcluster.web.view import INodeView, Later

_log = Logger()
_ALLOWED = (b"GET", b"HEAD")
_ASKED = re.compile(r"[^\x00-\x1f\x7f]{1,512}")


def write_json(request: Request, value: object, code: int = http.OK) -> bytes:
    """Set code and headers; the body to return. Nothing of it is kept by a cache."""
    request.setResponseCode(code)
    request.setHeader("Content-Type", "application/json; charset=utf-8")
    request.setHeader("Cache-Control", "no-store")
    return json.dumps(value, separators=(",", ":")).encode("utf-8")


class _Page(Resource):
    """Takes GET and HEAD; says so to everything else."""

    def render(self, request: Request) -> bytes | int:
        if request.method not in _ALLOWED:
            request.setHeader("Allow", "GET, HEAD")
            return write_json(request, {"error": "this page is read-only"}, http.NOT_ALLOWED)
        return self.render_GET(request)

    def render_GET(self, request: Request) -> bytes | int:
        raise NotImplementedError("for the page to say")

    def getChild(self, path: bytes, request: Request) -> Resource:
        return Missing()


class Missing(_Page):
    """A folder without a page, and everything below it that does not exist."""

    def render_GET(self, request: Request) -> bytes | int:
        return write_json(request, {"error": "no such page"}, http.NOT_FOUND)


class Refused(_Page):
    """The same refusal for every path."""

    isLeaf = True

    def __init__(self, reason: str) -> None:
        super().__init__()
        self._reason = reason

    def render_GET(self, request: Request) -> bytes | int:
        return write_json(request, {"error": self._reason}, http.FORBIDDEN)


class _Answer(_Page):
    """Asks the node, and writes what it says whenever it says it."""

    isLeaf = True

    def _reply(
        self, request: Request, ask: Callable[[], Later], write: Callable[[Request, Any], bytes]
    ) -> int:
        gone: list[object] = []
        # The client may leave while other nodes are asked; there is nobody to write to then.
        request.notifyFinish().addErrback(gone.append)

        def failed(failure: Failure) -> bytes:
            if isinstance(failure.value, VoipclusterError):
                return write_json(request, {"error": str(failure.value)}, http.NOT_FOUND)
            _log.failure("a web request failed", failure)
            return write_json(
                request, {"error": "the node failed at this; its log tells more"}, http.INTERNAL_SERVER_ERROR
            )

        def finish(body: bytes) -> None:
            if not gone:
                request.write(body)
                request.finish()

        answered = maybeDeferred(ask).addCallback(lambda result: write(request, result)).addErrback(failed)
        answered.addCallback(finish).addErrback(lambda failure: _log.failure("a web answer failed", failure))
        return NOT_DONE_YET


class Api(_Answer):
    """
    One method of the view as JSON.

    @param argument: the query field to hand on; missing or empty is L{None}.
    @param convert: makes the method's argument of the field's text; raises C{ValueError} when it cannot.
    """

    def __init__(
        self, ask: Callable[..., Later], argument: str | None = None, convert: Callable[[str], object] = str
    ) -> None:
        super().__init__()
        self._ask, self._argument, self._convert = ask, argument, convert

    def render_GET(self, request: Request) -> bytes | int:
        if self._argument is None:
            return self._reply(request, self._ask, write_json)
        given = request.args.get(self._argument.encode("ascii"), [b""])[0].decode("utf-8", "replace")
        try:
            if given and not _ASKED.fullmatch(given):
                raise ValueError(given)
            value = self._convert(given) if given else None
        except ValueError:
            return write_json(request, {"error": f"{self._argument}: not what it must be"}, http.BAD_REQUEST)
        return self._reply(request, lambda: self._ask(value), write_json)


class Explain(_Answer):
    """C{/api/explain/CALL-ID}; a Call-ID may hold slashes, escaped or not."""

    def __init__(self, view: INodeView) -> None:
        super().__init__()
        self._view = view

    def render_GET(self, request: Request) -> bytes | int:
        raw = request.uri.partition(b"?")[0].partition(b"/api/explain/")[2].decode("latin-1")
        call_id = unquote(raw, errors="replace")
        if not _ASKED.fullmatch(call_id):
            return write_json(request, {"error": "ask for /api/explain/CALL-ID"}, http.BAD_REQUEST)
        return self._reply(request, lambda: self._view.explain(call_id), write_json)


class Metrics(_Answer):
    """Prometheus' text format."""

    def __init__(self, view: INodeView) -> None:
        super().__init__()
        self._view = view

    def render_GET(self, request: Request) -> bytes | int:
        return self._reply(request, self._view.metrics, self._write)

    @staticmethod
    def _write(request: Request, text: str) -> bytes:
        request.setHeader("Content-Type", CONTENT_TYPE_LATEST)
        request.setHeader("Cache-Control", "no-store")
        return text.encode("utf-8")


class Asset(_Page):
    """
    A file of the page, read when first asked for, and asked for again only when it has changed (ETag).

    Compressed once, since the largest would take the reactor thread some 30 ms each time.
    """

    isLeaf = True

    def __init__(self, path: Path, content_type: str) -> None:
        super().__init__()
        self._path, self._type = path, content_type
        self._body = self._zipped = self._etag = b""

    def render_GET(self, request: Request) -> bytes | int:
        if not self._etag:
            self._body = self._path.read_bytes()
            self._zipped = gzip.compress(self._body, 9, mtime=0)
            self._etag = b'"' + hashlib.sha256(self._body).hexdigest()[:32].encode("ascii") + b'"'
        request.setHeader("Content-Type", self._type)
        request.setHeader("Cache-Control", "no-cache")
        request.setHeader("Vary", "Accept-Encoding")
        if request.setETag(self._etag) is http.CACHED:
            return b""
        if b"gzip" in b",".join(request.requestHeaders.getRawHeaders(b"accept-encoding", [])):
            request.setHeader("Content-Encoding", "gzip")
            return self._zipped
        return self._body
