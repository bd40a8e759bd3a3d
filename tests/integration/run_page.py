"""A page in a headless Chromium, looked at and clicked on over the DevTools protocol on a pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from demo.programs import Program, tied_to_us
from tests.integration.run_browser import FLAGS

_TO_CHROMIUM, _FROM_CHROMIUM = 3, 4  # descriptors of --remote-debugging-pipe


class Page(Program):
    """One Chromium with one page; L{open} first."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor, "chromium")
        self._folder = tempfile.mkdtemp(prefix="chromium-")
        self._received_so_far = b""
        self._asked: dict[int, Deferred[dict[str, Any]]] = {}
        self._session: str | None = None

    async def open(self, url: str, size: tuple[int, int] = (1280, 1000)) -> None:
        flags = (*FLAGS, "--remote-debugging-pipe", f"--window-size={size[0]},{size[1]}")
        whole = [*tied_to_us(), "chromium", *flags, f"--user-data-dir={self._folder}", "about:blank"]
        executable = shutil.which(whole[0])
        assert executable is not None, whole[0]
        transport = self._reactor.spawnProcess(
            self,
            executable,
            whole,
            env=dict(os.environ),
            childFDs={0: "w", 1: "r", 2: "r", _TO_CHROMIUM: "w", _FROM_CHROMIUM: "r"},
        )
        self.pid = transport.pid or 0
        target = await self._ask("Target.createTarget", url=url)
        attached = await self._ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD != _FROM_CHROMIUM:
            super().childDataReceived(childFD, data)
            return
        *messages, self._received_so_far = (self._received_so_far + data).split(b"\0")
        for message in map(json.loads, messages):
            asked = self._asked.pop(message.get("id", 0), None)
            if asked is not None:
                asked.callback(message.get("result") or {"error": message.get("error")})

    def _ask(self, method: str, **params: Any) -> Deferred[dict[str, Any]]:
        number = len(self._asked) + 1 + max(self._asked, default=0)
        session = {} if self._session is None else {"sessionId": self._session}
        command = {"id": number, "method": method, "params": params, **session}
        answer = self._asked[number] = Deferred()
        self.transport.writeToChild(_TO_CHROMIUM, json.dumps(command).encode() + b"\0")
        return answer

    async def run(self, script: str) -> Any:
        """What an expression gives in the page; L{None} for undefined, and for an exception the text of it."""
        answer = await self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            return f"exception: {answer['exceptionDetails'].get('exception', {}).get('description')}"
        return answer.get("result", {}).get("value")  # none while the page is being loaded

    async def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode((await self._ask("Page.captureScreenshot"))["data"]))

    async def close(self) -> None:
        await self.stop(3.0)
        shutil.rmtree(self._folder, ignore_errors=True)
