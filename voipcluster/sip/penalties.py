"""Servers that did not serve are tried last for a while (RFC 3263 section 4.3: do not ask for long what is down)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from voipcluster.address import Hop
from voipcluster.sip.resolution import Server


class _Penalty(NamedTuple):
    until: float
    seconds: float


class Penalties:
    """
    @param first: seconds of the first penalty; each further failure behind it doubles them, up to C{longest}.
    @param kept: hops that are remembered at most; the one that failed longest ago goes first.
    """

    def __init__(self, first: float = 30.0, longest: float = 600.0, kept: int = 4096) -> None:
        self._kept = kept
        self.use(first, longest)
        self._of: dict[Hop, _Penalty] = {}

    def use(self, first: float, longest: float) -> None:
        """For failures from now on."""
        self._first, self._longest = first, max(first, longest)

    def failed(self, hop: Hop, now: float, at_least: float = 0.0) -> float:
        """
        The hop refused, or was silent.

        @param at_least: seconds that it asked for itself (Retry-After).
        @return: seconds of its penalty; 0.0 when it has one already, for requests that were under way tell nothing new.
        """
        known = self._of.pop(hop, None)
        if known is not None and now < known.until:
            self._of[hop] = known
            return 0.0
        seconds = self._first if known is None or now > known.until + self._longest else 2 * known.seconds
        seconds = min(max(seconds, at_least), self._longest)
        if len(self._of) >= self._kept:
            del self._of[next(iter(self._of))]
        self._of[hop] = _Penalty(now + seconds, seconds)
        return seconds

    def answered(self, hop: Hop) -> bool:
        """The hop serves: nothing is held against it any more. @return: whether something was."""
        return self._of.pop(hop, None) is not None

    def order(self, servers: Sequence[Server], now: float) -> list[Server]:
        """The same servers, those with a penalty behind the others, and among them the one first whose penalty ends first."""
        if not self._of:
            return list(servers)
        return sorted(servers, key=lambda server: max(0.0, self._until(server.hop) - now))

    def _until(self, hop: Hop) -> float:
        known = self._of.get(hop)
        return 0.0 if known is None else known.until

    def count(self, now: float) -> int:
        """How many hops have a penalty."""
        return sum(penalty.until > now for penalty in self._of.values())
