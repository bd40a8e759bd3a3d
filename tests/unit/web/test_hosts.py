"""By which names the page may be asked for."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.web.hosts import Hosts, is_own_name

ALWAYS = ("127.0.0.1", "[::1]", "::1", "10.0.0.1", "localhost", "LocalHost.", "a.localhost")
FOREIGN = (
    "evil.example",
    "example.com.evil.example",
    "127.0.0.1.evil.example",
    "notexample.com",
    "",
    ".",
    "local host",
)


class HostTests(SynchronousTestCase):
    def test_loopback(self) -> None:
        """On a loopback address only addresses, localhost and what is listed."""
        hosts = Hosts(["Node.Example.NET"], ["example.com"])
        for host in (*ALWAYS, "node.example.net", "node.example.net."):
            self.assertTrue(hosts.allows(host), host)
        for host in (*FOREIGN[:5], "example.com", "node-a", "mylocalhost"):
            self.assertFalse(hosts.allows(host), host)

    def test_elsewhere(self) -> None:
        """In a network also the cluster's domains with all below them, and names without a dot, which nobody outside owns."""
        hosts = Hosts(["node.example.net"], ["Example.com"], loopback=False)
        for host in (*ALWAYS, "node.example.net", "example.com", "a.EXAMPLE.com", "node-a"):
            self.assertTrue(hosts.allows(host), host)
        for host in FOREIGN[:6]:
            self.assertFalse(hosts.allows(host), host)

    def test_tls(self) -> None:
        """Over TLS the certificate has told the browser whose name it is."""
        self.assertTrue(Hosts(loopback=False, secure=True).allows("voip.example.org"))
        self.assertFalse(Hosts(loopback=True, secure=True).allows("voip.example.org"))

    def test_own_name(self) -> None:
        for host in ("localhost.evil.example", "1.2.3.4.5", "[::1", ""):
            self.assertEqual(is_own_name(host), host == "[::1", host)
