"""Which gateways a number is brought to, and in which order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from attrs import Factory, field, frozen

from voipcluster.gateway.rates import RateTable
from voipcluster.gateway.rewriting import CallerId, Rewriting

Rand = Callable[[], float]


@frozen
class Route:
    """
    Numbers that begin with C{prefix} may go through a gateway.

    @ivar priority: the lowest is tried first; C{weight}: of those alike, how often one is first; 0: only behind the others.
    @ivar stop: no route of a shorter prefix is tried behind those of this one.
    @ivar rewriting: of the number that is called; C{caller}: of the one that calls.
    """

    prefix: str
    gateway: str
    priority: int = 1
    weight: int = 1
    stop: bool = False
    rewriting: Rewriting = Factory(Rewriting)
    caller: CallerId = Factory(CallerId)


class Candidate(NamedTuple):
    """
    A gateway that a number may go through.

    @ivar refused: why it is not asked now, or empty: it is; C{price}: of a minute, L{None}: nobody knows.
    """

    route: Route
    price: float | None
    refused: str = ""


def weighted(routes: Sequence[Route], rand: Rand) -> list[Route]:
    """An order in which each is first as often as its weight says (as RFC 2782 has it for servers)."""
    waiting = sorted(routes, key=lambda route: route.weight)
    ordered: list[Route] = []
    while waiting:
        total = sum(route.weight for route in waiting)
        if total:
            drawn = rand() * total
            chosen = waiting[-1]
            for route in waiting:
                drawn -= route.weight
                if drawn < 0:
                    chosen = route
                    break
        else:
            chosen = waiting[int(rand() * len(waiting))]
        waiting.remove(chosen)
        ordered.append(chosen)
    return ordered


def _by_prefix(routes: Iterable[Route]) -> dict[str, tuple[Route, ...]]:
    found: dict[str, tuple[Route, ...]] = {}
    for route in routes:
        found[route.prefix] = (*found.get(route.prefix, ()), route)
    return found


@frozen
class Routes:
    """
    All routes of a cluster.

    The longest prefix comes first; behind it, unless one of its routes says stop, the next shorter one, so that what is
    special falls back on what is general. Of one prefix the lowest priority comes first, then the least price, then whom the
    weights draw.
    """

    routes: tuple[Route, ...] = ()
    rates: RateTable = Factory(RateTable)
    _prefixes: dict[str, tuple[Route, ...]] = field(init=False, repr=False, eq=False)
    _longest: int = field(init=False, repr=False, eq=False)

    @_prefixes.default
    def _sorted_by_prefix(self) -> dict[str, tuple[Route, ...]]:
        return _by_prefix(self.routes)

    @_longest.default
    def _longest_prefix(self) -> int:
        return max((len(route.prefix) for route in self.routes), default=0)

    def matching(self, number: str) -> list[tuple[Route, ...]]:
        """The routes of each prefix of a number that has some, the longest first, as far as they say."""
        groups: list[tuple[Route, ...]] = []
        for size in range(min(len(number), self._longest), -1, -1):
            group = self._prefixes.get(number[:size])
            if group is not None:
                groups.append(group)
                if any(route.stop for route in group):
                    break
        return groups

    def candidates(
        self, number: str, rand: Rand, refusal: Callable[[Route], str] = lambda route: ""
    ) -> list[Candidate]:
        """
        All gateways for a number, in the order in which they are tried, each once.

        @param rand: floats from 0.0 to below 1.0.
        @param refusal: why a gateway is not asked: it is down, full, closed or forbidden; an empty string: it is.
        @return: those that are refused too, so that somebody can be told why; empty: there is no route.
        """
        found: list[Candidate] = []
        known: set[str] = set()
        for group in self.matching(number):
            for route, price in self._ordered(number, group, rand):
                if route.gateway not in known:
                    known.add(route.gateway)
                    found.append(Candidate(route, price, refusal(route)))
        return found

    def _ordered(self, number: str, group: Sequence[Route], rand: Rand) -> list[tuple[Route, float | None]]:
        alike: dict[tuple[int, float], list[Route]] = {}
        for route in group:
            price = self.rates.price(number, route.gateway)
            # whose price nobody knows comes behind those whose price is known
            alike.setdefault((route.priority, math.inf if price is None else price), []).append(route)
        return [
            (route, None if math.isinf(price) else price)
            for (_, price), routes in sorted(alike.items(), key=lambda item: item[0])
            for route in weighted(routes, rand)
        ]


def overlapping(routes: Iterable[tuple[str, str]]) -> list[tuple[int, int]]:
    """
    Routes that say the same twice: (prefix, gateway) pairs that stand there already.

    @return: the place of each such route and of the first one like it, both counted from 0.
    """
    known: dict[tuple[str, str], int] = {}
    again: list[tuple[int, int]] = []
    for place, pair in enumerate(routes):
        first = known.setdefault(pair, place)
        if first != place:
            again.append((place, first))
    return again
