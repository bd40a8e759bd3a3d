"""The pool of port pairs: an even number for RTP, the odd one above it for RTCP (RFC 3550 section 11)."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from voipcluster.errors import PeerError, UsageError


class NoPorts(PeerError):
    """No pair is free; the request that needs one is answered with 503."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 503)


class PortPool:
    """
    Hands out each pair of a range in turn, and a returned one only after its quarantine.

    The quarantine keeps late packets of a call that ended out of the next one.

    @param first: lowest port, 1024 to 65534; rounded up to an even number.
    @param last: highest port, included.
    @param quarantine: seconds for which a returned pair rests.
    @param start: any random number from 0; it chooses the pair that goes first, so that a restarted node does not
        begin with the ports of the calls that it just lost.
    @raise UsageError: the range holds no pair.
    """

    def __init__(self, first: int, last: int, *, quarantine: float, start: int = 0) -> None:
        numbers = range(first + first % 2, last, 2)
        if not 1 <= first <= last <= 65535 or not numbers:
            raise UsageError(f"media ports {first}-{last} hold no pair of an even and an odd port")
        turn = start % len(numbers)
        self.first, self.last, self.size = first, last, len(numbers)
        self._quarantine = quarantine
        self._free: deque[int] = deque((*numbers[turn:], *numbers[:turn]))
        self._resting: deque[tuple[float, int]] = deque()
        self._taken: set[int] = set()

    def take(self, now: float) -> int:
        """
        @return: the even port of a pair.
        @raise NoPorts: all are taken or in quarantine.
        """
        self._wake(now)
        if not self._free:
            raise NoPorts(
                f"no free media ports: of {self.size} pairs {len(self._taken)} are in use "
                f"and {len(self._resting)} in quarantine"
            )
        number = self._free.popleft()
        self._taken.add(number)
        return number

    def give_back(self, number: int, now: float) -> None:
        """Put a taken pair into quarantine."""
        assert number in self._taken, f"port {number} was not taken"
        self._taken.remove(number)
        self._resting.append((now + self._quarantine, number))

    def take_these(self, numbers: Collection[int]) -> set[int]:
        """
        Take pairs that calls of an earlier process have.

        @return: those that were free; the others are out of the range, taken, or in quarantine.
        """
        wanted = set(numbers).intersection(self._free)
        self._free = deque(number for number in self._free if number not in wanted)
        self._taken |= wanted
        return wanted

    def free(self, now: float) -> int:
        """How many pairs L{take} can hand out."""
        self._wake(now)
        return len(self._free)

    def __contains__(self, port: object) -> bool:
        """Whether a port, even or odd, is of a pair that is in use."""
        return isinstance(port, int) and port & ~1 in self._taken

    @property
    def taken(self) -> int:
        return len(self._taken)

    def _wake(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            self._free.append(self._resting.popleft()[1])
