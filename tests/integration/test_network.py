"""The hosts that tests make: they reach each other, a NAT hides who is behind it, and nobody else hears what they say."""

from __future__ import annotations

import select
import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.network import Network, refused


def _heard(sock: socket.socket) -> tuple[bytes, tuple[str, int]]:
    """The next datagram, and where it came from."""
    if not select.select([sock], [], [], 5)[0]:
        raise AssertionError("nothing came")
    payload, source = sock.recvfrom(2048)
    return payload, (source[0], source[1])


class NetworkTests(SynchronousTestCase):
    skip = refused() or None

    def setUp(self) -> None:
        self.network = Network()
        self.addCleanup(self.network.close)

    def udp(self, address: str, port: int = 0) -> socket.socket:
        made = self.network.at(address).udp(address, port)
        self.addCleanup(made.close)
        return made

    def test_hosts_hear_each_other(self) -> None:
        """IPv4 and IPv6, each host from its own address; what passed is in the capture."""
        a = self.network.host("a", "192.0.2.1/24", "2001:db8::1/64")
        self.network.host("b", "192.0.2.2/24", "2001:db8::2/64")
        wire = a.capture()
        self.addCleanup(wire.close)
        for here, there in (("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")):
            ours, theirs = self.udp(here, 4000), self.udp(there, 5000)
            ours.sendto(b"hello", (there, 5000))
            self.assertEqual(_heard(theirs), (b"hello", (here, 4000)))
            theirs.sendto(b"welcome", (here, 4000))
            self.assertEqual(_heard(ours), (b"welcome", (there, 5000)))
            (sent,) = wire.sent_to(there)
            self.assertEqual((sent.source, sent.destination[1], sent.payload), ((here, 4000), 5000, b"hello"))
            self.assertIn(((there, 5000), b"welcome"), [(d.source, d.payload) for d in wire.seen()])

    def test_behind_a_nat(self) -> None:
        """Who is behind the router comes from an address of the router; what answers gets back in, and nothing else."""
        self.network.host("server", "192.0.2.1/24", "2001:db8::1/64")
        router = self.network.nat(
            "router", ["192.0.2.254/24", "2001:db8::fe/64"], ["10.9.0.1/24", "fd09::1/64"]
        )
        self.network.host(
            "phone", "10.9.0.10/24", "fd09::10/64", lan=router.lan, gateways=["10.9.0.1", "fd09::1"]
        )
        for inside, outside, there in (
            ("10.9.0.10", "192.0.2.254", "192.0.2.1"),
            ("fd09::10", "2001:db8::fe", "2001:db8::1"),
        ):
            phone, server = self.udp(inside, 4000), self.udp(there, 5000)
            phone.sendto(b"hello", (there, 5000))
            payload, source = _heard(server)
            self.assertEqual((payload, source[0]), (b"hello", outside))
            server.sendto(b"welcome", source)
            self.assertEqual(_heard(phone), (b"welcome", (there, 5000)))
            with self.assertRaises(OSError):
                server.sendto(b"unasked", (inside, 4000))

    def test_nothing_is_left(self) -> None:
        """The process is where it was, also behind an error, and a host that is gone has taken its wires with it."""
        before = socket.if_nameindex()
        host = self.network.host("a", "192.0.2.1/24")
        with self.assertRaises(ZeroDivisionError), host.inside():
            self.assertIn("eth0", [name for _, name in socket.if_nameindex()])
            raise ZeroDivisionError
        self.assertEqual(socket.if_nameindex(), before)
