"""What each kind of option takes and refuses."""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config.kinds import (
    NODE_NAME,
    Address,
    BindAddress,
    Choice,
    Domain,
    Flag,
    JoinToken,
    Kind,
    NameServer,
    Network,
    Number,
    Octets,
    Path,
    Ports,
    Rate,
    Whole,
    Words,
)


class KindTests(SynchronousTestCase):
    def takes(self, kind: Kind[object], *pairs: tuple[object, object]) -> None:
        for given, taken in pairs:
            self.assertEqual(kind.take(given), taken, given)

    def refuses(self, kind: Kind[object], *given: object) -> None:
        for value in given:
            with self.assertRaises(ValueError, msg=f"{kind}: {value!r}"):
                kind.take(value)

    def test_number(self) -> None:
        """A number is finite and within its ends; true is no number, and the lower end may be excluded."""
        self.takes(Number(0, 1), (0, 0.0), (1, 1.0), (0.5, 0.5))
        self.refuses(
            Number(0, 1), 10**400, -(10**400), -0.1, 1.1, math.nan, math.inf, True, "0.5", [0.5], None
        )
        self.refuses(Number(0, 1, above=True), 0, 0.0)

    def test_whole(self) -> None:
        """A whole number has no fraction."""
        self.takes(Whole(1, 3), (1, 1), (3, 3))
        self.refuses(Whole(1, 3), 0, 4, 2.0, True, "2")

    def test_octets(self) -> None:
        """Octets are a number, or text with a power of 1024."""
        self.takes(Octets(1, 1 << 40), (5, 5), ("5", 5), ("2k", 2048), ("3M", 3 << 20), ("2G", 2 << 30))
        self.refuses(Octets(1, 1 << 40), "0", "2 G", "2T", "-1", "1.5G", 1.5, True, "²")

    def test_flag_and_choice(self) -> None:
        """Only true and false are flags, only the listed words are choices."""
        self.takes(Flag(), (True, True), (False, False))
        self.refuses(Flag(), 1, "true", None)
        self.takes(Choice(("a", "b")), ("b", "b"))
        self.refuses(Choice(("a", "b")), "B", "", 1)

    def test_words(self) -> None:
        """A list holds each word once, and as many as it must."""
        kind = Words(NODE_NAME, "node names", 1)
        self.takes(kind, (["a", "b"], ("a", "b")))
        self.refuses(kind, [], ["a", "a"], "a", [1], [["a"]], ["a b"])

    def test_node_name(self) -> None:
        """A node's name can stand on a command line and in a certificate."""
        self.takes(NODE_NAME, ("a", "a"), ("node-1_x", "node-1_x"), ("7", "7"))
        self.refuses(NODE_NAME, "", "-a", "a b", "a\n", "é", "a" * 64, "../x")

    def test_ports(self) -> None:
        """A range of ports is above the privileged ones and holds one stream in each direction (RFC 3550 section 11)."""
        self.takes(Ports(), ("30000-39999", (30000, 39999)), ("1024-1027", (1024, 1027)))
        self.refuses(
            Ports(), "1-2", "1023-2000", "40000-30000", "1024-1026", "30000-65536", "30000", 30000, "a-b", ""
        )

    def test_address(self) -> None:
        """A node's address is a literal of one interface, in its canonical form (RFC 5952)."""
        self.takes(Address(), ("127.0.0.2", "127.0.0.2"), ("2001:DB8::0:1", "2001:db8::1"))
        self.refuses(
            Address(),
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "10.0.0.300",
            "host",
            "",
            "[::1]",
            "fe80::1%lo",
            1,
        )
        self.takes(BindAddress(), ("0.0.0.0", "0.0.0.0"), ("::", "::"))
        self.refuses(BindAddress(), "ff02::1", "host", 8080)

    def test_domain(self) -> None:
        """A domain is a host name in lower case, or an address (RFC 3261 section 25.1)."""
        self.takes(
            Domain(),
            ("Example.COM.", "example.com"),
            ("10.0.0.1", "10.0.0.1"),
            ("2001:DB8::1", "2001:db8::1"),
        )
        self.refuses(
            Domain(),
            "",
            ".",
            "a..b",
            "-a.example",
            "a b",
            "exa_mple.com",
            "a/b",
            "::g",
            "::1%eth0",
            "a" * 64,
            1,
        )

    def test_join_token(self) -> None:
        """A join token has an address of the primary behind it, with or without a port."""
        for text in (
            "AAAA-BBBB_cc@10.0.0.1",
            "AAAABBBB@10.0.0.1:9999",
            "AAAABBBB@[::1]:9999",
            "AAAABBBB@::1",
        ):
            self.takes(JoinToken(), (text, text))
        self.refuses(
            JoinToken(), "AAAABBBB", "@10.0.0.1", "AAAABBBB@", "AAAABBBB@host", "AAAA BBBB@10.0.0.1", 1
        )

    def test_network(self) -> None:
        """A network of either family, or one address; no host bits, for these are a typing error more often than not."""
        self.takes(Network(), ("192.0.2.0/24", "192.0.2.0/24"), ("192.0.2.7", "192.0.2.7/32"))
        self.takes(Network(), ("2001:DB8::/32", "2001:db8::/32"))
        self.refuses(Network(), "192.0.2.7/24", "example.com", "", 7, "192.0.2.0/33")

    def test_rate(self) -> None:
        """0 is no limit; a rate is at least one a second."""
        self.takes(Rate(), (0, 0.0), (1, 1.0), (2.5, 2.5))
        self.refuses(Rate(), 0.5, -1, True, "1", math.inf)

    def test_name_server(self) -> None:
        """A DNS server is an address, since a name would need one; port 53 unless told otherwise."""
        self.takes(
            NameServer(),
            ("10.0.0.53", "10.0.0.53:53"),
            ("127.0.0.1:5353", "127.0.0.1:5353"),
            ("[::1]:5353", "[::1]:5353"),
            ("2001:DB8::53", "[2001:db8::53]:53"),
        )
        self.refuses(
            NameServer(), "", "ns.example", "10.0.0.53:0", "10.0.0.53:x", "0.0.0.0", "fe80::1%eth0", 53
        )

    def test_path(self) -> None:
        """A path is any text that a file system takes."""
        self.takes(Path(), ("state dir", "state dir"))
        self.refuses(Path(), "", "a\0b", 1)
