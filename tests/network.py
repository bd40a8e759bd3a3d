"""
Hosts on one wire, for tests that need more than one: network namespaces of this process, joined by veth pairs and a bridge.

    network = Network()
    relay = network.host("relay", "192.0.2.1/24", "2001:db8::1/64")
    phone = network.host("phone", "192.0.2.10/24")
    router = network.nat("router", ["192.0.2.254/24"], ["10.9.0.1/24"])  # masquerades
    behind = network.host("behind", "10.9.0.10/24", lan=router.lan, gateways=["10.9.0.1"])
    reactor = NetworkReactor(real_reactor, network)   # opens each socket where its address is
    with relay.inside(): ...                          # sockets and programs that are started here live there
    wire = relay.capture()                            # what really leaves and comes
    network.close()

A namespace lives as long as its descriptor is open, so nothing is left behind, however the tests end.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any, NamedTuple

from zope.interface import directlyProvides, providedBy

__all__ = ["Capture", "Datagram", "Host", "Lan", "Network", "NetworkReactor", "refused"]

_NEW_NET = 0x40000000  # CLONE_NEWNET of linux/sched.h; os.setns() comes with Python 3.12
_OWN = "/proc/thread-self/ns/net"
_ALL_PROTOCOLS, _OUTGOING = 0x0003, 4  # ETH_P_ALL and PACKET_OUTGOING of linux/if_packet.h
_FORCE_BUFFER = 33  # SO_RCVBUFFORCE of asm-generic/socket.h
_libc = ctypes.CDLL(None, use_errno=True)

_MASQUERADE = """
table inet nat {
  chain post { type nat hook postrouting priority 100; oifname "out" masquerade HOW; }
}
"""


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@cache
def refused() -> str:
    """Why tests cannot make hosts here, for C{skip}; empty when they can."""
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    network = Network()
    try:
        network.host("probe", "192.0.2.1/24")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"needs network namespaces, veth and bridges, but: {error}"
    finally:
        network.close()
    return ""


class Datagram(NamedTuple):
    """One UDP datagram on the wire; addresses are (IP literal, port). C{sent}: by the host that captured it."""

    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes
    sent: bool


class Host:
    """
    One machine: a network namespace.

    @ivar addresses: IP literals of it, in the order of its making.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.addresses: list[str] = []
        home = os.open(_OWN, os.O_RDONLY)
        try:
            _check(_libc.unshare(_NEW_NET))
            self._namespace = os.open(_OWN, os.O_RDONLY)
            _check(_libc.setns(home, _NEW_NET))
        finally:
            os.close(home)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def path(self) -> str:
        """For C{ip link ... netns PATH}."""
        return f"/proc/{os.getpid()}/fd/{self._namespace}"

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is on that machine: sockets that it opens and programs that it starts stay there. Do not wait in it."""
        home = os.open(_OWN, os.O_RDONLY)
        try:
            _check(_libc.setns(self._namespace, _NEW_NET))
            try:
                yield
            finally:
                _check(_libc.setns(home, _NEW_NET))
        finally:
            os.close(home)

    def run(self, *words: str, stdin: str = "") -> str:
        """Run a program there; gives what it prints. @raise subprocess.CalledProcessError: it failed."""
        with self.inside():
            done = subprocess.run(words, input=stdin, check=True, capture_output=True, text=True)
        return done.stdout

    def sysctl(self, name: str, value: str) -> None:
        """Set F{/proc/sys/net/NAME} there."""
        with self.inside():
            Path("/proc/sys/net", name).write_text(value)

    def forwards(self) -> None:
        """Let it pass on what is not for itself."""
        self.sysctl("ipv4/ip_forward", "1")
        self.sysctl("ipv6/conf/all/forwarding", "1")
        for name in ("all", "default", *self._devices()):
            self.sysctl(f"ipv4/conf/{name}/send_redirects", "0")

    def _devices(self) -> list[str]:
        with self.inside():
            return [name for _, name in socket.if_nameindex()]

    def capture(self) -> Capture:
        with self.inside():
            return Capture()

    def udp(self, address: str, port: int = 0) -> socket.socket:
        """A socket that does not block, bound there."""
        with self.inside():
            made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.bind((address, port))
        return made

    def close(self) -> None:
        os.close(self._namespace)


class Capture:
    """All UDP datagrams that pass the interfaces of one host, from now on (packet(7))."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS))
        self._socket.setsockopt(socket.SOL_SOCKET, _FORCE_BUFFER, 16 << 20)
        self._socket.setblocking(False)
        self._seen: list[Datagram] = []

    def seen(self) -> list[Datagram]:
        """What passed until now."""
        while select.select([self._socket], [], [], 0)[0]:
            packet, (_, _, kind, _, _) = self._socket.recvfrom(65535)
            found = _read(packet, kind == _OUTGOING)
            if found is not None:
                self._seen.append(found)
        return self._seen

    def sent_to(self, *hosts: str) -> list[Datagram]:
        """What this host sent there until now."""
        return [datagram for datagram in self.seen() if datagram.sent and datagram.destination[0] in hosts]

    def close(self) -> None:
        self._socket.close()


