"""The README's first command: three nodes, calls with audio, and nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

from demo.programs import Program
from tests.integration.harness import IntegrationTestCase

CHECKOUT = Path(__file__).parent.parent.parent


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
        # limits.calls is 20 and the threshold 0.75 of it; a call may be counted while its BYE is on the way
        self.assertLessEqual(max(map(int, served.groups())), 16)
        self.assertEqual(os.listdir(self.folder), [])

    async def test_an_interrupt_ends_everything(self) -> None:
        """Ctrl-C in the middle of calls ends the nodes, too, and removes the state directories."""
        demo = self.demo("--calls", "4")
        await demo.saw(r"^ +\d+ s .*[1-9] calls")
        demo.send_signal("INT")
        await demo.ended(20)
        self.assertNotIn("Traceback", demo.output)
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
        self.assertEqual(await demo.ended(20), 1)
        self.assertRegex(
            demo.output,
            rf"^demo: UDP {self.address(2)}:5060 cannot be used: Address already in use \(python.*, process {holder.pid}\)\n$",
        )
