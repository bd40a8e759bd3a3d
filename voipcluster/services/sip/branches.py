"""The branches of our client transactions (RFC 3261 section 8.1.1.7)."""

from __future__ import annotations

from collections.abc import Callable

from voipcluster.sip.message import COOKIE

_RANDOM, _AT_ONCE = 9, 256  # octets of a branch; branches that one system call brings


class Branches:
    """@param octets: so many random octets that nobody can guess."""

    def __init__(self, octets: Callable[[int], bytes]) -> None:
        self._octets = octets
        self._ready: list[str] = []

    def new(self) -> str:
        """A branch that nobody can guess; 72 random bits."""
        ready = self._ready
        if not ready:
            text = self._octets(_RANDOM * _AT_ONCE).hex()
            ready += [COOKIE + text[at : at + 2 * _RANDOM] for at in range(0, len(text), 2 * _RANDOM)]
        return ready.pop()
