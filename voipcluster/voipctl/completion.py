"""What lets a shell complete voipctl's words, and the names of files where a file is wanted."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import shtab

_KINDS = {"FILE": shtab.FILE, "DSN_OR_CSV": shtab.FILE, "DIR": shtab.DIRECTORY}  # by metavar


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for that shell."""
    for action in _actions(parser):
        if action.metavar in _KINDS:
            action.complete = _KINDS[action.metavar]  # type: ignore[attr-defined]  # this is how shtab is told
    return str(shtab.complete(parser, shell))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Of a parser and of those of its subcommands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in set(action.choices.values()):
                yield from _actions(inner)
