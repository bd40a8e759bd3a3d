"""C{voipctl gateway}: its words, and its answers as text."""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from voipcluster.errors import UsageError
from voipcluster.voipctl.columns import Column, clean, table

Given = argparse.Namespace
VERBS = (
    ("list", "list the gateways: state, channels in use, last cause, answer-seizure ratio"),
    ("show", "show one gateway with all its options, as each node sees it"),
    ("add", "add a gateway to those of the database"),
    ("set", "change options of a gateway while the nodes run"),
    ("enable", "let calls use a gateway again"),
    ("disable", "let no new call use a gateway; running calls go on"),
    ("rm", "remove a gateway from the database"),
)


def add_arguments(
    commands: Any, run: Callable[[Given], int], add_common: Callable[[argparse.ArgumentParser], None]
) -> None:
    """
    @param commands: of the parser.
    @param run: for each verb, which is C{gateway_command}.
    @param add_common: adds what every command takes.
    """
    words = ", ".join(verb for verb, _ in VERBS)
    text = f"change or show the gateways: {words}"
    gateway = commands.add_parser("gateway", help=text, description="The gateways of the cluster.")
    add_common(gateway)
    verbs = gateway.add_subparsers(
        dest="gateway_command", required=True, metavar="|".join(verb for verb, _ in VERBS)
    )
    for verb, help_text in VERBS:
        command = verbs.add_parser(
            verb, help=help_text, description=f"{help_text[:1].upper()}{help_text[1:]}."
        )
        command.set_defaults(run=run)
        add_common(command)
        if verb == "list":
            continue
        command.add_argument("name", metavar="NAME")
        if verb in ("add", "set"):
            command.add_argument(
                "options",
                nargs="*",
                metavar="KEY=VALUE",
                help="such as channels=30 or incoming.numbers=users,+49",
            )
            command.add_argument(
                "--password-stdin",
                action="store_true",
                help="read our password at the gateway from standard input",
            )


def options_of(texts: Sequence[str]) -> dict[str, Any]:
    """
    Take C{KEY=VALUE} apart; a value is TOML, or a bare text.

    @raise UsageError: no key or no equals sign, or a key twice.
    """
    options: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{text[:80]!r} is not KEY=VALUE")
        if key in options:
            raise UsageError(f"{key} is given twice")
        options[key] = _value(value)
    return options


def _value(text: str) -> Any:
    try:
        document = tomllib.loads(f"v = {text}")
    except (ValueError, RecursionError):
        return text
    value = document.get("v")
    if type(value) is int and str(value) != text:
        return text  # such as +49, which is a number of another kind
    return value if set(document) == {"v"} and isinstance(value, str | int | float | bool | list) else text


def _text(key: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: clean(row.get(key))


def _channels(row: Mapping[str, Any]) -> str:
    return f"{row.get('channels', 0)}/{row['most']}" if row.get("most") else f"{row.get('channels', 0)}"


def _asr(row: Mapping[str, Any]) -> str:
    return "-" if row.get("asr") is None else f"{row['asr']:.0%}"


def _why(row: Mapping[str, Any]) -> str:
    return clean(row.get("reason") if row.get("state") == "down" else "")


def listing(answer: Sequence[Mapping[str, Any]]) -> str:
    columns: list[Column] = [
        ("GATEWAY", _text("name"), False),
        ("KIND", _text("kind"), False),
        ("STATE", _text("state"), False),
        ("CHANNELS", _channels, True),
        ("SEIZURES", _text("seizures"), True),
        ("ASR", _asr, True),
        ("REFUSED", _text("refused"), True),
        ("LAST CAUSE", _text("last_cause"), False),
        ("REGISTERED", _text("registration"), False),
        ("DECLARED", _text("where"), False),
        *([("WHY", _why, False)] if any(_why(row) != "-" for row in answer) else []),
    ]
    return table(columns, answer)


def one(answer: Mapping[str, Any]) -> str:
    """The row, how each node sees it, and the options that it has."""
    nodes: list[Column] = [
        ("NODE", _text("node"), False),
        ("STATE", _text("state"), False),
        ("SEIZURES", _text("seizures"), True),
        ("ANSWERED", _text("answers"), True),
        ("REFUSED", _text("refused"), True),
        ("REGISTERED", _text("registration"), False),
        ("WHY", _why, False),
    ]
    options = [
        f"{clean(key)}={clean(_written(value))}"
        for key, value in _flat(answer.get("options", {}))
        if value not in ("", [])
    ]
    parts = [listing([answer]), table(nodes, answer.get("nodes") or []), "\n".join(options)]
    return "\n\n".join(part for part in parts if part)


def removed(name: str, answer: Mapping[str, Any] | None) -> str:
    """A gateway of the file stays, and only what was changed of it is gone."""
    if answer and answer.get("left"):
        return f"{name}: its changes are removed; it is that of the configuration file again"
    return f"{name}: removed"


def _flat(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """C{incoming.numbers} for a key within another one, as C{gateway set} takes it."""
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", of) for inner, of in value.items())
        else:
            yield key, value


def _written(value: object) -> str:
    """As TOML has it."""
    return value if isinstance(value, str) else json.dumps(value)