def _read(packet: bytes, sent: bool) -> Datagram | None:
    version = packet[0] >> 4
    if version == 4 and packet[9] == socket.IPPROTO_UDP:
        start, hosts = 4 * (packet[0] & 15), (packet[12:16], packet[16:20])
    elif version == 6 and packet[6] == socket.IPPROTO_UDP:
        start, hosts = 40, (packet[8:24], packet[24:40])
    else:
        return None
    source, destination, size = struct.unpack_from("!HHH", packet, start)
    ends = [(str(ip_address(host)), port) for host, port in zip(hosts, (source, destination), strict=True)]
    return Datagram(ends[0], ends[1], packet[start + 8 : start + size], sent)


class Lan:
    """An Ethernet switch."""

    def __init__(self) -> None:
        self._switch = Host("switch")
        self._switch.run("ip", "link", "add", "lan", "up", "type", "bridge")
        self._ports = 0

    def join(self, host: Host, *interfaces: str, device: str = "eth0", gateways: Sequence[str] = ()) -> None:
        """Plug a host in, with addresses such as C{"192.0.2.1/24"}."""
        self._ports += 1
        port = f"port{self._ports}"
        self._switch.run(
            *("ip", "link", "add", port, "type", "veth", "peer", "name", device, "netns", host.path)
        )
        self._switch.run("ip", "link", "set", port, "master", "lan", "up")
        commands = [f"link set {device} up"]
        for text in interfaces:
            interface = ip_interface(text)
            how = "broadcast +" if interface.version == 4 else "nodad"  # nothing to wait for
            commands.append(f"address add {text} dev {device} {how}")
            host.addresses.append(str(interface.ip))
        commands += [f"route add default via {gateway}" for gateway in gateways]
        host.run("ip", "-batch", "-", stdin="\n".join(commands))

    def close(self) -> None:
        self._switch.close()


class Nat(Host):
    """
    A router that hides a network behind its own addresses (RFC 3022; of IPv6 likewise).

    @ivar lan: the network behind it.
    """

    lan: Lan


class Network:
    """All hosts of one test. The first switch, C{lan}, is there from the beginning."""

    def __init__(self) -> None:
        self.lan = Lan()
        self.hosts: list[Host] = []
        self._lans = [self.lan]

    def host(self, name: str, *interfaces: str, lan: Lan | None = None, gateways: Sequence[str] = ()) -> Host:
        """A machine at a switch, at C{lan} unless told otherwise."""
        made = Host(name)
        self.hosts.append(made)
        (lan or self.lan).join(made, *interfaces, gateways=gateways)
        return made

    def nat(self, name: str, outside: Sequence[str], inside: Sequence[str], how: str = "random") -> Nat:
        """
        A router with masquerade at C{lan}, and a switch behind it.

        @param how: flags of nft's masquerade; by default ports are mapped to others, as many routers do.
        """
        made = Nat(name)
        self.hosts.append(made)
        made.lan = Lan()
        self._lans.append(made.lan)
        self.lan.join(made, *outside, device="out")
        made.lan.join(made, *inside, device="in")
        made.forwards()
        made.run("nft", "-f", "-", stdin=_MASQUERADE.replace("HOW", how))
        return made

    def at(self, address: str) -> Host:
        """The host that has an address."""
        for host in self.hosts:
            if address in host.addresses:
                return host
        raise LookupError(f"no host has {address}")

    def close(self) -> None:
        for part in (*self.hosts, *self._lans):
            part.close()
        self.hosts, self._lans = [], []


class NetworkReactor:
    """A reactor whose sockets are opened on the host that has their address; the rest is the real one's."""

    def __init__(self, reactor: Any, network: Network) -> None:
        self._reactor, self._network = reactor, network
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> Any:
        with self._network.at(interface).inside():
            return self._reactor.listenUDP(port, protocol, interface, maxPacketSize)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        with self._network.at(interface).inside():
            return self._reactor.listenTCP(port, factory, backlog, interface)

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Any:
        with self._network.at(bindAddress[0]).inside():
            return self._reactor.connectTCP(host, port, factory, timeout, bindAddress)
