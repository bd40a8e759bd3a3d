"""Who looks on at the messages of a node, made from the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReactorTime

from voipcluster.address import split_host_port
from voipcluster.config.files import secret_of
from voipcluster.net.collector import TcpCollector, UdpCollector
from voipcluster.services.hep.export import Choice, HepExport
from voipcluster.services.transaction.tap import Tap
from voipcluster.sip.hep import LARGEST, LARGEST_DATAGRAM, HepWriter

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts

_PORT = 9060  # of a collector; the configuration has one in any case


def hep_of(node: NodeParts, reactor: Any, tap: Tap, wall: Any) -> HepExport | None:
    """
    What tells the collector of C{[hep]}; L{None} when there is none.

    @raise UsageError: its key cannot be read.
    """
    options = node.config.hep
    if not options.server:
        return None
    host, port = split_host_port(options.server, _PORT)
    udp = options.transport == "udp"
    name = node.core.node
    writer = HepWriter(
        options.capture_id, name, secret_of(options.auth_key_file), LARGEST_DATAGRAM if udp else LARGEST
    )
    choice = Choice(frozenset(options.methods), options.share, options.quality, options.mask)
    export = HepExport(IReactorTime(reactor), tap, writer, choice, name, wall)
    export.collector = (UdpCollector if udp else TcpCollector)(reactor, host, port, export.told)
    return export
