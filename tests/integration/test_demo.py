"""The README's first command: three nodes, calls with audio, and nothing left behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from demo.__main__ import CALLS_A_NODE, MAX_CALLS, STEADY_CALLS, THRESHOLD, WAVE, wave
from demo.programs import Program
from tests.integration.harness import IntegrationTestCase

CHECKOUT = Path(__file__).parent.parent.parent


class WaveTests(SynchronousTestCase):
    def test_load_rises_and_falls(self) -> None:
        """Behind the burst: from what one node serves alone to more than it may, and back, each minute."""
        low, high = STEADY_CALLS
        self.assertEqual(
            [wave(seconds) for seconds in (0, WAVE / 2, WAVE, 1.5 * WAVE)], [low, high, low, high]
        )
        self.assertLess(low, THRESHOLD * CALLS_A_NODE)
        self.assertGreater(high, CALLS_A_NODE)
        self.assertLess(high, MAX_CALLS)


class DemoTests(IntegrationTestCase):
    def demo(self, *options: str) -> Program:
        environment = {"PYTHONPATH": str(CHECKOUT), "TMPDIR": str(self.folder)}
        return self.python("-m", "demo", "--network", self.network, *options, environment=environment)

    async def test_calls_are_balanced_and_heard(self) -> None:
        """30 calls offered to the primary: all are heard both ways, and no node serves more than it should (C1, C15)."""
        demo = self.demo("--calls", "30", "--seconds", "1")
        self.assertEqual(await demo.ended(120), 0, demo.output[-3000:])
        self.assertIn("30 calls, both ends heard each other in 30", demo.output)
        served = await demo.saw(r"^served by a: (\d+), b: (\d+), c: (\d+)$")
        self.assertEqual(sum(map(int, served.groups())), 30)
        # above the threshold calls level out; one may be counted while its BYE is on the way
        self.assertLessEqual(max(map(int, served.groups())), 14)
        self.assertGreaterEqual(min(map(int, served.groups())), 6)
        self.assertEqual(os.listdir(self.folder), [])

    async def test_an_interrupt_ends_everything(self) -> None:
        """
        Ctrl-C in the middle of calls ends the nodes, too, says how it went, and removes the state directories; pressing it
        again changes nothing.
        """
        demo = self.demo("--calls", "4")
        await demo.saw(r"^ +\d+ s .*[2-9] calls", 60)
        for _ in range(3):
            demo.send_signal("INT")
        await demo.ended(60)
        self.assertNotRegex(demo.output, "Traceback|ReactorNotRunning|Unhandled")
        self.assertRegex(
            demo.output, r"\n\d calls?, both ends heard each other in \d; \d more cut short by the end\n"
        )
        self.assertEqual(os.listdir(self.folder), [])

    async def test_an_interrupt_of_the_start(self) -> None:
        """Ctrl-C before the first call ends it as well, also when a script started it in the background and SIGINT is ignored."""
        words = [sys.executable, "-m", "demo", "--network", self.network]
        environment = {"PYTHONPATH": str(CHECKOUT), "TMPDIR": str(self.folder), "PYTHONUNBUFFERED": "1"}
        demo = self.program(
            "demo", ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *words], environment=environment
        )
        await demo.saw("Starting three nodes", 60)
        demo.send_signal("INT")
        self.assertEqual(await demo.ended(60), 1)
        self.assertRegex(demo.output, r"stopped before the first call\n\Z")
        self.assertEqual(os.listdir(self.folder), [])

    async def test_bad_options(self) -> None:
        """One line says what is wrong, and nothing is started."""
        for options, status, text in (
            (("--dir", "/proc/no/x"), 1, "demo: /proc/no: No such file or directory"),
            (("--seconds", "-1"), 2, "--seconds is above 0"),
            (("--seconds", "nan"), 2, "--seconds is above 0"),
            (("--calls", "99"), 2, "--calls is 1 to 45"),
        ):
            demo = self.demo(*options)
            self.assertEqual(await demo.ended(60), status)
            self.assertIn(text, demo.output.splitlines()[-1])
            self.assertNotIn("Traceback", demo.output)

    async def test_what_it_says_to_type(self) -> None:
        """The voipctl that it names is there, and tells of its nodes."""
        demo = self.demo("--calls", "1")
        found = await demo.saw(r"^  (/\S+/voipctl) (--state-dir \S+) status", 60)
        looked = self.program("voipctl", [found[1], *found[2].split(), "status"])
        self.assertEqual(await looked.ended(20), 0, looked.output)
        self.assertIn("primary", looked.output)
        demo.send_signal("INT")
        await demo.ended(60)

    async def test_help_installs_nothing(self) -> None:
        """--help of each script, wherever it stands, is answered before anything is set up; make tells its targets."""
        environment = {"VOIPCLUSTER_VENV": str(self.folder / "venv")}
        for script in ("demo", "setup", "test", "bench", "fuzz"):
            for words in (("--help",), ("-h",), ("unit", "--help")):
                asked = self.program(
                    script, [str(CHECKOUT / "script" / script), *words], environment=environment
                )
                self.assertEqual(await asked.ended(10), 0, asked.output)
                self.assertIn(f"  script/{script}", asked.output)
        made = self.program("make", ["make", "-C", str(CHECKOUT)], environment=environment)
        self.assertEqual(await made.ended(10), 0, made.output)
        self.assertIn("make test ", made.output)
        self.assertEqual(os.listdir(self.folder), [])

    async def test_a_port_in_use_is_named(self) -> None:
        """Whoever has the port is named in one line, and nothing is started."""
        code = (
            "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
            "s.bind((sys.argv[1], 5060)); print('bound', flush=True); s.recv(1)"
        )
        holder = self.python("-c", code, self.address(2))
        await holder.saw("bound")
        demo = self.demo()
        self.assertEqual(await demo.ended(60), 1)
        self.assertRegex(
            demo.output,
            rf"^demo: UDP {self.address(2)}:5060 cannot be used: Address already in use \(python.*, process {holder.pid}\)\n$",
        )
