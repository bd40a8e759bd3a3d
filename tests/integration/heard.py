"""What one phone of a call heard, packet by packet."""

from __future__ import annotations

from itertools import pairwise

from voipcluster.phone import PhoneCall


class Heard:
    """The sequence numbers that one phone of a call was sent, in the order of their arrival."""

    def __init__(self, call: PhoneCall) -> None:
        self.numbers: list[int] = []
        self._deliver = call.stream.datagramReceived
        call.stream.datagramReceived = self._received

    def _received(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.numbers.append(int.from_bytes(datagram[2:4], "big"))
        self._deliver(datagram, addr)

    @property
    def missing(self) -> list[int]:
        """How many packets are missing, gap by gap; one that comes late is not."""
        numbers = sorted(set(self.numbers))
        return [later - before - 1 for before, later in pairwise(numbers) if later - before > 1]
