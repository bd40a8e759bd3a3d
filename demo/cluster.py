"""A cluster of real C{twistd} processes on one machine, each with its own address and state directory."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from demo.programs import Program, ProgramFailed
from voipcluster.address import DEFAULT_PORT, Hop
from voipcluster.errors import UsageError
from voipcluster.voipctl.client import SocketClient

START_LIMIT = 60.0  # seconds until a node answers, on a machine that is busy
_LOOK_AGAIN = 0.1
CHECKOUT = Path(__file__).parent.parent


def _later(reactor: Any, seconds: float) -> Deferred[None]:
    waiting: Deferred[None] = Deferred()
    reactor.callLater(seconds, waiting.callback, None)
    return waiting


class IServiceManager(Protocol):
    """Keeps descriptors of a node between its processes."""

    @property
    def descriptors(self) -> list[int]: ...

    def environment(self) -> dict[str, str]: ...


class Node:
    """
    One node: a process, its address and its state directory.

    @ivar program: the running process, or the last one.
    @ivar manager: plays the service manager for it, in tests.
    @cvar logger: what writes its log, as C{twistd --logger} takes it; empty for lines of text.
    @ivar checkout: where the voipcluster is that it runs; in tests of upgrades another one than this.
    """

    logger: ClassVar[str] = ""

    def __init__(self, reactor: Any, name: str, address: str, folder: Path) -> None:
        self._reactor = reactor
        self.name, self.address = name, address
        self.state_dir = folder / name
        self.log = folder / f"{name}.log"
        self.program: Program | None = None
        self.manager: IServiceManager | None = None
        self.checkout = CHECKOUT

    @property
    def running(self) -> bool:
        return self.program is not None and self.program.status is None

    @property
    def pid(self) -> int:
        return self.program.pid if self.program is not None and self.running else 0

    def hop(self, transport: str = "UDP", port: int | None = None) -> Hop:
        return Hop(transport, self.address, port or DEFAULT_PORT[transport])

    def command(self, role: str, *options: str) -> list[str]:
        """What to type to start it."""
        return [
            *(str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile="),
            *(("--logger", self.logger) if self.logger else ()),
            "voipcluster",
            *(("--role", role) if role else ()),  # one that was a member before knows its role
            *("--name", self.name, "--address", self.address),
            *("--state-dir", str(self.state_dir), *options),
        ]

    def launch(self, role: str, *options: str) -> Program:
        """Start the process; C{options} go behind its own on the command line."""
        command, environment = self.command(role, *options), node_environment(self.checkout)
        if self.manager is not None:
            # it has the same number as the shell that says it
            command = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *command]
            environment |= self.manager.environment()
        self.program = Program.start(
            self._reactor,
            f"node {self.name}",
            command,
            environment=environment,
            log=self.log,
            descriptors=[] if self.manager is None else self.manager.descriptors,
        )
        return self.program

    async def ready(self) -> None:
        """
        Return once the node answers on its admin socket.

        @raise ProgramFailed: it ended instead, or takes too long.
        """
        program = self.program
        assert program is not None, "launch() first"
        deadline = self._reactor.seconds() + START_LIMIT
        while True:
            if program.status is not None:
                raise ProgramFailed(program.output.strip().splitlines()[-1] if program.output else "it ended")
            try:
                await self.ask("status")
                return
            except UsageError as error:
                if self._reactor.seconds() > deadline:
                    raise ProgramFailed(f"node {self.name} does not answer: {error}") from None
            await _later(self._reactor, _LOOK_AGAIN)

    def ask(self, command: str, **arguments: object) -> Deferred[Any]:
        """What C{voipctl} asks, without its process: fails with L{UsageError}."""
        return deferToThread(SocketClient(str(self.state_dir)).ask, command, **arguments)

    async def voipctl(self, *words: str, stdin: str = "") -> str:
        """
        Run C{voipctl} against this node; gives its standard output.

        @raise ProgramFailed: its exit status is not 0.
        """
        program = self.voipctl_program(*words, stdin=stdin)
        status = await program.ended()
        if status:
            raise ProgramFailed(f"voipctl {' '.join(words)}: status {status}: {program.output.strip()}")
        return program.standard_output

    def voipctl_program(self, *words: str, stdin: str = "") -> Program:
        """The same without waiting for its end, for what is to fail."""
        command = [sys.executable, "-m", "voipcluster.voipctl", "--state-dir", str(self.state_dir), *words]
        return Program.start(
            self._reactor,
            f"voipctl {words[0]}",
            command,
            environment=node_environment(self.checkout),
            stdin=stdin,
        )

    async def voipctl_json(self, *words: str) -> Any:
        return json.loads(await self.voipctl("--json", *words))

    async def stop(self) -> int:
        """End it; its exit status, 0 when it never ran."""
        return 0 if self.program is None else await self.program.stop()

    def kill(self) -> Deferred[int]:
        """C{kill -9}; fires when the process is gone."""
        assert self.program is not None, "launch() first"
        self.program.send_signal("KILL")
        return self.program.ended()


class Cluster:
    """
    @param folder: where state directories and logs go.
    @param options: for the command line of every node.
    @ivar nodes: the primary first.
    @ivar checkout: of the nodes that are added from now on; C{kind}: what makes them.
    """

    kind: type[Node] = Node

    def __init__(self, reactor: Any, folder: Path, options: Sequence[str] = ()) -> None:
        self._reactor, self._folder, self._options = reactor, folder, tuple(options)
        self.nodes: list[Node] = []
        self.checkout = CHECKOUT

    @property
    def primary(self) -> Node:
        return self.nodes[0]

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def _add(self, name: str, address: str) -> Node:
        node = self.kind(self._reactor, name, address, self._folder)
        node.checkout = self.checkout
        self.nodes.append(node)
        return node

    async def found(self, name: str, address: str, *options: str) -> Node:
        """Start the primary, on an empty state directory."""
        node = self._add(name, address)
        node.launch("primary", *self._options, *options)
        await node.ready()
        return node

    async def join(self, name: str, address: str, *options: str) -> Node:
        """Start a secondary with a token that the primary just made."""
        token = str(await self.primary.ask("join-token", ttl=3600.0, uses=1))
        node = self._add(name, address)
        node.launch("secondary", "--join", token, *self._options, *options)
        await node.ready()
        return node

    async def restart(self, node: Node, *options: str) -> None:
        """Start a node again on its state directory."""
        node.launch("primary" if node is self.primary else "secondary", *self._options, *options)
        await node.ready()

    async def status(self, node: Node | None = None) -> dict[str, dict[str, Any]]:
        """The nodes as one of them sees them (the primary unless told otherwise), by name."""
        answer = await (node or self.primary).ask("status")
        return {row["name"]: row for row in answer["nodes"]}

    async def when(self, condition: Any, what: str, seconds: float = 30.0, node: Node | None = None) -> Any:
        """
        Ask for the status until C{condition(status)} holds; gives that status.

        @raise ProgramFailed: not in time.
        """
        deadline = self._reactor.seconds() + seconds
        while True:
            status = await self.status(node)
            if condition(status):
                return status
            if self._reactor.seconds() > deadline:
                raise ProgramFailed(f"not within {seconds} s: {what}; the status is {json.dumps(status)}")
            await _later(self._reactor, _LOOK_AGAIN)

    async def all_see_all(self) -> None:
        """Return once every node has a fresh workload of every other one."""
        names = {node.name for node in self.nodes if node.running}

        def whole(status: dict[str, dict[str, Any]]) -> bool:
            return all(name in status and status[name]["workload"] is not None for name in names)

        for node in self.nodes:
            if node.running:
                await self.when(whole, f"{node.name} hears of {', '.join(sorted(names))}", node=node)

    async def add_user(self, account: str, password: str) -> None:
        """@param account: C{NAME@DOMAIN}."""
        name, _, domain = account.rpartition("@")
        await self.primary.ask("user-add", name=name, domain=domain, password=password)

    async def stop(self) -> None:
        """End all nodes, secondaries first."""
        for node in reversed(self.nodes):
            await node.stop()


def node_environment(checkout: Path = CHECKOUT) -> dict[str, str]:
    """The checkout in front of the path, so that C{twistd} finds the plugin wherever it is started."""
    path = os.environ.get("PYTHONPATH", "")
    return {
        "PYTHONPATH": f"{checkout}{os.pathsep}{path}" if path else str(checkout),
        "PYTHONUNBUFFERED": "1",
    }
