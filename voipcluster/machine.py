"""
What all machines share: C{feed(event)} returns a list of effects, and time is an argument.

An event is a fact (something happened), an effect is an order (somebody with a socket or a clock must do it). A machine
calls nobody; an event that it does not expect gives an empty list.
"""

from __future__ import annotations

from typing import NamedTuple


class TimerFired(NamedTuple):
    """Event: the timer of that name ran out."""

    name: str


class SetTimer(NamedTuple):
    """Effect: start the timer of that name, or start it anew; C{delay} in seconds."""

    name: str
    delay: float


class CancelTimer(NamedTuple):
    """Effect: stop the timer of that name; harmless when it is not running."""

    name: str
