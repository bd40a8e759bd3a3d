"""Whether the kernel really relays: one packet through the table over the loopback interface, and what is forwarded at all."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from attrs import frozen

from voipcluster.media.offload import Crossing
from voipcluster.media.target import Address, literal
from voipcluster.net.nft.load import load
from voipcluster.net.nft.socket import NftError, open_netlink
from voipcluster.net.nft.table import KernelUnavailable, NftTable, table_name

FORWARDING = {
    4: ("net.ipv4.ip_forward", Path("/proc/sys/net/ipv4/ip_forward")),
    6: ("net.ipv6.conf.all.forwarding", Path("/proc/sys/net/ipv6/conf/all/forwarding")),
}
_LOOPBACK = {4: "127.0.0.1", 6: "::1"}
_PACKET = b"\x80\x00" + bytes(10)  # the shortest RTP
_PATIENCE = 0.5  # seconds; over the loopback interface a packet has arrived when it is sent
_TRIES = 4  # other ports, when those that the system gave are in use by what an earlier process left


def not_forwarded(family: int) -> str | None:
    """Why packets from one host to another stop here, or L{None} when they do not."""
    name, path = FORWARDING[family]
    try:
        value = path.read_text(encoding="ascii").strip()
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"
    return f"{name} is 0" if value == "0" else None


def probe(table: NftTable, families: Collection[int]) -> None:
    """
    Relay one packet over the loopback address of each IP version.

    @raise KernelUnavailable: it did not arrive, or not from the relay's port.
    """
    for family in sorted(families):
        for _ in range(_TRIES):
            if _passes(table, family):
                break
        else:
            raise KernelUnavailable("the ports for a trial packet are in use")


def _passes(table: NftTable, family: int) -> bool:
    kind = socket.AF_INET6 if family == 6 else socket.AF_INET
    with ExitStack() as stack:
        try:
            sockets = [stack.enter_context(socket.socket(kind, socket.SOCK_DGRAM)) for _ in range(4)]
            for one in sockets:
                one.bind((_LOOPBACK[family], 0))
        except OSError as error:
            raise KernelUnavailable(f"no IPv{family} on the loopback interface ({error.strerror})") from error
        phone, entry, exit_, peer = sockets
        ends = [Address(*one.getsockname()[:2]) for one in sockets]
        crossing = Crossing(*ends)
        try:
            table.apply([(crossing, "trial packet")])
        except NftError as error:
            if error.errno in {errno.EEXIST, errno.EBUSY}:
                return False
            raise KernelUnavailable(f"nftables refused: {error.strerror}") from error
        try:
            peer.settimeout(_PATIENCE)
            phone.sendto(_PACKET, tuple(ends[1]))
            _, source = peer.recvfrom(64)
        except OSError as error:
            raise KernelUnavailable(f"a trial packet over {_LOOPBACK[family]} was not relayed") from error
        finally:
            with suppress(NftError):  # its table has gone meanwhile
                table.apply([], [crossing])
        if Address(*source[:2]) != ends[2]:
            raise KernelUnavailable(
                f"a trial packet came from {source[0]}:{source[1]} and not from the relay"
            )
        assert entry and exit_, "they are open until now"
    return True


@frozen
class Opened:
    """
    @ivar families: IP versions that the kernel can relay.
    @ivar reason: why it cannot relay the others; empty when there are none.
    """

    table: NftTable
    families: frozenset[int]
    reason: str


class Kernel:
    """
    What the kernel of this machine can do for a relay.

    @param connect: see L{NftTable}, and C{fill}.
    """

    def __init__(
        self, connect: Callable[[], socket.socket] = open_netlink, fill: Callable[[str], None] = load
    ) -> None:
        self._connect, self._fill = connect, fill

    def open(self, hosts: Sequence[str], first_port: int, size: int, prefix: int) -> Opened:
        """
        The table of a relay, tried out.

        @param hosts: the addresses that it binds ports on, IP literals.
        @param first_port: of its range; tells it from others on the same address.
        @param size: the most elements of one map.
        @param prefix: upper octet of the marks.
        @raise KernelUnavailable: no IP version of these can be relayed; nothing is left behind.
        """
        possible, reasons = set(), []
        for host in hosts:
            family = 6 if ":" in host else 4
            parsed = literal(host)
            why = None if parsed is not None and parsed.is_loopback else not_forwarded(family)
            if why is None:
                possible.add(family)
            elif why not in reasons:
                reasons.append(why)
        if not possible:
            self.sweep(hosts, first_port)
            raise KernelUnavailable("; ".join(reasons))
        table = self._table(hosts, first_port, size, prefix)
        table.open()
        try:
            if not _works(table, possible):
                table.remove()  # taken over, and not as it should be: once more from the beginning
                table.open()
                probe(table, possible)
        except BaseException:
            table.remove()
            raise
        return Opened(table, frozenset(possible), "; ".join(reasons))

    def sweep(self, hosts: Sequence[str], first_port: int) -> None:
        """See L{NftTable.sweep}."""
        self._table(hosts, first_port, 0, 0).sweep()

    def _table(self, hosts: Sequence[str], first_port: int, size: int, prefix: int) -> NftTable:
        return NftTable(table_name(hosts[0], first_port), prefix, size, self._connect, self._fill)


def _works(table: NftTable, families: Collection[int]) -> bool:
    try:
        probe(table, families)
    except KernelUnavailable:
        if not table.found:
            raise
        return False
    return True
