"""
A node and those around it on hosts of their own: where the attack, or the NAT, needs a real network.

All tests of one process share the network; a node lives on the host that has its address.

    198.51.100.0/24, 2001:db8::/64   relays .1 to .4, alice .10, bob .20, victim .99, mallory .66
    behind the router .254           10.9.0.0/24, fd09::/64: nat .10, other .11
"""

from __future__ import annotations

import re
import socket
from functools import cache
from typing import Any, ClassVar

from tests.conformance.flow_case import FlowTestCase, Talk
from tests.conformance.peer import Peer
from tests.conformance.rtp import Address, MediaPort
from tests.conformance.shared_node import SharedNode
from tests.network import Capture, Datagram, Network, NetworkReactor, refused

RELAY, ALICE, BOB, MALLORY, VICTIM, ROUTER = (f"198.51.100.{n}" for n in (1, 10, 20, 66, 99, 254))
RELAY6, ALICE6, BOB6, MALLORY6, VICTIM6, ROUTER6 = (
    f"2001:db8::{n}" for n in ("1", "10", "20", "66", "99", "fe")
)
SECOND, SECOND6 = "198.51.100.2", "2001:db8::2"
LABORATORY = "198.51.100.3"
KERNEL, KERNEL6 = "198.51.100.4", "2001:db8::4"
BEHIND, BEHIND6 = "10.9.0.10", "fd09::10"
PORTS = 40000, 40255
SPRAY = b"\x80\x00\x00\x01" + bytes(4) + b"evil" + b"\xd5" * 160  # PCMU, or what looks like it


@cache
def network() -> Network:
    """The network of this process; it goes with the process."""
    made = Network()
    for name, host in (
        ("relay", 1),
        ("second", 2),
        ("laboratory", 3),
        ("kernel", 4),
        ("alice", 10),
        ("bob", 20),
        ("mallory", 66),
        ("victim", 99),
    ):
        machine = made.host(name, f"198.51.100.{host}/24", f"2001:db8::{host}/64")
        if name in ("kernel", "second"):
            machine.forwards()
    router = made.nat("router", ["198.51.100.254/24", "2001:db8::fe/64"], ["10.9.0.1/24", "fd09::1/64"])
    for name, host in (("nat", 10), ("other", 11)):
        made.host(
            name, f"10.9.0.{host}/24", f"fd09::{host}/64", lan=router.lan, gateways=["10.9.0.1", "fd09::1"]
        )
    return made


class RelayNode(SharedNode):
    """A node on the host that has its address."""

    def launch(self, role: str, *options: str) -> Any:
        with network().at(self.address).inside():
            return super().launch(role, *options)


class NetworkTestCase(FlowTestCase):
    """
    @cvar node_host: the node's address, and so the IP version of all that is said.
    @cvar relay: the path that media takes through it.
    @ivar wire: what passes the node's interfaces.
    @ivar profile: and C{attributes}: how phones describe their media, see L{MediaPort}.
    """

    skip = refused() or None
    node_kind = RelayNode
    node_host: ClassVar[str] = RELAY
    relay: ClassVar[str] = "userspace"
    wire: Capture

    async def setUp(self) -> None:
        ports = "{}-{}".format(*PORTS)
        self.options = (
            "--set",
            f"media.relay={self.relay}",
            "--set",
            f"media.ports={ports}",
            *type(self).options,
        )  # each path has a node
        self.reactor = NetworkReactor(type(self).reactor, network())
        self.profile, self.attributes = "RTP/AVP", list[str]()
        await super().setUp()
        self.wire = network().at(self.node_host).capture()

        async def close() -> None:
            self.wire.close()

        self.at_end(close)

    @property
    def six(self) -> bool:
        return ":" in self.node_host

    def media(self, peer: Peer) -> MediaPort:
        port = super().media(peer)
        port.profile, port.attributes = self.profile, self.attributes
        return port

    def prober_host(self) -> str:
        return VICTIM6 if self.six else VICTIM

    def alice(self) -> Peer:
        return self.udp("alice", host=ALICE6 if self.six else ALICE)

    async def bob(self) -> Peer:
        return await self.phone("bob", host=BOB6 if self.six else BOB)

    def stranger(self) -> Stranger:
        return Stranger(self, MALLORY6 if self.six else MALLORY)

    async def counted(self, call_id: str, packets: int) -> None:
        """Return once the relay has taken so many packets of a call."""

        async def enough() -> bool:
            (call,) = await self.node.ask("calls", call_id=call_id)
            return bool(call["packets"] >= packets)

        await self.until(enough, f"{packets} packets have reached the relay", 30.0)

    async def settled(self, talk: Talk) -> None:
        """Return once media of a call takes the path that it is to take; both sides have been heard."""
        host, call_id = network().at(self.node_host), talk.caller.call_id

        def handed_over() -> bool:
            return self.relay != "kernel" or call_id in host.run("nft", "list", "ruleset")

        await self.until(handed_over, "the kernel has the streams", 30.0)

    def took_the_path(self, talk: Talk, packets: int) -> None:
        """Fail unless the kernel, if it is to relay, has relayed so many packets of a call, and else none of any."""
        rules = network().at(self.node_host).run("nft", "list", "ruleset")
        of_call = [line for line in rules.splitlines() if talk.caller.call_id in line]
        relayed = sum(int(count) for line in of_call for count in re.findall(r"counter packets (\d+)", line))
        if self.relay == "kernel":
            self.assertGreaterEqual(relayed, packets, rules)
        else:
            self.assertEqual(of_call, [])

    def sent_by_relay(self, *hosts: str) -> list[Datagram]:
        """Datagrams that left one of the relay's ports, to these hosts."""
        first, last = PORTS
        return [sent for sent in self.wire.sent_to(*hosts) if first <= sent.source[1] <= last]


class Stranger:
    """Who takes no part in the call: a socket that sprays, and hears what comes back."""

    def __init__(self, case: NetworkTestCase, host: str) -> None:
        self.host = host
        self._socket: socket.socket = network().at(host).udp(host)
        self.port: int = self._socket.getsockname()[1]

        async def close() -> None:
            self._socket.close()

        case.at_end(close)

    def send(self, datagram: bytes, *to: Address) -> None:
        for address in to:
            try:
                self._socket.sendto(datagram, address)
            except ConnectionRefusedError:  # ICMP about an earlier one: the port is not for strangers
                self._socket.sendto(datagram, address)

    def heard(self) -> list[bytes]:
        """All that came to it until now."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(65535))
            except (BlockingIOError, ConnectionRefusedError):
                return found
