"""Text forms of addresses."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import Flow, Hop, bracketed, is_ip, join_host_port, source_of, split_host_port

HOSTS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)


class AddressTests(SynchronousTestCase):
    @settings(max_examples=100, deadline=None)
    @given(HOSTS, st.integers(1, 65535))
    def test_join_and_split_are_inverse(self, host: str, port: int) -> None:
        """What is joined splits into the same again, IPv6 included (RFC 3261 section 25.1)."""
        self.assertEqual(split_host_port(join_host_port(host, port), 5060), (host, port))
        self.assertEqual(split_host_port(bracketed(host), 5060), (host, 5060))
        self.assertTrue(is_ip(host))

    @settings(max_examples=150, deadline=None)
    @given(st.text(max_size=40))
    def test_any_text_splits_or_is_a_value_error(self, text: str) -> None:
        """No text raises anything but ValueError, and a port is always 1 to 65535."""
        try:
            host, port = split_host_port(text, 5060)
        except ValueError:
            return
        self.assertTrue(host)
        self.assertTrue(1 <= port <= 65535)

    def test_a_bare_ipv6_literal_is_a_host(self) -> None:
        """Without brackets all of it is the host."""
        self.assertEqual(split_host_port("2001:db8::1", 5061), ("2001:db8::1", 5061))

    def test_refused(self) -> None:
        """No host, no port behind the colon, ports out of range, half a bracket."""
        for text in (
            "",
            ":5060",
            "h:",
            "h:0",
            "h:65536",
            "h:x",
            "h:\u0665",
            "[::1",
            "[::1]5060",
            "[h]",
            "1:2:3",
            "h:-1",
        ):
            with self.assertRaises(ValueError, msg=text):
                split_host_port(text, 5060)

    def test_a_flow_names_its_hop(self) -> None:
        """The hop of a flow is its remote end."""
        flow = Flow("TCP", ("::1", 5060), ("2001:db8::7", 40000), 3)
        self.assertEqual(flow.hop, Hop("TCP", "2001:db8::7", 40000))
        self.assertEqual(str(flow), "tcp:[2001:db8::7]:40000")
        self.assertTrue(flow.reliable)
        self.assertFalse(Flow("UDP", ("127.0.0.1", 1), ("127.0.0.1", 2)).reliable)

    def test_source(self) -> None:
        """An IPv4 address is a source of its own; of IPv6 the /64, which one customer has, zone or not."""
        self.assertEqual(source_of("192.0.2.1"), "192.0.2.1")
        for host in ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:DB8:1:2::1"):
            self.assertEqual(source_of(host), "2001:db8:1:2::/64")
        self.assertEqual(source_of("fe80::1%eth0"), "fe80::/64")
