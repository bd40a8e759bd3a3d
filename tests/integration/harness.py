"""
What all integration tests share: clusters of real C{twistd} processes, phones, sipp and baresip, and a strict end.

Each test has its own loopback network, so that tests run beside each other on the standard ports. At its end every program
is stopped, and the test fails when a process stayed behind or a node's log holds a traceback.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from demo.cluster import CHECKOUT, Cluster, Node
from demo.programs import Program, ProgramFailed
from tests.conformance.marks import Recorded
from tests.integration.passed_over import Placing
from tests.integration.run_baresip import Baresip
from tests.integration.run_sipp import Sipp, credentials
from voipcluster.address import Hop
from voipcluster.phone import Phone
from voipcluster.phone.media import AudioClock, AudioStream

__all__ = ["ClusterTestCase", "IntegrationTestCase"]

DOMAIN = "example.com"
COMMON = ("--set", f'cluster.domain=["{DOMAIN}"]')  # what every node of a cluster is started with
_HERE = Path(__file__).parent
_LOOK_AGAIN = 0.05
_SELDOM = 0.25  # seconds between two looks that ask a node, when it takes long: to be asked costs it CPU time
TRACEBACK = re.compile(
    r"^.*Traceback \(most recent call last\)(?:.*\n)+?(?=\S*\d{4}-\d\d-\d\d|\Z)", re.MULTILINE
)


class IntegrationTestCase(Recorded, TestCase):
    """
    Programs and addresses of one test.

    @ivar folder: a fresh folder; C{reactor} the real one.
    @cvar timeout: seconds for one test, with set-up and end.
    """

    timeout = 180
    reactor: Any = global_reactor
    _tests_begun: ClassVar[int] = 0

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.network = self._own_network()
        self._programs: list[Program] = []
        self._closing: list[Callable[[], Awaitable[Any]]] = []

    def _own_network(self) -> str:
        """127.MODULE.TEST: no two tests that run at once share an address; the demo has 127.0."""
        modules = sorted(path.stem for path in _HERE.glob("test_*.py"))
        IntegrationTestCase._tests_begun += 1
        number = modules.index(type(self).__module__.rpartition(".")[2])
        return f"127.{10 + number}.{IntegrationTestCase._tests_begun % 250}"

    def address(self, last: int) -> str:
        """An address of this test's own network; the nodes have 1, 2, 3 ..., phones better take 100 and above."""
        return f"{self.network}.{last}"

    async def tearDown(self) -> None:
        """Stop everything in the reverse order of its start."""
        failures = []
        for close in reversed(self._closing):
            try:
                await close()
            except Exception as error:
                failures.append(f"{type(error).__name__}: {error}")
        for program in self._programs:
            if not await self._soon(lambda program=program: not _session_lives(program)):
                failures.append(f"{program.name} left processes behind")
        await self._soon(lambda: not _commands_with(f"{self.network}."))
        failures += [f"left behind: {command}" for command in _commands_with(f"{self.network}.")]
        self.assertEqual(failures, [])

    async def _soon(self, condition: Callable[[], bool]) -> bool:
        """Whether it is so in a moment: the kernel takes some milliseconds for the end of what was killed, or more when busy."""
        deadline = self.reactor.seconds() + 15.0
        while not condition():
            if self.reactor.seconds() > deadline:
                return False
            await self.tick()
        return True

    def at_end(self, close: Callable[[], Awaitable[Any]]) -> None:
        """Have C{close} called and awaited when the test is over, before what was there earlier."""
        self._closing.append(close)

    def program(self, name: str, command: Sequence[str], **options: Any) -> Program:
        """Start any program; see L{Program.start}."""
        program = Program.start(self.reactor, name, command, **options)
        self._programs.append(program)
        self.at_end(program.stop)
        return program

    def python(self, *words: str, **options: Any) -> Program:
        """Start this Python."""
        return self.program(f"python {words[-1]}", [sys.executable, *words], **options)

    def tick(self, seconds: float = _LOOK_AGAIN) -> Deferred[None]:
        """Fires after a moment; to wait for something use C{until}."""
        waiting: Deferred[None] = Deferred()
        self.reactor.callLater(seconds, waiting.callback, None)
        return waiting

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
        """
        Return what C{condition()} gives (or resolves to) once that is true.

        @param what: for the message when it is not so within C{seconds}.
        """
        begun = self.reactor.seconds()
        while True:
            result = condition()
            asks = hasattr(result, "__await__")
            if asks:
                result = await result
            if result:
                return result
            waited = self.reactor.seconds() - begun
            if waited > seconds:
                self.fail(f"not within {seconds} s: {what}")
            await self.tick(max(_LOOK_AGAIN, min(waited / 10, _SELDOM)) if asks else _LOOK_AGAIN)

    async def hold(self, seconds: float, condition: Callable[[], Any], what: str) -> None:
        """Fail as soon as C{condition()} is not true within that time: for what must go on."""
        deadline = self.reactor.seconds() + seconds
        while self.reactor.seconds() < deadline:
            self.assertTrue(condition(), what)
            await self.tick()


