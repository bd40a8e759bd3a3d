"""From a URI to servers over the DNS, with those that failed behind the others."""

from __future__ import annotations

from twisted.logger import LogLevel, globalLogPublisher

from tests.unit.services.names_world import NET, ONE, TWO, NamesCase
from voipcluster.address import Hop
from voipcluster.errors import TransportError
from voipcluster.net.dns_client import FAILED, NO_NAME, DnsFailure
from voipcluster.services.transaction.resolving import SILENT
from voipcluster.sip.dns import NAPTR, SRV, A, Srv
from voipcluster.sip.resolution import Server
from voipcluster.sip.uri import parse_uri


def server(host: str) -> Server:
    return Server(Hop("UDP", host, 5060), NET)


class ResolvingTests(NamesCase):
    def setUp(self) -> None:
        super().setUp()
        self.events: list[dict[str, object]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def servers(self, uri: str = f"sip:{NET}", call_id: str = "1") -> list[str]:
        found = self.successResultOf(self.resolving.servers_of(parse_uri(uri), call_id))
        return [server.hop.host for server in found]

    def logged(self, level: object) -> list[str]:
        lines = []
        for event in self.events:
            if (
                event["log_level"] is level
                and event["log_namespace"] == "voipcluster.services.transaction.resolving.Resolving"
            ):
                lines.append(str(event["log_format"]).format(**event))
        return lines

    def test_order_of_questions(self) -> None:
        """NAPTR, SRV, addresses; the next time nothing is asked (RFC 3263 section 4)."""
        self.assertEqual(self.servers(), [ONE, TWO])
        asked = [f"NAPTR of {NET}", f"SRV of _sip._udp.{NET}", f"A of one.{NET}", f"A of two.{NET}"]
        self.assertEqual(self.dns.asked, asked)
        self.servers()
        self.assertEqual((self.dns.asked, self.resolver.cache_hits), (asked, 4))

    def test_same_call_same_server(self) -> None:
        """One Call-ID leads to one server of several alike, also without state; many are spread (sections 4.2 and 4.3)."""
        self.dns.zone[f"_sip._udp.{NET}", SRV] = (
            Srv(1, 1, 5060, f"one.{NET}"),
            Srv(1, 1, 5060, f"two.{NET}"),
        )
        firsts = [self.servers(call_id=str(n))[0] for n in range(60)]
        self.assertEqual(firsts, [self.servers(call_id=str(n))[0] for n in range(60)])
        self.assertGreater(min(firsts.count(ONE), firsts.count(TWO)), 10)

    def test_penalty(self) -> None:
        """A server that failed is tried last for a while, then as before; one that answers is forgiven at once."""
        self.servers()
        self.resolving.failed(server(ONE), SILENT)
        self.assertEqual((self.servers(), self.resolving.dead_hops), ([TWO, ONE], 1))
        self.world.clock.advance(30.1)
        self.assertEqual((self.servers(), self.resolving.dead_hops), ([ONE, TWO], 0))
        self.resolving.failed(server(ONE), SILENT)
        self.resolving.answered(server(ONE).hop)
        self.assertEqual(self.servers(), [ONE, TWO])
        self.assertEqual(self.resolving.failures, {SILENT: 2})

    def test_penalties_are_logged(self) -> None:
        """A dead server is named once; many in a short time make one line, the next one counts them."""
        for n in range(50):
            self.resolving.failed(server(f"203.0.113.{n}"), SILENT)
            self.resolving.failed(server(f"203.0.113.{n}"), SILENT)
        self.world.clock.advance(10.1)
        self.resolving.failed(server("203.0.113.99"), SILENT)
        lines = self.logged(LogLevel.warn)
        self.assertEqual(len(lines), 2)
        self.assertIn("udp:203.0.113.0:5060 of example.net is tried last for 30 s: silent", lines[0])
        self.assertIn("(49 more servers", lines[1])

    def test_unresolvable(self) -> None:
        """A name that leads nowhere is a transport error, counted, and said once, with the reason (16.9)."""
        self.dns.failing["nowhere.example", NAPTR] = DnsFailure(NO_NAME, NO_NAME)
        self.dns.failing["nowhere.example", A] = DnsFailure(FAILED, "SERVFAIL")
        asked = self.resolving.servers_of(parse_uri("sip:nowhere.example"), "1")
        error = self.failureResultOf(asked, TransportError)
        self.assertIn("nowhere.example cannot be resolved: ", error.getErrorMessage())
        self.assertEqual(self.resolving.unresolved, 1)
        self.failureResultOf(self.resolving.servers_of(parse_uri("sip:nowhere.example"), "2"), TransportError)
        (line,) = self.logged(LogLevel.info)
        self.assertIn("'nowhere.example' cannot be resolved: NAPTR of nowhere.example no such name", line)
        self.assertIn("A of nowhere.example failed", line)
