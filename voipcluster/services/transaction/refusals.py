"""Which requests were refused for want of room, without a transaction, and of which copies may come yet."""

from __future__ import annotations

from collections.abc import Callable, Hashable

LIFE = 32.0  # seconds in which a client repeats a request, 64*T1 (RFC 3261 section 17.1.1.2)
MOST = 65536  # that are remembered; of more, the latest half or more


class Refusals:
    """
    A copy that waited in the socket, while the first one was answered with 503, is answered with 503 too, whatever room there is
    by then. Its caller has had a final response and hears no other one: a call would ring at a phone that nobody calls.

    Some sixty octets a refusal are kept, and no more than L{MOST} of them: a flood must not fill the memory.

    @param seconds: the clock.
    @ivar some: whether any is remembered; not so for nearly all of the time, and each request asks.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._young: set[int] = set()
        self._old: set[int] = set()
        self._turned = 0.0  # when the young ones became old
        self.some = False

    def __len__(self) -> int:
        """How many are remembered; none for nearly all of the time."""
        return len(self._young) + len(self._old)

    def note(self, key: Hashable) -> None:
        """@param key: of the server transaction that the request did not become."""
        self._turn()
        self._young.add(hash(key))
        self.some = True
        if len(self._young) >= MOST // 2:
            self._age()

    def __contains__(self, key: Hashable) -> bool:
        self._turn()
        found = hash(key)
        return found in self._young or found in self._old

    def _turn(self) -> None:
        """Each is kept for one to two C{LIFE}, in which nothing has to be done about it."""
        passed = self._seconds() - self._turned
        if passed >= LIFE:
            if passed >= 2 * LIFE:
                self._young.clear()
            self._age()

    def _age(self) -> None:
        self._old, self._young = self._young, set()
        self._turned = self._seconds()
        self.some = bool(self._old)
