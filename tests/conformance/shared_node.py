"""Nodes that many tests share: started by the first one that wants them, stopped when the process ends."""

from __future__ import annotations

import atexit
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from demo.cluster import Node, node_environment
from demo.programs import tied_to_us
from tests.integration.harness import TRACEBACK

_STOP_LIMIT = 10.0  # seconds


class DetachedProgram:
    """
    A process that the reactor does not know of: trial closes whatever is in the reactor at the end of each test.

    @ivar output: its log until now; C{status} and C{pid} as of L{demo.programs.Program}.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log
        environment = {**os.environ, **node_environment()}
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [*tied_to_us(), *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environment,
            )
        self.pid = self._process.pid

    @property
    def status(self) -> int | None:
        return self._process.poll()

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def end(self) -> int:
        """Ask it to end, or kill it; waits. Gives its exit status."""
        self._process.terminate()
        try:
            return self._process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class DetachedNode(Node):
    """A node that is stopped when the process ends."""

    program: DetachedProgram

    def __init__(self, reactor: Any, name: str, address: str, folder: Path) -> None:
        super().__init__(reactor, name, address, folder)
        self._read = 0  # octets of the log that were looked at

    def launch(self, role: str, *options: str) -> Any:
        self.program = DetachedProgram(self.command(role, *options), self.log)
        if self not in _launched:  # else it is started again
            _launched.append(self)
        return self.program

    def tracebacks(self) -> list[str]:
        """The tracebacks in the log that were not there when this was asked last."""
        log = self.log.read_bytes()
        text, self._read = log[self._read :].decode("utf-8", "replace"), len(log)
        return [match[0] for match in TRACEBACK.finditer(text)]


class SharedNode(DetachedNode):
    """
    A primary of its own cluster.

    @ivar users: the accounts that it has, with their passwords.
    """

    def __init__(self, reactor: Any, address: str, folder: Path) -> None:
        super().__init__(reactor, "a", address, folder)
        self.users: dict[str, str] = {}

    async def numbers(self) -> dict[str, float]:
        """What C{/metrics} says: C{"voipcluster_calls"}, C{'voipcluster_transactions{side="server"}'} and so on."""
        found = re.findall(r"^(\w+(?:\{[^}]*\})?) ([-+.0-9e]+)$", await self.ask("metrics"), re.MULTILINE)
        return {name: float(value) for name, value in found}


class EmbeddedNode(SharedNode):
    """A node within the application C{tests.conformance.embedded}: with a call hook, and a Timer C that runs out in a test."""

    def command(self, role: str, *options: str) -> list[str]:
        settings = (
            f"role={role}",
            f"name={self.name}",
            f"address={self.address}",
            f"state_dir={self.state_dir}",
        )
        words = [*(f"node.{setting}" for setting in settings), *(word for word in options if word != "--set")]
        return [sys.executable, "-m", "tests.conformance.embedded", *words]


_launched: list[DetachedNode] = []
_running: dict[tuple[str, ...], SharedNode] = {}


async def shared_node(
    reactor: Any,
    options: tuple[str, ...],
    network: str,
    folder: Path,
    host: str = "",
    share: str = "",
    kind: type[SharedNode] = SharedNode,
) -> SharedNode:
    """
    The node of this process with these options, started now unless it runs.

    @param network: the first three numbers of its address; C{host}: all of it instead.
    @param share: tells nodes of the same options apart; C{kind}: what makes it.
    """
    key = (kind.__name__, host, share, *options)
    node = _running.get(key)
    if node is None:
        node = kind(reactor, host or f"{network}.{len(_running) + 1}", folder)
        _running[key] = node
        node.launch("primary", *options)
        await node.ready()
    return node


@atexit.register
def _stop_all() -> None:
    """Stop the nodes; a bad end of one is a bad end of this process, which is counted as a failure."""
    problems = []
    for node in reversed(_launched):  # secondaries before their primary
        ended_before = node.program.status
        status = node.program.end()
        if ended_before is not None:
            problems.append(f"the node at {node.address} ended by itself with {ended_before}")
        elif status not in (0, -signal.SIGTERM):
            problems.append(f"the node at {node.address} ended with {status} when asked to")
        problems += [f"the node at {node.address} logged\n{text}" for text in node.tracebacks()]
    if problems:
        sys.stdout.flush()
        sys.stderr.write("\n".join([*problems, ""]))
        sys.stderr.flush()
        os._exit(1)
