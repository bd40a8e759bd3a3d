"""How much of a gateway one user may have, and how much of it all may: what a stolen password can cost at most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from attrs import frozen

CALLS, RATE, MINUTES, DESTINATION = "calls at once", "calls a minute", "minutes a day", "destination"
KINDS: Final = (CALLS, RATE, MINUTES, DESTINATION)


@frozen
class Allowance:
    """
    What is allowed over gateways; 0 is: any number.

    @ivar calls: at once; C{rate}: begun within a minute; C{minutes}: of answered calls within a day.
    @ivar destinations: prefixes of numbers that may be called; none: all.
    """

    calls: int = 0
    rate: int = 0
    minutes: int = 0
    destinations: tuple[str, ...] = ()

    @property
    def limits(self) -> bool:
        """Whether anything is limited at all."""
        return bool(self.calls or self.rate or self.minutes or self.destinations)


NO_LIMIT: Final = Allowance()


class Usage(NamedTuple):
    """
    How much of it is used, on all nodes.

    @ivar calls: in progress; C{begun}: within the last minute; C{seconds}: of answered calls, today.
    """

    calls: int = 0
    begun: int = 0
    seconds: int = 0


class Excess(NamedTuple):
    """Why a call is not let through: C{kind} is one of L{KINDS}, C{text} says it in words."""

    kind: str
    text: str


def excess(allowance: Allowance, usage: Callable[[], Usage], number: str) -> Excess | None:
    """
    What one more call to a number would exceed, if anything.

    A call that is up is not ended when its minutes are used up: the next one is refused.

    @param usage: asked only when something is limited that needs it.
    """
    destinations = allowance.destinations
    if destinations and not number.startswith(destinations):
        return Excess(DESTINATION, f"{number} is no destination that is allowed")
    if not (allowance.calls or allowance.rate or allowance.minutes):
        return None
    used = usage()
    if 0 < allowance.calls <= used.calls:
        return Excess(CALLS, f"{used.calls} of {allowance.calls} calls at once are in use")
    if 0 < allowance.rate <= used.begun:
        return Excess(RATE, f"{used.begun} of {allowance.rate} calls a minute are used")
    if 0 < allowance.minutes <= used.seconds // 60:
        return Excess(MINUTES, f"{used.seconds // 60} of {allowance.minutes} minutes a day are used")
    return None
