"""Tests whose node asks a DNS server of their own."""

from __future__ import annotations

import secrets

from tests.conformance.case import ConformanceTestCase
from tests.conformance.dns_server import DnsServer


def asks(server: tuple[str, int]) -> tuple[str, str]:
    """The options of a node that asks this server, and no other one."""
    return "--set", f'dns.servers=["{server[0]}:{server[1]}"]'


class DnsCase(ConformanceTestCase):
    """
    @cvar dns_at: where the server is; the options of the node say so too, see L{asks}.
    @ivar dns: what the node asks.
    @ivar net: a domain that no other test has, for the node keeps answers.
    """

    dns_at: tuple[str, int]

    async def setUp(self) -> None:
        self.dns = DnsServer(self.reactor)
        self.net = f"{secrets.token_hex(4)}.example"
        ports = self.dns.listen(*self.dns_at)
        await super().setUp()

        async def close() -> None:
            self.dns.close()
            for port in ports:
                await port.stopListening()

        self.at_end(close)
