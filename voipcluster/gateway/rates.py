"""What a call costs at which gateway: a table in CSV, one prefix of numbers and one gateway a line."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from attrs import field, frozen

COLUMNS: Final = ("prefix", "gateway", "price")
OPTIONAL: Final = ("comment",)
MOST_LINES: Final = 1_000_000  # of one table
_LONGEST_LINE: Final = 1024


class Rate(NamedTuple):
    """
    @ivar prefix: of numbers, C{+49} and so on; C{price}: of a minute, in whatever unit the whole table has.
    @ivar line: where it stands in its file, counted from 1.
    """

    prefix: str
    gateway: str
    price: float
    line: int = 0


class RateError(Exception):
    """A table that cannot be used: C{line}, counted from 1, and what is wrong with it in words for its author."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


def parse_rates(lines: Iterable[str]) -> list[Rate]:
    """
    Read a table: a line with the names of the columns (L{COLUMNS}, in any order), then one rate a line; C{#} begins a comment.

    @raise RateError: another column, a column that is missing, a price that is none, or one prefix of a gateway twice.
    """
    reader = csv.reader(_bounded(lines))
    names: list[str] = []
    rates: list[Rate] = []
    known: dict[tuple[str, str], int] = {}
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if not names:
                names = _columns(cells, reader.line_num)
                continue
            rate = _rate(names, cells, reader.line_num)
            before = known.setdefault((rate.prefix, rate.gateway), rate.line)
            if before != rate.line:
                raise RateError(
                    rate.line,
                    f"prefix {rate.prefix!r} of gateway {rate.gateway} stands in line {before} already",
                )
            rates.append(rate)
    except csv.Error as error:
        raise RateError(reader.line_num, f"not CSV: {error}") from None
    if not names:
        raise RateError(1, f"no line with the names of the columns: {', '.join(COLUMNS)}")
    return rates


def _bounded(lines: Iterable[str]) -> Iterable[str]:
    for number, line in enumerate(lines, 1):
        if number > MOST_LINES or len(line) > _LONGEST_LINE:
            raise RateError(number, f"more than {MOST_LINES} lines, or {_LONGEST_LINE} characters in one")
        yield line


def _columns(cells: list[str], line: int) -> list[str]:
    names = [cell.lower() for cell in cells]
    allowed = (*COLUMNS, *OPTIONAL)
    for name in names:
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, 1, 0.6)
            hint = f"did you mean {near[0]}? " if near else ""
            raise RateError(line, f"unknown column {name[:40]!r}; {hint}allowed are {', '.join(allowed)}")
        if names.count(name) > 1:
            raise RateError(line, f"column {name} stands there twice")
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise RateError(line, f"no column {', '.join(missing)}; needed are {', '.join(COLUMNS)}")
    return names


def _rate(names: list[str], cells: list[str], line: int) -> Rate:
    if len(cells) != len(names):
        raise RateError(line, f"{len(cells)} values where the table has {len(names)} columns")
    row = dict(zip(names, cells, strict=True))
    try:
        price = float(row["price"])
    except ValueError:
        price = math.nan
    if not (price >= 0.0 and math.isfinite(price)):
        raise RateError(line, f"price {row['price'][:40]!r}; allowed is a number from 0, such as 0.019")
    if not row["gateway"]:
        raise RateError(line, "no gateway")
    prefix = row["prefix"]
    # the digits of an E.164 prefix are often written without their plus, and 49 is one here as well
    if prefix.isascii() and prefix.isdigit():
        prefix = f"+{prefix}"
    if prefix and not (
        prefix[0] == "+" and ((prefix[1:].isascii() and prefix[1:].isdigit()) or prefix == "+")
    ):
        raise RateError(line, f'prefix {prefix[:40]!r}; allowed is "+" and digits, or "" for every number')
    return Rate(prefix, row["gateway"], price, line)


@frozen
class RateTable:
    """
    @ivar prices: by gateway, then by prefix.
    """

    prices: Mapping[str, Mapping[str, float]] = field(factory=dict)

    @classmethod
    def of(cls, rates: Iterable[Rate]) -> RateTable:
        prices: dict[str, dict[str, float]] = {}
        for rate in rates:
            prices.setdefault(rate.gateway, {})[rate.prefix] = rate.price
        return cls(prices)

    def price(self, number: str, gateway: str) -> float | None:
        """What a minute to a number costs: by the longest prefix that the gateway has a rate for; L{None}: nobody knows."""
        of_gateway = self.prices.get(gateway)
        if of_gateway:
            for size in range(len(number), -1, -1):
                price = of_gateway.get(number[:size])
                if price is not None:
                    return price
        return None
