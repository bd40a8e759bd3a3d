"""
C{voipctl import kamailio --dispatcher}: the gateways of another SIP server, from its C{dispatcher.list} or its table
C{dispatcher}.

Each destination becomes a gateway with one server. Which numbers go to which set is said by that server's script, so routes are
not made but proposed: a table C{[[route]]} for each member of a set, in the order in which it was tried there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from voipcluster.errors import UsageError
from voipcluster.gateway.dispatcher import NOT_PROBED, Destination, destination, read_list
from voipcluster.voipctl.client import Client
from voipcluster.voipctl.sources import rows_of_database

MOST_AT_ONCE = 64  # gateways in one request, which are changed at once or not at all
MOST_OCTETS = 12_000  # of one request
COLUMNS = ("setid", "destination", "flags", "priority", "attrs")
MEANT = frozenset({"weight", "rweight", "duid", "maxload"})  # attributes that mean something here


class Found(NamedTuple):
    """A gateway, its options, and the destination that it was read from."""

    name: str
    options: Mapping[str, Any]
    of: Destination


def read_all(source: str) -> list[Destination]:
    """@raise UsageError: it cannot be read, is empty, or a line or row of it is wrong."""
    destinations = list(read(source))
    if not destinations:
        raise UsageError(f"{source}: no destinations")
    gateways(destinations)
    return destinations


def run(client: Client, destinations: Sequence[Destination], replace: bool, dry: bool) -> str:
    """
    Import, and tell how many, and which routes may be meant.

    @raise UsageError: the node takes one of them not; nothing was changed then, unless it says so.
    """
    found, name_of = gateways(destinations)
    done = {"added": 0, "replaced": 0, "same": 0}
    for batch in _batches(found):
        try:
            tables = [[one.name, dict(one.options)] for one in batch]
            answer = client.ask("gateway-import", gateways=tables, replace=replace, dry=dry)
        except UsageError as error:
            changed = done["added"] + done["replaced"]
            text = _placed(str(error), batch)
            raise UsageError(
                f"{text}; {changed} gateways were imported until then" if changed and not dry else text
            ) from None
        for name in done:
            done[name] += answer[name]
    told = ", ".join(
        f"{number} {name if name != 'same' else 'there already'}" for name, number in done.items()
    )
    how_many = "1 gateway" if len(found) == 1 else f"{len(found)} gateways"
    lines = [f"{how_many}: {told}" + (" (nothing was changed)" if dry else "")]
    unmeant = sorted({name for one in destinations for name in one.attrs} - MEANT)
    if unmeant:
        lines.append(f"attributes that mean nothing here: {', '.join(unmeant)}")
    used, unused = _sets(destinations)
    if unused:
        which = f"set {unused[0]}" if len(unused) == 1 else f"sets {', '.join(map(str, unused))}"
        lines.append(f"no routes for {which}: all destinations are disabled there")
    if used:
        lines += ["routes for the configuration file; fill in the prefix of each, which no list tells:", ""]
    return "\n".join([*lines, *routes(destinations, name_of)])


def _placed(text: str, batch: Sequence[Found]) -> str:
    """What a node says of C{gateway NAME}, with file and line of that one."""
    for one in batch:
        if re.search(rf"\bgateway {re.escape(one.name)}(?![\w.-])", text):
            return f"{one.of.where}: {text}"
    return text


def _sets(destinations: Sequence[Destination]) -> tuple[list[int], list[int]]:
    """@return: the sets that can be used, and those whose destinations are all disabled."""
    used = {one.setid for one in destinations if one.enabled}
    return sorted(used), sorted({one.setid for one in destinations} - used)


def _batches(found: Sequence[Found]) -> Iterator[list[Found]]:
    batch: list[Found] = []
    octets = 0
    for one in found:
        size = len(json.dumps([one.name, dict(one.options)])) + 2
        if batch and (len(batch) == MOST_AT_ONCE or octets + size > MOST_OCTETS):
            yield batch
            batch, octets = [], 0
        batch.append(one)
        octets += size
    yield batch


def read(source: str) -> Iterator[Destination]:
    """@raise UsageError: it cannot be read, or a line or row of it is wrong."""
    if "://" in source:
        for where, row in rows_of_database(
            source, "--dispatcher", "dispatcher", ("setid", "destination"), COLUMNS
        ):
            words = {name: f"{value}".strip() for name, value in row.items()}
            try:
                yield destination(
                    where, words["setid"], words["destination"], words.get("flags") or "0", words.get("priority") or "0",
                    words.get("attrs", ""),
                )  # fmt: skip
            except ValueError as error:
                raise UsageError(f"{where}: {error}") from None
        return
    try:
        with open(source, encoding="utf-8-sig") as file:
            text = file.read()
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{source}: not a text in UTF-8") from None
    try:
        yield from read_list(text, source)
    except ValueError as error:
        raise UsageError(str(error)) from None


def gateways(destinations: Sequence[Destination]) -> tuple[list[Found], dict[tuple[str, str], str]]:
    """
    One gateway for each server, which may be in several sets.

    @return: these, and the name of each by server and transport.
    @raise UsageError: a name stands for two servers.
    """
    found: dict[str, Found] = {}
    name_of: dict[tuple[str, str], str] = {}
    for one in destinations:
        place = one.server.lower(), one.transport
        if place in name_of:
            continue
        other = found.get(one.name)
        if other is not None:
            raise UsageError(
                f"{one.where}: {one.name} is the name of another destination already, at {other.of.where}"
            )
        options: dict[str, Any] = {
            "servers": [one.server],
            "transport": one.transport,
            "enabled": one.enabled,
        }
        if one.channels:
            options["channels"] = one.channels
        if one.flags & NOT_PROBED:
            options["probe"] = 0
        name_of[place] = one.name
        found[one.name] = Found(one.name, options, one)
    return list(found.values()), name_of


def routes(destinations: Sequence[Destination], name_of: Mapping[tuple[str, str], str]) -> list[str]:
    """
    As lines of TOML; a higher priority there is a lower number here.

    The prefix stands in a comment: an empty one would take every number, while one that is missing is a mistake of the file.
    """
    lines: list[str] = []
    for setid in _sets(destinations)[0]:
        members = [one for one in destinations if one.setid == setid]
        ranks = sorted({one.priority for one in members}, reverse=True)
        lines.append(f"# set {setid}")
        for one in sorted(members, key=lambda one: -one.priority):
            lines += [
                "[[route]]",
                f'# prefix = "+49..."        fill in: of the numbers that set {setid} is for',
                f'gateway = "{name_of[one.server.lower(), one.transport]}"',
                f"priority = {ranks.index(one.priority)}",
                f"weight = {one.weight}",
                "added = true                # it comes from the database, not from the file",
                "",
            ]
    return lines[:-1]
