"""docs/guide/two-nodes.md: its commands are taken out of the text and run as they stand, on two hosts."""

from __future__ import annotations

import re
import shutil
import signal
import sys
import tempfile
from importlib.metadata import requires
from pathlib import Path

from demo.programs import Program
from tests.integration.harness import IntegrationTestCase
from tests.network import Host, Network, refused
from tests.pages import DOCS, blocks
from tests.wheels import make_wheels

CHECKOUT = Path(__file__).parent.parent.parent
GUIDE = DOCS / "guide" / "two-nodes.md"
PASSWORD = "correct horse 7"
INSTALLED = "/opt/voipcluster"
# What a machine has of its own: /opt, a folder to work in, and programs, but nothing of this environment.
SHELL = """\
mount --make-rprivate /
mount --bind "$1" /opt
cd "$2"
exec env -i HOME="$2" LANG=C.UTF-8 PATH="$3" PIP_CONFIG_FILE=/dev/null PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INDEX=1 \
  PIP_FIND_LINKS="$4" PIP_NO_COMPILE=0 PYTHONUNBUFFERED=1 TERM=dumb sh -e -c "$5"
"""


class Machine:
    """One of the reader's machines: what is typed there runs in its network, with its own /opt and its own folder."""

    def __init__(self, case: GuideTests, host: Host, opt: Path, home: Path) -> None:
        self._case, self._host, self._opt, self.home = case, host, opt, home
        home.mkdir()

    def type(self, line: str, folder: Path | None = None) -> Program:
        """Have a line of the guide run by a shell at a terminal."""
        path = f"{Path(sys.base_prefix) / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"
        words = [str(self._opt), str(folder or self.home), path, str(self._case.wheels), line]
        with self._host.inside():
            return self._case.program(
                f"{self._host.name}: {line}",
                ["unshare", "--mount", "sh", "-e", "-c", SHELL, "sh", *words],
                terminal=True,
            )

    async def done(self, line: str, folder: Path | None = None) -> str:
        """The same with a command that ends, well; gives what it wrote."""
        program = self.type(line, folder)
        self._case.assertEqual(await program.ended(120), 0, program.output)
        return program.output.replace("\r\n", "\n")


