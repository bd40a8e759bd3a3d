"""Opens and closes relay ports: numbers from the pool, sockets on the node's addresses, readers of the reactor."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Protocol

from attrs import field, frozen

from voipcluster.errors import PeerError
from voipcluster.media.offer_answer import Side
from voipcluster.media.ports import NoPorts, PortPool
from voipcluster.media.shares import Holder, Shares
from voipcluster.media.target import Targets, literal
from voipcluster.net.rtp import IReaders, RtpPort, Sink, open_rtp_port
from voipcluster.services.media.kernel_line import KernelLine
from voipcluster.services.media.line import Heard

TRIES = 16  # pairs tried before giving up: other programs may sit in the range


@frozen
class RelayAddress:
    """
    Where ports are bound, and what the session descriptions say instead, for a node behind a one-to-one NAT.

    Both are IP literals of one family; C{advertised} defaults to C{host}.
    """

    host: str
    advertised: str = ""

    @property
    def shown(self) -> str:
        return self.advertised or self.host

    @property
    def family(self) -> int:
        return 6 if ":" in self.shown else 4


class OpenPort(Protocol):
    """Makes a bound port; L{open_rtp_port} is the real one."""

    def __call__(self, host: str, number: int, sink: Sink, label: object) -> RtpPort: ...


@frozen
class RelayPorts:
    """
    @ivar addresses: per side, by family.
    @ivar shares: how many pairs who holds; C{holders}: whom those of this call count for.
    @ivar heard: is shown the RTCP of all lines.
    @ivar kernel_line: gives each new media line what hands it to the kernel; L{None} where the kernel does not relay.
    """

    pool: PortPool
    readers: IReaders
    addresses: Mapping[Side, Mapping[int, RelayAddress]]
    seconds: Callable[[], float]
    open_port: OpenPort = open_rtp_port
    heard: Heard | None = None
    shares: Shares = field(factory=lambda: Shares({}))
    holders: tuple[Holder, ...] = ()
    kernel_line: Callable[[], KernelLine | None] = lambda: None

    def family(self, side: Side, wanted: int) -> int:
        """The family that a side is served in: the wanted one if the node has it, else the one that it has."""
        return wanted if wanted in self.addresses[side] else next(iter(self.addresses[side]))

    def shown(self, side: Side, family: int) -> str:
        return self.addresses[side][family].shown

    def open_pair(
        self, side: Side, family: int, sink: Sink, labels: Sequence[object]
    ) -> tuple[int, list[RtpPort]]:
        """
        A fresh number with one port per label: even, then odd.

        @raise NoPorts: the pool is empty, the system gives no socket, or who holds this call has as many as he may.
        """
        self.shares.take(self.holders)
        try:
            return self._open_any(side, family, sink, labels)
        except PeerError:
            self.shares.give_back(self.holders)
            raise

    def _open_any(
        self, side: Side, family: int, sink: Sink, labels: Sequence[object]
    ) -> tuple[int, list[RtpPort]]:
        for _ in range(TRIES):
            number = self.pool.take(self.seconds())
            try:
                return number, self.open_on(number, side, family, sink, labels)
            except OSError as error:
                self.pool.give_back(number, self.seconds())
                if error.errno != errno.EADDRINUSE:
                    host = self.addresses[side][family].host
                    raise NoPorts(f"cannot open media port {number} on {host}: {error.strerror}") from error
        raise NoPorts(f"{TRIES} media port pairs in a row are taken by other programs")

    def open_on(
        self, number: int, side: Side, family: int, sink: Sink, labels: Sequence[object], skip: int = 0
    ) -> list[RtpPort]:
        """
        Ports on a number that is already ours, for one more family or protocol.

        @param skip: how many of them are open already.
        @raise OSError: somebody else has it there.
        """
        host = self.addresses[side][family].host
        opened: list[RtpPort] = []
        try:
            for component, label in enumerate(labels[skip:], start=skip):
                opened.append(self.open_port(host, number + component, sink, label))
        except OSError:
            for port in opened:
                port.close()
            raise
        for port in opened:
            self.readers.addReader(port)
        return opened

    def close(self, port: RtpPort) -> None:
        self.readers.removeReader(port)
        port.close()

    def give_back(self, number: int) -> None:
        self.pool.give_back(number, self.seconds())
        self.shares.give_back(self.holders)

    def is_own(self, host: str) -> bool:
        address = literal(host)
        return address is not None and any(
            address.compressed in {relay.host, relay.shown}
            for by_family in self.addresses.values()
            for relay in by_family.values()
        )


def targets_for(
    addresses: Mapping[Side, Mapping[int, RelayAddress]],
    pool: PortPool,
    allowed: Sequence[str] = (),
    closed: Iterable[int] = (),
    trusted: Callable[[str], bool] = lambda host: False,
) -> Targets:
    """What this node may send media to; see L{Targets}."""
    relays = [relay for by_family in addresses.values() for relay in by_family.values()]
    bound = [literal(relay.host) for relay in relays]
    return Targets(
        own=frozenset(host for relay in relays for host in (relay.host, relay.shown)),
        busy=pool,
        loopback=any(address is not None and address.is_loopback for address in bound),
        allowed=tuple(ip_network(text, strict=False) for text in allowed),
        closed=frozenset(closed),
        trusted=trusted,
    )


def by_family(relays: Sequence[RelayAddress]) -> dict[int, RelayAddress]:
    """The first address of each family counts."""
    found: dict[int, RelayAddress] = {}
    for relay in relays:
        found.setdefault(relay.family, relay)
    return found
