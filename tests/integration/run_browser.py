"""Phones of JsSIP in a headless Chromium, which a small web server of the test tells what to do."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.static import File

from demo.programs import Program

HERE = Path(__file__).parent.parent / "browser"
PORT = 8090
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
    *("--autoplay-policy=no-user-gesture-required", "--allow-loopback-in-peer-connection"),
    "--disable-features=WebRtcHideLocalIpsWithMdns,MediaRouter",
    "--ignore-certificate-errors",  # the CA of a test is not one that it knows
)


class _Command(Resource):
    """What the page asks when it has nothing to do; answered as soon as there is something."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self._commands: deque[dict[str, Any]] = deque()
        self._waiting: Request | None = None

    def give(self, command: dict[str, Any]) -> None:
        self._commands.append(command)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.write(json.dumps(self._commands.popleft()).encode())
            waiting.finish()

    def render_GET(self, request: Request) -> Any:
        if self._commands:
            return json.dumps(self._commands.popleft()).encode()
        self._waiting = request
        request.notifyFinish().addErrback(self._gone, request)
        return NOT_DONE_YET

    def _gone(self, failure: object, request: Request) -> None:
        if self._waiting is request:
            self._waiting = None


class _Event(Resource):
    """What the page tells."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def render_POST(self, request: Request) -> bytes:
        self.events.append(json.load(request.content))
        return b""


class Browser:
    """
    One Chromium with one page.

    @param host: where the page is served from; its origin is C{origin}.
    @ivar events: what its phones told, oldest first, each with C{phone} and C{event}.
    """

    def __init__(self, reactor: Any, host: str) -> None:
        self._reactor, self._host = reactor, host
        self._folder = tempfile.mkdtemp(prefix="chromium-")
        self._command, self._event = _Command(), _Event()
        self.program: Program | None = None
        self._port: Any = None

    @property
    def origin(self) -> str:
        return f"http://{self._host}:{PORT}"

    @property
    def events(self) -> list[dict[str, Any]]:
        return self._event.events

    async def start(self) -> Program:
        root: Any = Resource()
        root.putChild(b"", File(str(HERE / "index.html")))
        root.putChild(b"phone.js", File(str(HERE / "build" / "phone.js")))
        root.putChild(b"command", self._command)
        root.putChild(b"event", self._event)
        site: Any = Site(root)
        site.noisy = False
        self._port = await TCP4ServerEndpoint(self._reactor, PORT, 50, self._host).listen(site)
        self.program = Program.start(
            self._reactor,
            "chromium",
            ["chromium", *FLAGS, f"--user-data-dir={self._folder}", f"{self.origin}/"],
        )
        return self.program

    def tell(self, phone: str, command: str, **more: str) -> None:
        """Have a phone of the page C{register}, C{call} or C{hangUp}."""
        self._command.give({"phone": phone, "command": command, **more})

    def said(self, phone: str, event: str, since: int = 0) -> dict[str, Any] | None:
        """The first such event of a phone behind the first C{since} ones."""
        found = (e for e in self.events[since:] if (e["phone"], e["event"]) == (phone, event))
        return next(found, None)

    async def stop(self) -> None:
        if self.program is not None:
            await self.program.stop(3.0)
        if self._port is not None:
            stopped: Deferred[Any] = maybeDeferred(self._port.stopListening)
            await stopped
        shutil.rmtree(self._folder, ignore_errors=True)
