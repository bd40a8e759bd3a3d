"""C{[[route]]} of the file and the rate table: read together with the gateways that they name."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from voipcluster.config.kinds import Flag, Kind, Whole, Word, Words
from voipcluster.config.problem import Problem, guess, shown
from voipcluster.gateway.numbers import NumberPlan
from voipcluster.gateway.rates import RateError, RateTable, parse_rates
from voipcluster.gateway.rewriting import CallerId, Rewriting
from voipcluster.gateway.routing import Route, overlapping

Where = Callable[..., str]
"""Gives C{file:line} of a path of keys."""

MAX_TABLE = 64 << 20  # octets of a rate table
_PREFIX = re.compile(r"\+?[0-9*#]{0,32}", re.ASCII)
_GATEWAY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
_WRITTEN = re.compile(r"\+?[0-9*#]{0,32}", re.ASCII)
_NUMBER = re.compile(r"(?:\+?[0-9]{1,32})?", re.ASCII)

ADDED = "(for one of voipctl gateway add, which no file knows, write added = true in the route)"

OPTIONS: dict[str, Kind[Any]] = {
    "prefix": Word(_PREFIX, '"+" and digits such as "+49", local digits, or "" for every number'),
    "gateway": Word(_GATEWAY, "the name of a gateway"),
    "priority": Whole(0, 1000),
    "weight": Whole(0, 1_000_000),
    "strip": Whole(0, 32),
    "prepend": Word(_WRITTEN, 'what comes in front, such as "0", "00" or "+"'),
    "stop": Flag(),
    "caller": Word(_NUMBER, 'a number such as "+4930123450", or ""'),
    "callers": Words(Word(_WRITTEN, "a prefix"), 'prefixes such as "+493012345"'),
    "added": Flag(),
}


def read_routes(
    content: object, where: Where, plan: NumberPlan, gateways: Collection[str]
) -> tuple[tuple[Route, ...], list[Problem]]:
    """
    Take all C{[[route]]} of a file.

    @param where: gives the place of C{"route", "#0", "prefix"}.
    @param gateways: the names of those that the file declares.
    @return: the routes that are right, and what is wrong.
    """
    if not isinstance(content, list) or not all(isinstance(table, dict) for table in content):
        return (), [
            Problem(where("route"), "route", f"found {shown(content)}, allowed are tables: [[route]]")
        ]
    routes: list[Route] = []
    places: list[int] = []
    problems: list[Problem] = []

    def wrong(number: int, key: str, text: str) -> None:
        problems.append(Problem(where("route", f"#{number}", key), f"route.{key}", text))

    for number, table in enumerate(content):
        before = len(problems)
        for key, text in _mistakes(table, plan, gateways):
            wrong(number, key, text)
        if len(problems) == before:
            routes.append(_make(table))
            places.append(number)
    for again, first in overlapping((route.prefix, route.gateway) for route in routes):
        line = where("route", f"#{places[first]}", "prefix").rpartition(":")[2]
        route = routes[again]
        text = f'"{route.prefix}" to gateway {route.gateway} overlaps the route of line {line}, which says the same'
        wrong(places[again], "prefix", text)
    return tuple(routes), problems


def read_rates(path: str, gateways: Collection[str]) -> tuple[RateTable, list[Problem]]:
    """
    Read a rate table.

    @param path: the CSV file; C{gateways}: names that may stand in it.
    """
    try:
        with Path(path).open("rb") as file:
            octets = file.read(MAX_TABLE + 1)
        if len(octets) > MAX_TABLE:
            return RateTable(), [Problem(path, "numbers.rates", f"larger than {MAX_TABLE} octets")]
        rates = parse_rates(octets.decode("utf-8-sig").splitlines())
    except OSError as error:
        return RateTable(), [Problem(path, "numbers.rates", f"cannot be read: {error.strerror or error}")]
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        return RateTable(), [Problem(f"{path}:{line}", "numbers.rates", "not UTF-8")]
    except RateError as error:
        return RateTable(), [Problem(f"{path}:{error.line}", "numbers.rates", str(error))]
    for rate in rates:
        if rate.gateway not in gateways:
            text = _unknown_gateway(rate.gateway, gateways)
            return RateTable(), [Problem(f"{path}:{rate.line}", "numbers.rates", text)]
    return RateTable.of(rates), []


def _mistakes(
    table: Mapping[str, object], plan: NumberPlan, gateways: Collection[str]
) -> list[tuple[str, str]]:
    """Key and text of each mistake within one table."""
    found: list[tuple[str, str]] = []
    for key, value in table.items():
        if key not in OPTIONS:
            near = guess(key, OPTIONS)
            hint = f"did you mean {near}?" if near else f"allowed are {', '.join(OPTIONS)}"
            found.append((key, f"unknown key {shown(key)} in [[route]]; {hint}"))
            continue
        try:
            OPTIONS[key].take(value)
        except ValueError:
            found.append((key, f"found {shown(value)}, allowed is {OPTIONS[key].allowed}"))
    found += [(key, "is missing") for key in ("prefix", "gateway") if key not in table]
    if found:
        return found
    prefix, name = str(table["prefix"]), str(table["gateway"])
    trouble = plan.trouble_with_prefix(prefix)
    if trouble:
        found.append(("prefix", f"{shown(prefix)} matches no number: {trouble}"))
    if name not in gateways and not table.get("added"):
        found.append(("gateway", f"{_unknown_gateway(name, gateways)} {ADDED}"))
    return found


def _unknown_gateway(name: str, gateways: Collection[str]) -> str:
    near = guess(name, gateways)
    known = ", ".join(gateways) or "none"
    hint = f"did you mean {near}?" if near else f"declared are: {known}"
    return f"unknown gateway {shown(name)}; {hint}"


def _make(table: Mapping[str, Any]) -> Route:
    """Of a table without mistakes."""
    taken: dict[str, Any] = {key: OPTIONS[key].take(value) for key, value in table.items()}
    rewriting = Rewriting(taken.get("strip", 0), taken.get("prepend", ""))
    caller = CallerId(taken.get("caller", ""), taken.get("callers", ()))
    return Route(
        taken["prefix"],
        taken["gateway"],
        taken.get("priority", 1),
        taken.get("weight", 1),
        taken.get("stop", False),
        rewriting,
        caller,
    )
