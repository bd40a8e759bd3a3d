"""
A path with delay, jitter and loss between two hosts of L{tests.network}, as C{tc netem} makes one, where a kernel has no netem.

Both ends are TUN devices; whole IP packets go from one to the other through this process, each at a time of its own, so that
jitter also puts them out of order.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from zope.interface import implementer

from tests.network import Host

_TUNSETIFF, _TUN_WITHOUT_HEADER = 0x400454CA, 0x1001  # TUNSETIFF, IFF_TUN | IFF_NO_PI of linux/if_tun.h


@implementer(IReadDescriptor)
class _End:
    """One TUN device."""

    def __init__(self, host: Host, device: str, address: str, took: Callable[[bytes], object]) -> None:
        self._took = took
        with host.inside():
            self.descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(
                self.descriptor, _TUNSETIFF, struct.pack("16sH", device.encode(), _TUN_WITHOUT_HEADER)
            )
        host.run("ip", "address", "add", address, "dev", device)
        host.run("ip", "link", "set", device, "up")
        host.addresses.append(address.partition("/")[0])

    def fileno(self) -> int:
        return self.descriptor

    def logPrefix(self) -> str:
        return "tun"

    def doRead(self) -> None:
        while True:
            try:
                self._took(os.read(self.descriptor, 65535))
            except BlockingIOError:
                return

    def connectionLost(self, reason: object) -> None: ...


class SlowWire:
    """
    @param one: and C{other}: the hosts, with their addresses on this path, such as C{"10.20.0.1/24"}.
    @param delay: seconds one way, give or take C{jitter}; C{loss}: the part of packets that is lost.
    @ivar passed: how many packets went through; C{lost}: how many did not.
    """

    def __init__(
        self, reactor: Any, one: tuple[Host, str], other: tuple[Host, str], delay: float, jitter: float, loss: float, seed: int
    ) -> None:  # fmt: skip
        self._reactor, self._random = reactor, Random(seed)
        self._delay, self._jitter, self._loss = delay, jitter, loss
        self._under_way: set[IDelayedCall] = set()
        self.passed = self.lost = 0
        first = _End(one[0], "sky0", one[1], lambda packet: self._pass(packet, second))
        second = _End(other[0], "sat0", other[1], lambda packet: self._pass(packet, first))
        self._ends = (first, second)
        for end in self._ends:
            reactor.addReader(end)

    def _pass(self, packet: bytes, end: _End) -> None:
        if self._random.random() < self._loss:
            self.lost += 1
            return
        self.passed += 1
        delay = self._delay + self._random.uniform(-self._jitter, self._jitter)
        under_way: list[IDelayedCall] = []
        call = self._reactor.callLater(delay, partial(self._arrive, packet, end, under_way))
        under_way.append(call)
        self._under_way.add(call)

    def _arrive(self, packet: bytes, end: _End, under_way: list[IDelayedCall]) -> None:
        self._under_way.discard(under_way[0])
        os.write(end.descriptor, packet)

    async def close(self) -> None:
        for call in self._under_way:
            call.cancel()
        self._under_way.clear()
        for end in self._ends:
            self._reactor.removeReader(end)
            os.close(end.descriptor)