class ClusterTestCase(Placing, IntegrationTestCase):
    """
    A cluster, its users and its clients.

    @ivar cluster: after C{start_cluster}; C{passwords} by user name.
    """

    cluster: Cluster

    def setUp(self) -> None:
        super().setUp()
        self.passwords: dict[str, str] = {}
        self._killed: set[Program] = set()

    async def start_cluster(
        self,
        *options: str,
        nodes: str = "abc",
        each: dict[str, Sequence[str]] | None = None,
        checkout: Path = CHECKOUT,
    ) -> Cluster:
        """
        Start a primary and secondaries, and wait until all hear of all.

        @param options: for the command line of every node, such as C{"--set", "limits.calls=20"}; C{each}: by name, for one.
        @param nodes: one letter a node; the first is the primary. Their addresses end in 1, 2, 3 ...
        @param checkout: where the voipcluster is that they run.
        """
        self.cluster = Cluster(self.reactor, self.folder, (*COMMON, *options))
        self.cluster.checkout = checkout
        self.at_end(self._end_cluster)
        for number, name in enumerate(nodes, 1):
            start = self.cluster.found if number == 1 else self.cluster.join
            await start(name, self.address(number), *(each or {}).get(name, ()))
        await self.cluster.all_see_all()
        return self.cluster

    @property
    def primary(self) -> Node:
        return self.cluster.primary

    def node(self, name: str) -> Node:
        return self.cluster.node(name)

    async def left(self, node: Node, seconds: float = 40.0) -> None:
        """Return once a node that was told to leave has ended well."""
        assert node.program is not None
        self._killed.add(node.program)
        self.assertEqual(await node.program.ended(seconds), 0)

    async def kill(self, node: Node) -> None:
        """C{kill -9}."""
        assert node.program is not None
        self._killed.add(node.program)
        await node.kill()

    async def _end_cluster(self) -> None:
        problems = []
        for node in reversed(self.cluster.nodes):
            program = node.program
            running = node.running
            if program is None:
                continue
            status = await node.stop()
            if not running and program not in self._killed:
                problems.append(f"node {node.name} ended by itself with {status}")
            elif running and status not in (0, -signal.SIGTERM):  # twistd ends by the signal that stopped it
                problems.append(f"node {node.name} ended with {status} when asked to")
            if not await self._soon(lambda program=program: not _session_lives(program)):
                problems.append(f"node {node.name} left processes behind")
        for node in self.cluster.nodes:
            log = node.log.read_text(errors="replace") if node.log.exists() else ""
            problems += [f"node {node.name} logged\n{found[0]}" for found in TRACEBACK.finditer(log)]
        if problems:
            raise ProgramFailed("\n".join(problems))

    async def add_users(self, *names: str) -> None:
        """Add accounts with random passwords, which C{passwords} then holds; returns when every node knows them."""
        for name in names:
            self.passwords[name] = secrets.token_hex(8)
            await self.primary.ask("user-add", name=name, domain=DOMAIN, password=self.passwords[name])
        wanted = {f"{name}@{DOMAIN}" for name in names}
        for node in [node for node in self.cluster.nodes if node.running]:

            async def known(node: Node = node) -> bool:
                return wanted <= set(await node.ask("user-list", domain=DOMAIN))

            await self.until(known, f"{node.name} knows the users")

    async def reachable(self, *users: str) -> None:
        """Return once every node knows where to find these users."""
        for node in self.cluster.nodes:
            for user in users if node.running else ():

                async def known(node: Node = node, user: str = user) -> bool:
                    return bool(await node.ask("registrations", aor=f"{user}@{DOMAIN}"))

                await self.until(known, f"{node.name} knows where {user} is")

    def phone(
        self,
        user: str,
        node: Node | None = None,
        *,
        host: str | None = None,
        transport: str = "UDP",
        **options: Any,
    ) -> Phone:
        """
        A phone of our own; C{await phone.register()} next.

        @param node: where it registers and calls, the primary unless told otherwise.
        """
        made = Phone(
            self.reactor,
            user,
            DOMAIN,
            self.passwords.get(user, ""),
            (node or self.primary).hop(transport),
            host or self.address(100),
            transport,
            **options,
        )
        self.at_end(made.stop)
        return made

    def sipp(self, scenario: str | Path, host: str, target: Hop | None = None, **options: Any) -> Sipp:
        """Start sipp; see L{Sipp}."""
        made = Sipp(self.reactor, self.folder, scenario, host, target, domain=DOMAIN, **options)
        self._programs.append(made.program)
        self.at_end(made.stop)
        return made

    async def sipp_callee(
        self,
        users: Sequence[str],
        host: str,
        node: Node | None = None,
        *,
        transport: str = "UDP",
        **options: Any,
    ) -> Sipp:
        """A sipp that answers at C{host} as all of these users, and echoes RTP; registered when it returns."""
        # registered from the very address that it answers at: a registrar sends calls where the REGISTER came from
        await self.sipp_register(users, host, node)
        made = self.sipp("uas", host, options=("-rtp_echo", "-mp", "6000"), transport=transport, **options)
        await self.until(lambda: listens(host, 5060), "sipp listens")
        return made

    async def sipp_register(self, users: Sequence[str], host: str, node: Node | None = None) -> None:
        """Register each of the users at C{host}:5060 over UDP, with MD5 digest."""
        rows = [(user, credentials(user, self.passwords[user]), f"{host}:5060") for user in users]
        made = self.sipp("register", host, (node or self.primary).hop(), rows=rows, rate=100)
        await made.finished(30)

    def sipp_caller(
        self,
        pairs: Sequence[tuple[str, str]],
        host: str,
        node: Node | None = None,
        *,
        scenario: str = "call",
        tone: int | Sequence[int] = 600,
        **options: Any,
    ) -> Sipp:
        """
        A sipp that places one call for each pair of caller and callee, with audio of ours.

        Its C{streams} tell of each call how much came back and what was heard: with an echoing callee, our own tone.

        @param tone: of all, or of each.
        """
        clock = AudioClock(self.reactor)
        streams: dict[int, AudioStream] = {}
        rows = []
        tones = [tone] * len(pairs) if isinstance(tone, int) else tone
        for (caller, callee), hz in zip(pairs, tones, strict=True):
            stream = AudioStream(clock, hz, secrets.randbits(32))
            stream.open(self.reactor, host)
            streams[stream.address[1]] = stream
            answer = credentials(caller, self.passwords.get(caller, ""))
            rows.append((caller, answer, callee, str(stream.address[1])))
        made = self.sipp(scenario, host, (node or self.primary).hop(), rows=rows, **options)
        made.play(streams)
        made.tones = dict(zip(streams, tones, strict=True))
        return made

    async def baresip(
        self, user: str, node: Node | None = None, *, transport: str = "UDP", **options: Any
    ) -> Baresip:
        """Start baresip as one of the users; registered when it returns."""
        proxy = (node or self.primary).hop(transport)
        made = Baresip(self.reactor, user, DOMAIN, self.passwords[user], proxy, **options)
        self._programs.append(made.program)
        self.at_end(made.stop)
        await made.registered()
        return made

    async def register(self, *phones: Phone) -> None:
        await gatherResults([phone.register() for phone in phones], consumeErrors=True)


def listens(host: str, port: int) -> bool:
    """Whether some program has that UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def _session_lives(program: Program) -> bool:
    """
    Whether a process of the program's session is left (not counting those that only wait to be reaped).

    What was started when it had ended is of somebody else, who was given its number.
    """
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended just now
        if int(fields[3]) == program.pid and fields[0] != "Z":
            begun = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # s since the machine was started
            if program.status is None or begun <= program.ended_at:
                return True
    return False


def _commands_with(text: str) -> list[str]:
    """The command lines that hold a text, of the processes that are in this network namespace."""
    found = []
    own = Path("/proc/self/ns/net").readlink()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if file.with_name("ns").joinpath("net").readlink() != own:
                continue  # another run of the tests, whose addresses may be the same
            command = file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue  # it ended just now
        if text in command:
            found.append(command)
    return found
