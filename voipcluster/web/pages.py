"""What the site answers: JSON from the node's view, the metrics, and the files of the page."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable
from http import HTTPStatus
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

from voipcluster.errors import PeerError, VoipclusterError
from voipcluster.web.gate import Gate, Refusal
from voipcluster.web.slices import SILENT
from voipcluster.web.view import INodeView, Later, Row

_log = Logger()
_ASKED = re.compile(r"[^\x00-\x1f\x7f]{1,512}")


def write_json(request: Request, value: object, code: int = http.OK) -> bytes:
    """Set code and headers; the body to return. Nothing of it is kept by a cache."""
    request.setResponseCode(code, HTTPStatus(code).phrase.encode("ascii"))
    request.setHeader("Content-Type", "application/json; charset=utf-8")
    request.setHeader("Cache-Control", "no-store")
    return json.dumps(value, separators=(",", ":")).encode("utf-8")


def write_refusal(request: Request, refusal: Refusal) -> bytes:
    for name, value in refusal.headers.items():
        request.setHeader(name, value)
    return write_json(request, {"error": str(refusal)}, refusal.code)


class Page(Resource):
    """
    Takes its methods, and says so to everything else.

    @cvar methods: GET with HEAD, or others, each with a C{render_} of its own.
    """

    methods: tuple[bytes, ...] = (b"GET", b"HEAD")

    def render(self, request: Request) -> bytes | int:
        if request.method not in self.methods:
            request.setHeader("Allow", b", ".join(self.methods))
            reads = b"GET" in self.methods
            return write_json(
                request,
                {"error": "this page takes GET only" if reads else "this is not a page, but takes POST"},
                http.NOT_ALLOWED,
            )
        return self.render_GET(request) if b"GET" in self.methods else self.render_POST(request)

    def render_GET(self, request: Request) -> bytes | int:
        raise NotImplementedError("for the page to say")

    def render_POST(self, request: Request) -> bytes | int:
        raise NotImplementedError("for the page to say")

    def getChild(self, path: bytes, request: Request) -> Resource:
        return Missing()


class Missing(Page):
    """A folder without a page, and everything below it that does not exist, whatever is asked of it."""

    def render(self, request: Request) -> bytes | int:
        return write_json(request, {"error": "no such page"}, http.NOT_FOUND)


class Refused(Page):
    """The same refusal for every path and method."""

    isLeaf = True

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self._refusal = refusal

    def render(self, request: Request) -> bytes | int:
        return write_refusal(request, self._refusal)


class Answer(Page):
    """
    Asks the node, and writes what it says whenever it says it.

    @cvar unable: the status of the node's own words that it cannot; those of another node have one of their own.
    """

    isLeaf = True
    unable = http.NOT_FOUND

    def _reply(
        self, request: Request, ask: Callable[[], Later], write: Callable[[Request, Any], bytes]
    ) -> int:
        left: list[object] = []
        # The client may leave while other nodes are asked; there is nobody to write to then.
        request.notifyFinish().addErrback(left.append)

        def failed(failure: Failure) -> bytes:
            error = failure.value
            if isinstance(error, Refusal):
                return write_refusal(request, error)
            if isinstance(error, VoipclusterError):
                gone = isinstance(error, PeerError) and error.status_hint == http.SERVICE_UNAVAILABLE
                code = http.SERVICE_UNAVAILABLE if gone else self.unable
                return write_json(request, {"error": " ".join(str(error).split())}, code)
            _log.failure("a web request failed", failure)
            return write_json(
                request, {"error": "the node failed at this; its log tells more"}, http.INTERNAL_SERVER_ERROR
            )

        def finish(body: bytes) -> None:
            if not left:
                request.write(body)
                request.finish()

        answered = maybeDeferred(ask).addCallback(lambda result: write(request, result)).addErrback(failed)
        answered.addCallback(finish).addErrback(lambda failure: _log.failure("a web answer failed", failure))
        return NOT_DONE_YET


class Api(Answer):
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


class Calls(Api):
    """Calls as a list; a header names the nodes that did not answer."""

    def __init__(self, view: INodeView) -> None:
        super().__init__(lambda call_id: view.calls(call_id, silent=True), "call_id")

    def _reply(
        self, request: Request, ask: Callable[[], Later], write: Callable[[Request, Any], bytes]
    ) -> int:
        def without_silent(request: Request, answer: Row) -> bytes:
            if answer["silent"]:
                request.setHeader(SILENT, ", ".join(answer["silent"]))
            return write(request, answer["calls"])

        return super()._reply(request, ask, without_silent)


class Routes(Api):
    """
    The routes of numbers. What a call costs is for those who have logged in: a page that is open to read, for a screen on the
    wall, is not meant to publish what a carrier asks.
    """

    def __init__(self, view: INodeView, gate: Gate) -> None:
        super().__init__(lambda number: view.routes(number, None), "number")
        self._gate = gate

    def _reply(
        self, request: Request, ask: Callable[[], Later], write: Callable[[Request, Any], bytes]
    ) -> int:
        if self._gate.session(request) is not None:
            return super()._reply(request, ask, write)
        return super()._reply(request, ask, lambda request, rows: write(request, _without_prices(rows)))


def _without_prices(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "price"} for row in rows]


class OfCall(Answer):
    """
    C{/api/explain/CALL-ID} and the like; a Call-ID may hold slashes, escaped or not.

    @param path: what is in front of the Call-ID; C{ask}: what the view says of it.
    """

    def __init__(self, path: str, ask: Callable[[str], Later]) -> None:
        super().__init__()
        self._path, self._ask = path, ask

    def render_GET(self, request: Request) -> bytes | int:
        raw = request.uri.partition(b"?")[0].partition(self._path.encode("ascii"))[2].decode("latin-1")
        call_id = unquote(raw, errors="replace")
        if not _ASKED.fullmatch(call_id):
            return write_json(request, {"error": f"ask for {self._path}CALL-ID"}, http.BAD_REQUEST)
        return self._reply(request, lambda: self._ask(call_id), write_json)


class Metrics(Answer):
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


class Asset(Page):
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
