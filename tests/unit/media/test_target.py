"""Where media may go (attack: the relay as a weapon)."""

from __future__ import annotations

from ipaddress import ip_network

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media.target import Address, Targets, is_unspecified

PUBLIC = Targets(frozenset({"192.0.2.1", "2001:db8::1"}), range(30000, 40000), loopback=False)
LOCAL = Targets(frozenset({"127.0.0.1"}), range(30000, 40000), loopback=True)


class TargetsTests(SynchronousTestCase):
    def test_ordinary_hosts(self) -> None:
        """Public and private addresses of both versions are fine, in canonical form."""
        self.assertEqual(PUBLIC.usable("198.51.100.7", 4000), Address("198.51.100.7", 4000))
        self.assertEqual(PUBLIC.usable("192.168.1.5", 4000), Address("192.168.1.5", 4000))
        self.assertEqual(PUBLIC.usable("2001:DB8:0:0::7", 4000), Address("2001:db8::7", 4000))

    def test_no_groups_and_no_nets(self) -> None:
        """Multicast, broadcast, unspecified, reserved and link-local addresses get nothing."""
        for host in (
            *("224.0.0.1", "239.255.255.250", "255.255.255.255", "0.0.0.0", "0.1.2.3", "240.0.0.1"),
            *(
                "ff02::1",
                "::",
                "fe80::1",
                "fe80::1%eth0",
                "::ffff:192.0.2.9",
                "::ffff:127.0.0.1",
                "::127.0.0.1",
            ),
        ):
            self.assertIsNone(PUBLIC.usable(host, 4000), host)
            self.assertIsNone(LOCAL.usable(host, 4000), host)

    def test_loopback_only_on_loopback(self) -> None:
        """A node on a real network sends nothing to its own host's services."""
        for host in ("127.0.0.1", "127.9.9.9", "::1"):
            self.assertIsNone(PUBLIC.usable(host, 4000), host)
        self.assertEqual(LOCAL.usable("127.0.0.2", 4000), Address("127.0.0.2", 4000))
        self.assertEqual(LOCAL.usable("::1", 4000), Address("::1", 4000))

    def test_not_our_own_ports(self) -> None:
        """A relay port as the target of a relay port would play ping-pong; other ports of the host are fine."""
        self.assertIsNone(PUBLIC.usable("192.0.2.1", 30000))
        self.assertIsNone(PUBLIC.usable("2001:db8:0::1", 39999))
        self.assertIsNotNone(PUBLIC.usable("192.0.2.1", 29999))
        self.assertIsNotNone(PUBLIC.usable("192.0.2.2", 30000))

    def test_laboratories(self) -> None:
        """Networks that the configuration names are good whatever they are; relay ports are none there either."""
        lab = evolve(PUBLIC, allowed=(ip_network("127.0.0.0/8"), ip_network("239.0.0.0/8")))
        for host in ("127.0.0.1", "239.1.2.3"):
            self.assertEqual(lab.usable(host, 4000), Address(host, 4000))
        for host, port in (("::1", 4000), ("224.0.0.1", 4000), ("192.0.2.1", 30000)):
            self.assertIsNone(lab.usable(host, port))

    def test_other_ports_of_ours(self) -> None:
        """Where the node listens for SIP is no place for media."""
        node = evolve(PUBLIC, closed=frozenset({5060}))
        self.assertIsNone(node.usable("192.0.2.1", 5060))
        self.assertIsNotNone(node.usable("198.51.100.7", 5060))

    def test_who_vouches(self) -> None:
        """A host for itself, and one that is trusted for all."""
        phone, third = Address("198.51.100.7", 4000), Address("203.0.113.9", 4000)
        self.assertTrue(PUBLIC.vouched(phone, "198.51.100.7"))
        self.assertFalse(PUBLIC.vouched(third, "198.51.100.7"))
        trusting = evolve(PUBLIC, trusted=lambda host: host == "198.51.100.7")
        self.assertTrue(trusting.vouched(third, "198.51.100.7"))
        self.assertFalse(trusting.vouched(third, "198.51.100.8"))

    def test_ports_and_names(self) -> None:
        """Port 0 and above 65535, and host names, are no target."""
        for host, port in (
            ("198.51.100.7", 0),
            ("198.51.100.7", 65536),
            ("phone.example.com", 4000),
            ("", 4000),
        ):
            self.assertIsNone(PUBLIC.usable(host, port))

    def test_unspecified(self) -> None:
        """The null address in each of its forms (RFC 3264 section 8.4)."""
        self.assertTrue(all(is_unspecified(host) for host in ("0.0.0.0", "::", "0:0:0:0:0:0:0:0")))
        self.assertFalse(any(is_unspecified(host) for host in ("0.0.0.1", "::1", "host", "")))
