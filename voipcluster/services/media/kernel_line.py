"""One media line as the kernel path knows it: what was handed over, and what of its counts is in the ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from voipcluster.media.offload import Crossing
from voipcluster.net.nft.elements import Relayed
from voipcluster.net.rtp import RtpPort

Change: TypeAlias = "Callable[[KernelLine, tuple[Handed, ...]], object]"


class Handed(NamedTuple):
    """One direction, and the port that its packets come to."""

    crossing: Crossing
    port: RtpPort


def known(found: Relayed, port: RtpPort) -> tuple[int, int]:
    """What of a count is in the port's already: all that its journal could hold."""
    return min(found.packets, port.packets), min(found.octets, port.octets)


class KernelLine:
    """
    One media line, as the kernel path knows it.

    @param change: hands over what it is given, and takes back what was handed over before.
    @ivar handed: what the kernel relays now; empty while the sockets do.
    @ivar refused: what did not get through, and is not tried again.
    @ivar since: when that was handed over, or refreshed.
    @ivar seen: packets and octets of RTP that were counted.
    @ivar left: packets that had come and had left, at the last look at both.
    """

    def __init__(self, change: Change, label: str) -> None:
        self._change, self.label = change, label
        self.handed: tuple[Handed, ...] = ()
        self.refused: tuple[Handed, ...] = ()
        self.since = 0.0
        self.seen: dict[Crossing, tuple[int, int]] = {}
        self.left: dict[Crossing, tuple[int, int]] = {}

    def update(self, handed: tuple[Handed, ...]) -> None:
        """Event: these ports feed each other now, or, when empty, none do any longer."""
        wanted = () if handed == self.refused else handed
        if wanted != self.handed:
            self._change(self, wanted)

    def credit(self, counts: Mapping[Crossing, tuple[int, int]]) -> int:
        """Add to the ports what was counted since the last time; gives how many packets that was."""
        total = 0
        for crossing, port in self.handed:
            count = counts.get(crossing)
            if count is None:
                continue
            packets, octets = self.seen.get(crossing, (0, 0))
            if count[0] > packets:
                port.packets += count[0] - packets
                port.octets += max(0, count[1] - octets)
                total += count[0] - packets
                self.seen[crossing] = count
        return total
