"""
How often a password of the web page may be tried: some times from one source, and some times from all that are not known.

Each try counts before it is looked at, so that many at once are no way around it; a right one gives back what its source
used.
The limit of all would let a stranger lock the operator out, so sources from which somebody has logged in before do not come
under it.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field

WINDOW = 600.0  # seconds in which tries are counted
OF_SOURCE = 5  # wrong ones of a source in that time
OF_ALL = 50  # of all sources together
MOST_KNOWN = 256  # sources from which somebody has logged in; the oldest is forgotten for a new one


@define(eq=False)
class Guesses:
    """C{source}: L{voipcluster.address.source_of} an address. C{now} in seconds of any clock that only goes forward."""

    _of_source: dict[str, deque[float]] = field(factory=dict, init=False)
    _of_all: deque[float] = field(factory=deque, init=False)
    _known: dict[str, None] = field(factory=dict, init=False)

    def begin(self, source: str, now: float) -> float:
        """
        Count a try.

        @return: 0.0, or the seconds after which the source may try again; it was not counted then.
        """
        self._forget(now)
        counted = [self._of_source.get(source, deque())]
        limits = [OF_SOURCE]
        if source not in self._known:
            counted.append(self._of_all)
            limits.append(OF_ALL)
        waits = [
            tries[0] + WINDOW - now for tries, most in zip(counted, limits, strict=True) if len(tries) >= most
        ]
        if waits:
            return max(waits)
        self._of_source.setdefault(source, deque()).append(now)
        if source not in self._known:
            self._of_all.append(now)
        return 0.0

    def right(self, source: str) -> None:
        """The password was right; the source is known from now on."""
        for at in self._of_source.pop(source, ()):
            if at in self._of_all:
                self._of_all.remove(at)
        self._known.pop(source, None)
        self._known[source] = None
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]

    def _forget(self, now: float) -> None:
        """There are never more than L{OF_ALL} tries, and those of the known: to look at all of them is cheap."""
        while self._of_all and self._of_all[0] <= now - WINDOW:
            self._of_all.popleft()
        for source, tries in list(self._of_source.items()):
            while tries and tries[0] <= now - WINDOW:
                tries.popleft()
            if not tries:
                del self._of_source[source]
