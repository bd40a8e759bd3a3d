"""Claim: bad input gives one clear line and exit status 1, and leaves nothing half-started."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from demo.cluster import Cluster, Node
from tests.integration.harness import ClusterTestCase
from voipcluster.net.join import JoinToken, parse_token

DATAGRAM, STREAM = socket.SOCK_DGRAM, socket.SOCK_STREAM
PORTS = ((DATAGRAM, 5060), (STREAM, 5060), (STREAM, 8787), (STREAM, 8080))


def listen(address: str, kind: int, port: int) -> socket.socket:
    """A socket that has the port."""
    taken = socket.socket(socket.AF_INET, kind)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == STREAM))
    try:
        taken.bind((address, port))
        if kind == STREAM:
            taken.listen()
    except BaseException:
        taken.close()
        raise
    return taken


class BadInputTestCase(ClusterTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cluster = Cluster(self.reactor, self.folder)

    def new(self, name: str, last: int) -> Node:
        return Node(self.reactor, name, self.address(last), self.folder)

    async def refused(
        self, node: Node, role: str, *options: str, says: Sequence[str], taken: Sequence[tuple[int, int]] = ()
    ) -> None:
        """
        Start a node that cannot start.

        @param says: pieces of the one line; C{taken}: ports of its address that somebody else has.
        """
        program = node.launch(role, *options)
        self._programs.append(program)  # whose end is checked for processes that stayed
        self._killed.add(program)
        self.at_end(program.stop)
        self.assertEqual(await program.ended(), 1, program.output)
        lines = [line for line in program.output.splitlines() if line.startswith("voipcluster: ")]
        self.assertEqual(len(lines), 1, program.output)
        on_error = len(program.output) - len(program.standard_output)
        self.assertEqual(
            on_error, len(lines[0]) + 1, f"not the only line on standard error: {program.output}"
        )
        for piece in says:
            self.assertIn(piece, lines[0])
        self.assertNotIn("Traceback", program.output)
        for kind, port in PORTS:
            if (kind, port) not in taken:
                listen(node.address, kind, port).close()
        if not self.others_state(node):
            self.assertFalse((node.state_dir / "admin.sock").exists())

    def others_state(self, node: Node) -> bool:
        """Whether a node that runs has that state directory."""
        return any(other.running and other.state_dir == node.state_dir for other in self.cluster.nodes)

    async def starts(self, node: Node, role: str, *options: str) -> None:
        """The same node with good input starts, in the same state directory."""
        node.launch(role, *options)
        self.cluster.nodes.append(node)
        if len(self.cluster.nodes) == 1:
            self.at_end(self._end_cluster)
        await node.ready()

    def assertUntouched(self, node: Node) -> None:
        """Nothing was written that a later start would find."""
        found = {path.name for path in node.state_dir.glob("*")} if node.state_dir.exists() else set()
        self.assertLessEqual(found, {"lock"})


class BadConfiguration(BadInputTestCase):
    async def test_configuration(self) -> None:
        """Unknown key, wrong type, no TOML: file, line, key and what is allowed; tests/unit/config has all the others."""
        node = self.new("a", 1)
        file = self.folder / "node.toml"
        for text, says in (
            (
                "[cluster]\n\ntreshold = 0.5\n",
                (f'{file}:3: unknown key "treshold"', "did you mean cluster.threshold?"),
            ),
            ('[limits]\ncalls = "many"\n', (f'{file}:2: limits.calls: found "many", allowed is',)),
            ("[cluster\nthreshold = 0.5\n", (f"{file}:1: ",)),
        ):
            file.write_text(text)
            await self.refused(node, "primary", "--config", str(file), says=says)
            self.assertUntouched(node)
        await self.refused(node, "primary", "--set", "limits.calls=yes", says=("--set limits.calls", "yes"))
        await self.refused(node, "boss", says=('--role: found "boss", allowed is one of primary, secondary',))
        self.assertUntouched(node)

    async def test_addresses(self) -> None:
        """An address that is none, one of another machine, and a state directory that is none."""
        node = self.new("a", 1)
        for address, says in (
            ("10.0.0", '--address: found "10.0.0", allowed is an IPv4'),
            ("192.0.2.9", "192.0.2.9 is not an address of this machine"),
        ):
            await self.refused(node, "primary", "--address", address, says=(says,))
            self.assertUntouched(node)
        node.state_dir.write_text("precious")
        await self.refused(node, "primary", says=(str(node.state_dir),))
        self.assertEqual(node.state_dir.read_text(), "precious")

    async def test_port_in_use(self) -> None:
        """
        Each of the node's ports: the line names address and port, and the node starts when the port is free; as a primary's
        first start that went well it prints the line for the next node.
        """
        for number, (kind, port) in enumerate(PORTS, 1):
            node = self.new(f"n{number}", number)
            with ExitStack() as stack:
                stack.enter_context(listen(node.address, kind, port))
                await self.refused(
                    node, "primary",
                    says=(f"{node.address}:{port}: Address already in use",), taken=[(kind, port)],
                )  # fmt: skip
        await self.starts(node, "")  # one for all of them; it knows its role
        assert node.program is not None
        await node.program.saw(r"^another node joins with: .* --join \S+@" + node.address)


class MemberTestCase(BadInputTestCase):
    """A cluster that refuses nodes and goes on."""

    async def asked_at_the_end(self) -> None:
        """The cluster works as before: the primary answers, and lets a node in."""
        await self.cluster.join("good", self.address(9))
        await self.cluster.all_see_all()
        self.assertEqual(set(await self.cluster.status()), {"a", "good", *self.members})

    async def start(self) -> tuple[Node, Node]:
        """A primary; a node that is to be refused."""
        self.at_end(self._end_cluster)
        self.members: set[str] = set()
        return await self.cluster.found("a", self.address(1)), self.new("b", 2)

    async def token(self) -> str:
        return str(await self.cluster.primary.ask("join-token", ttl=600.0, uses=1))


class BadMembers(MemberTestCase):
    timeout = 360  # for some twenty starts

    async def test_a_cluster_that_refuses(self) -> None:
        """One primary refuses all of these, one after the other, and what is good is let in between and behind them."""
        primary, node = await self.start()
        stranger = self.new("x", 5)
        await self.starts(stranger, "primary")
        self.cluster.nodes.remove(stranger)  # it has a cluster of its own
        try:
            await self.other_cluster(stranger, node)
            await self.bad_tokens(node)
            await self.taken_directory(primary)
            await self.not_its_directory(node)
            await self.taken_port()
            await self.asked_at_the_end()
            self.assertEqual(set(await self.cluster.status(stranger)), {"x"})
        finally:
            self.cluster.nodes.append(stranger)  # to end with the others

    async def other_cluster(self, stranger: Node, node: Node) -> None:
        """A token of one cluster is not taken at another one's primary."""
        self.theirs = parse_token(str(await stranger.ask("join-token", ttl=3600.0, uses=1)))
        address = self.cluster.primary.address
        mixed = JoinToken(self.theirs.fingerprint, self.theirs.secret, address, self.theirs.port)
        await self.refused(node, "secondary", "--join", str(mixed), says=("another cluster",))
        self.assertUntouched(node)

    async def bad_tokens(self, node: Node) -> None:
        """Used, unknown, damaged, of another cluster (wrong CA), for another address: nothing joins, nothing is written."""
        used = await self.token()
        await self.starts(self.new("c", 3), "secondary", "--join", used)
        self.members.add("c")
        good = await self.token()
        parsed = parse_token(good)
        wrong_ca = JoinToken(b"\0" * 32, parsed.secret, parsed.host, parsed.port)
        unknown = JoinToken(parsed.fingerprint, b"x" * 16, parsed.host, parsed.port)
        elsewhere = JoinToken(parsed.fingerprint, parsed.secret, self.address(7), parsed.port)
        of_a_secondary = JoinToken(parsed.fingerprint, parsed.secret, self.address(3), parsed.port)
        for token, says in (
            (used, "used already"),
            (str(unknown), "unknown"),
            ("rubbish", "--join"),
            (str(wrong_ca), "another cluster"),
            (str(elsewhere), "refused"),
            (str(of_a_secondary), self.address(3)),
        ):
            await self.refused(node, "secondary", "--join", token, says=(says,))
            self.assertUntouched(node)
        await self.refused(node, "secondary", says=("a secondary needs --join TOKEN@ADDRESS",))
        await self.refused(node, "primary", "--join", good, says=("--join is for --role secondary",))
        self.assertUntouched(node)
        await self.starts(node, "secondary", "--join", good)  # none of this has used it up
        self.members.add("b")

    async def taken_directory(self, primary: Node) -> None:
        """A second primary, or a secondary, on the directory of a running one: the first does not notice."""
        files = self.contents(primary)
        second = self.new("a", 4)
        says = (str(primary.state_dir), "is in use by another process")
        await self.refused(second, "primary", says=says)
        await self.refused(second, "secondary", "--join", await self.token(), says=says)
        self.assertEqual(self.contents(primary), files)
        self.assertEqual((await self.cluster.status())["a"]["address"], primary.address)

    def contents(self, node: Node) -> dict[str, bytes]:
        """The files that matter of a state directory."""
        names = ("cluster.json", "cluster.key", "ca.pem", "ca.key", "node.pem", "node.key")
        return {name: Path(node.state_dir, name).read_bytes() for name in names}

    async def not_its_directory(self, node: Node) -> None:
        """A name that is taken, and a state directory of another cluster, role or name; C{node} is stopped here."""
        new = self.new("new", 6)
        await self.refused(
            new, "secondary", "--name", "a", "--join", await self.token(), says=("'a' is taken",)
        )
        self.assertUntouched(new)
        await node.stop()
        self._killed.add(node.program)
        await self.refused(
            node, "secondary", "--join", str(self.theirs), says=("belongs to another cluster",)
        )
        await self.refused(node, "primary", says=(str(node.state_dir), "secondary"))
        await self.refused(node, "secondary", "--name", "z", says=(str(node.state_dir), "z"))
        self.cluster.nodes.remove(node)
        await self.starts(node, "secondary")

    async def taken_port(self) -> None:
        """A secondary that has joined and then finds its port taken leaves nothing open; later it needs no other token."""
        node = self.new("p", 8)
        join = "--join", await self.token()
        with listen(node.address, STREAM, 5060):
            await self.refused(
                node,
                "secondary",
                *join,
                says=(f"{node.address}:5060: Address already in use", "start it again without --join"),
                taken=PORTS[1:2],
            )
        await self.starts(node, "secondary")
        self.members.add("p")

    async def test_other_settings(self) -> None:
        """
        A node without the primary's configuration is refused and its token stays good; a member that is started so is
        warned of at both nodes.
        """
        self.at_end(self._end_cluster)
        file = self.folder / "voice.toml"
        file.write_text('[cluster]\ndomain = ["voice.test"]\n')
        self.cluster = Cluster(self.reactor, self.folder, ("--config", str(file)))
        primary = await self.cluster.found("a", self.address(1))
        assert primary.program is not None
        line = await primary.program.saw(r"^another node joins with: .*$")
        self.assertIn(f"--config {file}", line[0])
        node, join = self.new("b", 2), ("--join", await self.token())
        says = ('cluster.domain ["example.com"] (here ["voice.test"])', "start it with the same --config")
        await self.refused(node, "secondary", *join, says=says)
        self.assertUntouched(node)
        await self.starts(node, "secondary", *join, "--config", str(file))
        await node.stop()
        self._killed.add(node.program)
        self.cluster.nodes.remove(node)
        await self.starts(node, "")  # whose role and name it knows
        for each, other in ((primary, "b"), (node, "a")):
            assert each.program is not None
            await each.program.saw(f"node {other} has other settings.*cluster.domain")
        await self.cluster.all_see_all()
        self.assertEqual(set(await self.cluster.status()), {"a", "b"})
