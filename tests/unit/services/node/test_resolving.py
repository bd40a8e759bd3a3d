"""The options of [dns] arrive where names are looked up."""

from __future__ import annotations

from tests.unit.net.dns_fakes import DnsReactor
from tests.unit.services.sip_world import WorldCase
from voipcluster.config import Config, DnsOptions
from voipcluster.services.node.resolving import make_resolving
from voipcluster.sip.uri import parse_uri


class MakeResolvingTests(WorldCase):
    def test_options(self) -> None:
        """Requests and responses are looked up at the servers of the configuration, within its bounds."""
        reactor, core = DnsReactor(), self.world.node("a").core
        options = DnsOptions(
            servers=("192.0.2.53:53", "[2001:db8::53]:5353"), timeout=4.0, queries=1, next_after=2.5
        )
        resolver, resolving = make_resolving(reactor, Config(dns=options), core)
        self.assertIs(core.resolving, resolving)
        self.assertIs(core.transactions.resolving, resolving)
        self.assertEqual(resolving.next_after, 2.5)
        resolver.startService()
        asked = resolving.servers_of(parse_uri("sip:a.example"), "1")
        self.assertEqual(reactor.ports[-1].sent[-1][1], ("192.0.2.53", 53))
        refused = resolving.servers_of(parse_uri("sip:b.example"), "1")
        self.assertIn("too many questions", str(self.failureResultOf(refused).value))
        self.assertNoResult(asked)
        reactor.advance(0.6)
        self.assertEqual(reactor.ports[-1].sent[-1][1], ("2001:db8::53", 5353))
        self.successResultOf(resolver.stopService())
        self.assertIn("failed", str(self.failureResultOf(asked).value))
        self.assertEqual((reactor.getDelayedCalls(), reactor.open_ports), ([], []))
