"""Chooses who relays: the kernel where it can and may, else the sockets of this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from voipcluster.errors import UsageError
from voipcluster.media.offload import label_of
from voipcluster.net.nft.counters import CounterReading
from voipcluster.net.nft.probe import Opened
from voipcluster.net.nft.table import KernelUnavailable
from voipcluster.net.rtp import IReaders
from voipcluster.services.media.kernel import KernelRelay
from voipcluster.services.media.kernel_line import KernelLine

KERNEL, USERSPACE, OFF = "kernel", "userspace", "off"
MARKS = 0x52  # upper octet of the marks of relayed packets
_MAPS_PER_PAIR = 2  # a line can be in a map twice while it begins anew
_SPARE = 64  # elements for trial packets

_log = Logger()


class IKernel(Protocol):
    """L{voipcluster.net.nft.probe.Kernel}."""

    def open(self, hosts: Sequence[str], first_port: int, size: int, prefix: int) -> Opened: ...

    def sweep(self, hosts: Sequence[str], first_port: int) -> None: ...


class NoKernel:
    """For machines that are played."""

    def open(self, hosts: Sequence[str], first_port: int, size: int, prefix: int) -> Opened:
        raise KernelUnavailable("there is no kernel here")

    def sweep(self, hosts: Sequence[str], first_port: int) -> None:
        pass


@frozen
class Path:
    """
    @ivar kernel: L{None} when this process relays everything.
    @ivar reason: why it does so, although the configuration leaves the choice, or why it does so for one IP version.
    """

    kernel: KernelRelay | None = None
    reason: str = ""

    def line_maker(self, call: tuple[str, str]) -> Callable[[], KernelLine | None]:
        """@param call: Call-ID and From tag. @return: what gives each line of that call its L{KernelLine}."""
        return _no_line if self.kernel is None else partial(self.kernel.line, label_of(*call))


def _no_line() -> KernelLine | None:
    return None


@frozen(kw_only=True)
class PathSettings:
    """
    @ivar relay: C{auto}, C{kernel}, C{userspace} or C{off}.
    @ivar hosts: the addresses that ports are bound on; C{first_port} is the lowest, C{pairs} how many pairs there are.
    @ivar marks: upper octet of the marks.
    @ivar longest: most seconds between readings of the kernel's counters.
    """

    relay: str
    hosts: Sequence[str]
    first_port: int
    pairs: int
    marks: int = MARKS
    longest: float = 10.0


def choose_path(settings: PathSettings, clock: IReactorTime, readers: IReaders, machine: IKernel) -> Path:
    """
    Try the kernel where the configuration wants that.

    @raise UsageError: C{relay = "kernel"}, and it cannot; the text says why.
    """
    if settings.relay not in {"auto", KERNEL}:
        machine.sweep(settings.hosts, settings.first_port)
        return Path()
    size = settings.pairs * 2 * _MAPS_PER_PAIR + _SPARE
    try:
        opened = machine.open(settings.hosts, settings.first_port, size, settings.marks)
        if opened.reason and settings.relay == KERNEL:
            opened.table.remove()
            raise KernelUnavailable(opened.reason)
    except KernelUnavailable as error:
        if settings.relay == KERNEL:
            raise UsageError(f'media.relay is "kernel", but the kernel cannot relay: {error}') from error
        _log.info("media is relayed in user space: {reason}", reason=str(error))
        return Path(None, str(error))
    counters = CounterReading(opened.table.name, readers, clock.seconds, opened.table.connect)
    kernel = KernelRelay(clock, opened.table, counters, opened.families, settings.longest)
    if opened.reason:
        _log.info("media of one IP version is relayed in user space: {reason}", reason=opened.reason)
    _log.info("media is relayed in the kernel, by the nftables table {table}", table=opened.table.name)
    return Path(kernel, opened.reason)