class GuideTests(IntegrationTestCase):
    skip = refused() or None

    def setUp(self) -> None:
        super().setUp()
        self.place = Path(tempfile.mkdtemp(prefix="guide-"))  # short, for the path of a UNIX socket
        self.addCleanup(shutil.rmtree, self.place)
        net = Network()
        self.addCleanup(net.close)
        self.wheels = self.place / "wheels"
        opt = self.place / "opt"  # of both machines, to install once
        opt.mkdir()
        self.a, self.b = (
            Machine(self, net.host(name, f"{address}/24"), opt, self.place / name)
            for name, address in (("a", "10.0.0.1"), ("b", "10.0.0.2"))
        )

    def block(self, heading: str, language: str) -> str:
        """The block of one language below a heading of the guide."""
        (found,) = (b.text for b in blocks(GUIDE) if (b.heading, b.language) == (heading, language))
        return found

    def lines(self, heading: str) -> list[str]:
        return self.block(heading, "sh").splitlines()

    def clone(self) -> Path:
        """What setup.py reads of this checkout."""
        made = self.place / "clone"
        made.mkdir()
        for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
            shutil.copy(CHECKOUT / name, made)
        for name in ("voipcluster", "twisted"):
            shutil.copytree(
                CHECKOUT / name, made / name, ignore=shutil.ignore_patterns("__pycache__", "*.cache")
            )
        return made

    async def add(self, machine: Machine, line: str) -> None:
        """A command that asks for a new password, twice."""
        program = machine.type(line)
        for question in (r"password for \S+@example.com: ", "again: "):
            await program.saw(question, 60)
            program.type(f"{PASSWORD}\n")
        self.assertEqual(await program.ended(), 0, program.output)

    async def phone(self, machine: Machine, line: str) -> Program:
        program = machine.type(line)
        await program.saw("password for", 60)
        program.type(f"{PASSWORD}\n")
        await program.saw("is registered for", 60)
        return program

    async def rows(self, machine: Machine) -> dict[str, list[str]]:
        """The nodes of the command that the guide checks with, by name."""
        (line,) = self.lines("Look")
        said = (await machine.done(line)).splitlines()
        (shown,) = (b.text.splitlines() for b in blocks(GUIDE) if (b.heading, b.language) == ("Look", "text"))
        self.assertEqual(said[1].split(), shown[1].split(), "titles of the table")
        return {row.split()[0]: row.split() for row in said[2:4]}

    async def test_two_nodes(self) -> None:
        """A reader with two fresh machines has a cluster, two users and a call with audio between its two nodes."""
        requirements = [text for text in requires("voipcluster") or () if "extra ==" not in text]
        make_wheels(self.wheels, *requirements, "setuptools")
        (install,) = self.lines("Install, on both")
        await self.a.done(install, self.clone())
        file = self.block("Configure, the same on both", "toml")
        for machine in (self.a, self.b):
            (machine.home / "voipcluster.toml").write_text(file)

        (first,), (second,) = self.lines("Start the first"), self.lines("Start the second")
        founded = self.a.type(first)
        said = await founded.saw(r"^another node joins with: .* --join (\S+)@10\.0\.0\.1 .*$", 60)
        shown = self.block("Start the first", "text").replace("TOKEN", said[1])
        self.assertEqual(said[0].strip(), shown.strip())
        self.assertTrue(second.endswith(" --address 10.0.0.2 --name b"), second)
        typed = shown.partition(": ")[2].strip() + " --address 10.0.0.2 --name b"
        self.assertEqual(second.replace("TOKEN", said[1]), f"{INSTALLED}/bin/{typed}")
        joined = self.b.type(second.replace("TOKEN", said[1]))
        await joined.saw(r"node b \(secondary\) of cluster \S+ serves example\.com at 10\.0\.0\.2", 60)
        for line in self.lines("Add users"):
            await self.add(self.a, line)

        async def both_up() -> bool:
            there = await self.rows(self.b)
            return {name: row[2] for name, row in there.items()} == {"a": "open", "b": "open"}

        await self.until(both_up, "the second node shows both as up", 30)
        self.assertEqual(set(await self.rows(self.a)), {"a", "b"})

        waits, calls = (b.text.strip() for b in blocks(GUIDE) if (b.heading, b.language) == ("Call", "sh"))
        bob = await self.phone(self.b, waits)
        alice = await self.phone(self.a, calls)
        await alice.saw("^call to bob@example.com: hears 1000 Hz")
        await bob.saw("^call from .*alice@example.com.*: hears 1000 Hz")
        registered = await self.a.done(f"{INSTALLED}/bin/voipctl --json registrations")
        self.assertEqual(set(re.findall(r'"node": "(\w+)"', registered)), {"a", "b"}, registered)
        for program in (alice, bob, joined, founded):
            program.type("\x03")  # Ctrl-C, for the shell that runs it as well
            self.assertIn(await program.ended(), (130, -signal.SIGINT), program.output)
            self.assertNotIn("Traceback", program.output)
        for node in (joined, founded):
            self.assertIn("Server Shut Down.", node.output)

    def test_as_short_as_promised(self) -> None:
        """At most 15 lines of configuration and four commands a node."""
        file = self.block("Configure, the same on both", "toml")
        self.assertLessEqual(len(file.splitlines()), 15)
        of_both = self.lines("Install, on both")
        self.assertLessEqual(len(of_both + self.lines("Start the first") + self.lines("Add users")), 4)
        self.assertLessEqual(len(of_both + self.lines("Start the second") + self.lines("Look")), 4)
