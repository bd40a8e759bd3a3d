"""Finding the servers of names (RFC 3263), as the configuration has it."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime

from voipcluster.address import split_host_port
from voipcluster.config import Config
from voipcluster.net.dns_client import DnsClient
from voipcluster.net.resolver import DnsResolver
from voipcluster.services.node.settings import dns_limits
from voipcluster.services.sip.core import SipCore
from voipcluster.services.transaction.resolving import Resolving
from voipcluster.sip.penalties import Penalties


def make_resolving(reactor: Any, config: Config, core: SipCore) -> tuple[DnsResolver, Resolving]:
    """Make what looks names up, and let requests and responses use it. @return: the service to start, and its user."""
    dns = config.dns
    client = DnsClient(reactor, [split_host_port(server, 53) for server in dns.servers])
    resolver = DnsResolver(IReactorTime(reactor), client, dns_limits(config))
    transport = core.transport
    core.resolving = core.transactions.resolving = Resolving(
        resolver,
        Penalties(dns.penalty, dns.max_penalty),
        core.seconds,
        core.secret(b"servers"),
        lambda: transport.transports,
        lambda: transport.families,
        dns.next_after,
    )
    return resolver, core.resolving
