"""The messages of RFC 4475, byte for byte, over UDP and TCP (tests/data)."""

from __future__ import annotations

from tests.conformance.torture_case import TortureTestCase, add_tests


class Rfc4475UdpTests(TortureTestCase):
    """One test a message, see L{add_tests}."""


class Rfc4475TcpTests(TortureTestCase):
    """The same over TCP, at another node: to one that has had a REGISTER over UDP this one is a replay."""

    share = "TCP"


add_tests(Rfc4475UdpTests, "rfc4475", "UDP")
add_tests(Rfc4475TcpTests, "rfc4475", "TCP")
