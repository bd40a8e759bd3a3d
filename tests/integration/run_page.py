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
    """
    One Chromium with one page; L{open} first.

    @ivar errors: exceptions that no script caught, what scripts wrote as errors, and what the browser refused them, such as
        an inline style. An answer of another status than 200 is none.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor, "chromium")
        self._folder = tempfile.mkdtemp(prefix="chromium-")
        self._received_so_far = b""
        self._asked: dict[int, Deferred[dict[str, Any]]] = {}
        self._session: str | None = None
        self.errors: list[str] = []

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
        target = await self._ask("Target.createTarget", url="about:blank")
        attached = await self._ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Runtime", "Log"):
            await self._ask(f"{domain}.enable")
        await self.go(url)

    async def go(self, url: str) -> None:
        """Load another page, with the cookies of those before."""
        await self._ask("Page.navigate", url=url)

    async def cookies(self) -> list[dict[str, Any]]:
        """Those that go along to this page, as the browser has them."""
        found: list[dict[str, Any]] = (await self._ask("Network.getCookies"))["cookies"]
        return found

    async def resize(self, width: int, height: int, scale: float = 1.0, *, phone: bool = False) -> None:
        """@param scale: pixels of a picture for one of the page."""
        await self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=phone,
        )

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD != _FROM_CHROMIUM:
            super().childDataReceived(childFD, data)
            return
        *messages, self._received_so_far = (self._received_so_far + data).split(b"\0")
        for message in map(json.loads, messages):
            self._note(message.get("method"), message.get("params", {}))
            asked = self._asked.pop(message.get("id", 0), None)
            if asked is not None:
                asked.callback(message.get("result") or {"error": message.get("error")})

    def _note(self, event: str | None, told: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.errors.append(str(details.get("exception", {}).get("description") or details.get("text")))
        elif event == "Runtime.consoleAPICalled" and told["type"] in ("error", "assert"):
            self.errors.append(str([one.get("value", one.get("description")) for one in told["args"]]))
        elif (
            event == "Log.entryAdded"
            and told["entry"]["level"] == "error"
            and told["entry"]["source"] != "network"
        ):
            self.errors.append(str(told["entry"]["text"]))

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
