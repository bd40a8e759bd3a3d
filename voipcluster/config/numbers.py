"""C{[numbers]}: how numbers are dialled here, and what is true of all routes."""

from __future__ import annotations

import re

from attrs import frozen

from voipcluster.config.kinds import Domain, FilePath, Number, Whole, Word, Words
from voipcluster.config.option import option
from voipcluster.gateway.numbers import NumberPlan

_DIGITS = re.compile(r"[0-9]{0,8}", re.ASCII)
_COUNTRY = re.compile(r"(?:[1-9][0-9]{0,3})?", re.ASCII)
_SHORT = re.compile(r"[0-9]{2,8}", re.ASCII)
_FAILURE = re.compile(r"[345][0-9]{2}", re.ASCII)
_DIALLED = 'up to 8 digits, or "" for none'


@frozen
class Apex:
    """A domain below which the DNS has telephone numbers, or an empty text."""

    allowed = 'a domain such as "e164.arpa", or "" for none'
    text = True
    secret = False

    def take(self, value: object) -> str:
        return "" if value == "" else Domain().take(value)


@frozen
class NumbersOptions:
    """Telephone numbers: how they are dialled, and what is true of all routes (C{docs/gateways.md}); alike on every node."""

    country: str = option(
        "",
        Word(_COUNTRY, 'a country code such as "49", or ""'),
        'country code; "" = national numbers stay',
        live=True,
    )
    national: str = option(
        "0",
        Word(_DIGITS, _DIALLED),
        'dialled in front of a number of this country; "" = nothing is',
        live=True,
    )
    international: str = option(
        "00", Word(_DIGITS, _DIALLED), "the same for a number of another country", live=True
    )
    area: str = option(
        "",
        Word(_DIGITS, _DIALLED),
        'area code without prefix, for numbers dialled without one; "" = none',
        live=True,
    )
    extensions: int = option(
        0,
        Whole(0, 15),
        "digits of inner numbers at most; what is longer, without prefix, is of this area",
        live=True,
    )
    emergency: tuple[str, ...] = option(
        (),
        Words(Word(_SHORT, "2 to 8 digits"), 'numbers such as "112"'),
        "calls for help: never refused for load, channels, hours or credit",
        live=True,
    )
    enum: str = option(
        "", Apex(), 'ask the DNS for the URIs of numbers below it (RFC 6116); "" = do not', live=True
    )
    enum_wait: float = option(
        2.0,
        Number(0.1, 30, "s"),
        "s that a call waits for that at most; then its routes are taken",
        live=True,
    )
    rates: str = option(
        "", FilePath(), 'CSV file with the columns prefix, gateway, price; "" = none', live=True
    )
    next_after: float = option(
        4.0,
        Number(0.5, 32, "s"),
        "s without any sign of a gateway after which a call goes to the next one; the last one has 64*t1",
        live=True,
    )
    also_next: tuple[str, ...] = option(
        (),
        Words(Word(_FAILURE, "a status of 300 to 599"), 'statuses from 300 to 599 such as "403"'),
        "of a gateway behind which the next one is asked too, besides 408 and 5xx",
        live=True,
    )

    @property
    def plan(self) -> NumberPlan:
        """How numbers are read."""
        return NumberPlan(
            self.country, self.national, self.international, self.area, self.extensions, self.emergency
        )
