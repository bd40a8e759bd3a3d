"""A configuration written as TOML, each option with what it is, what it may be, and whether a running node takes a new value."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from voipcluster.config.gateways import table_of
from voipcluster.config.options import SECTIONS, Config, Option, options
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.routing import Route

WIDTH = 120  # characters of a line of comment
HIDDEN = "(hidden)"
_MARKUP = re.compile(r"[A-Z]\{([^}]*)\}")
_HEAD = """\
The configuration of voipcluster. The file is the same on every node; a line that is left out keeps its default, and flags win
over it. "live" says that a running node takes a new value when it reads the file again (voipctl reload); everything else takes
effect at its next start."""

Values = dict[str, Any]
"""By section the values by key, as JSON has them; C{gateway} and C{route} are lists of tables."""


def values_of(config: Config) -> Values:
    """
    What a node goes by; no secret is among it. Of gateways and routes only what is not a default.
    """
    values: Values = {section: {} for section in SECTIONS}
    for option in options():
        value = getattr(getattr(config, option.section), option.key)
        values[option.section][option.key] = HIDDEN if option.kind.secret and value else _plain(option, value)
    return values | {
        "gateway": [_gateway(gateway) for gateway in config.gateways],
        "route": [_route(route) for route in config.routes],
    }


def _plain(option: Option, value: Any) -> Any:
    if option.name == "media.ports":
        return "{}-{}".format(*value)
    return list(value) if isinstance(value, tuple) else value


def _gateway(gateway: Gateway) -> dict[str, Any]:
    defaults = table_of(Gateway(gateway.name))
    table = {key: value for key, value in table_of(gateway).items() if value != defaults[key]}
    return {"name": gateway.name, **table, **({"password": HIDDEN} if gateway.password else {})}


def _route(route: Route) -> dict[str, Any]:
    table = {
        "prefix": route.prefix,
        "gateway": route.gateway,
        "priority": route.priority,
        "weight": route.weight,
        "strip": route.rewriting.strip,
        "prepend": route.rewriting.prepend,
        "stop": route.stop,
        "caller": route.caller.shown,
        "callers": list(route.caller.allowed),
    }
    usual = {
        "priority": 1,
        "weight": 1,
        "strip": 0,
        "prepend": "",
        "stop": False,
        "caller": "",
        "callers": [],
    }
    return {key: value for key, value in table.items() if key not in usual or value != usual[key]}


def written(values: Mapping[str, Any]) -> str:
    """
    As TOML that a node takes, but for what is hidden.

    @param values: as L{values_of} gives them, perhaps of a node of another version: what is unknown here stands without comment.
    """
    known = {option.name: option for option in options()}
    lines = [f"# {line}" for line in _HEAD.splitlines()]
    for section, content in values.items():
        if isinstance(content, list):
            for table in content:
                lines += ["", f"[[{section}]]", *(f"{key} = {toml(value)}" for key, value in table.items())]
            continue
        lines += ["", *_comment(_purpose(section)), f"[{section}]"]
        for key, value in content.items():
            option = known.get(f"{section}.{key}")
            lines += ["", *(_explained(option) if option is not None else ()), f"{key} = {toml(value)}"]
    return "\n".join(lines) + "\n"


def toml(value: object) -> str:
    """One value; a table stands in one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    # the escapes of JSON are among those of TOML, but for a DEL, which JSON leaves as it is
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _purpose(section: str) -> str:
    made_from = SECTIONS.get(section)
    text = _MARKUP.sub(r"\1", (made_from.__doc__ or "") if made_from is not None else "")
    return " ".join(text.strip().partition("\n\n")[0].split())


def _explained(option: Option) -> Iterator[str]:
    yield from _comment(option.doc)
    default = "" if option.default == "" else f", default {toml(_plain(option, option.default))}"
    yield from _comment(f"({option.kind.allowed}{default}; {'live' if option.live else 'next start'})")


def _comment(text: str) -> Iterator[str]:
    yield from (f"# {line}" for line in textwrap.wrap(text, WIDTH, break_long_words=False))


def defaults() -> str:
    """Every option with its default, as C{twistd voipcluster --show-defaults} prints it."""
    return written(values_of(Config()))
