"""Which addresses of one node go together."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import ConfigError, NodeOptions, check_file, load_config, parse_set
from voipcluster.config.addresses import address_trouble, host_names


class AddressesTests(SynchronousTestCase):
    def refusal(self, *arguments: str) -> str:
        settings = [parse_set(argument) for argument in arguments]
        return str(self.assertRaises(ConfigError, load_config, None, settings))

    def test_that_fit(self) -> None:
        """One of each IP version, and what a NAT makes of the first one."""
        for node in (
            NodeOptions(),
            NodeOptions(also=("::1",), advertised="192.0.2.1"),
            NodeOptions(address="10.0.0.1", also=("2001:db8::1",), advertised="192.0.2.1"),
            NodeOptions(address="2001:db8::1", also=("10.0.0.1",), advertised="2001:db8::2"),
        ):
            self.assertEqual(address_trouble(node), ("", ""))

    def test_names(self) -> None:
        """A node is called by all of its addresses, each said once."""
        node = NodeOptions(address="10.0.0.1", also=("2001:db8::1",), advertised="192.0.2.1")
        self.assertEqual(host_names(node), ("10.0.0.1", "192.0.2.1", "2001:db8::1"))
        self.assertEqual(host_names(NodeOptions(address="10.0.0.1", advertised="10.0.0.1")), ("10.0.0.1",))

    def test_second_of_a_version(self) -> None:
        """A second address of one IP version has no place in SDP and Record-Route: one line that names both."""
        self.assertEqual(
            self.refusal("node.address=10.0.0.1", 'node.also=["10.0.0.2"]'),
            "--set node.also: 10.0.0.2 is a second IPv4 address beside 10.0.0.1; one of each version is allowed",
        )
        self.assertIn("::2 is a second IPv6 address beside ::1", self.refusal('node.also=["::1", "::2"]'))
        self.assertIn("second IPv4", self.refusal("node.address=10.0.0.1", 'node.also=["10.0.0.1"]'))

    def test_unusable(self) -> None:
        """A wildcard, multicast, a name, a zone, the same one twice, and no list."""
        for text in (
            '["::"]',
            '["0.0.0.0"]',
            '["ff02::1"]',
            '["a.example"]',
            '["fe80::1%eth0"]',
            '["::1", "::1"]',
            '"::1"',
        ):
            refusal = self.refusal(f"node.also={text}")
            self.assertEqual(len(refusal.splitlines()), 1, refusal)
            self.assertIn("--set node.also: ", refusal)
            self.assertIn("a list of addresses of this machine", refusal)
        self.assertIn("--set node.advertised: found", self.refusal("node.advertised=0.0.0.0"))

    def test_advertised(self) -> None:
        """It stands for the address, and so has its IP version; and it is no other address of the node."""
        self.assertEqual(
            self.refusal("node.address=10.0.0.1", "node.advertised=2001:db8::1"),
            "--set node.advertised: 2001:db8::1 is not of the IP version of node.address, 10.0.0.1",
        )
        self.assertIn("::1 is in node.also, too", self.refusal('node.also=["::1"]', "node.advertised=::1"))

    def test_line(self) -> None:
        """In a file the mistake is blamed on its line."""
        path = Path(self.mktemp())
        path.write_text('[node]\naddress = "10.0.0.1"\n\nalso = ["10.0.0.2"]\n')
        [problem] = check_file(str(path))
        self.assertTrue(problem.startswith(f"{path}:4: node.also: 10.0.0.2 is"), problem)
