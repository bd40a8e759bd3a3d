"""Calls to numbers, as the configuration has them."""

from __future__ import annotations

from voipcluster.config import Config
from voipcluster.gateway.routing import Routes
from voipcluster.services.gateway.routing import Dialling


def dialling_of(config: Config) -> Dialling:
    """The number plan, the routes and what is true of all of them."""
    numbers = config.numbers
    return Dialling(
        numbers.plan,
        Routes(config.routes, config.rates),
        numbers.enum,
        numbers.enum_wait,
        numbers.next_after,
        frozenset(map(int, numbers.also_next)),
    )
