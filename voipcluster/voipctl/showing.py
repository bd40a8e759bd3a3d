"""Answers on standard output, as text or as JSON; what is to be said besides goes to standard error where programs read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from voipcluster.voipctl import lists
from voipcluster.voipctl.asked import Given
from voipcluster.voipctl.columns import clean


def show(given: Given, answer: Any, text: Callable[[Any], str]) -> int:
    print(json.dumps(answer, indent=2) if given.json else text(answer))
    return 0


def show_rows(given: Given, answer: Any, text: Callable[[Any], str], none: str) -> int:
    """A table; in its place the words for none at all."""
    return show(given, answer, lambda rows: text(rows) if rows else none)


def show_warned(given: Given, answer: Any, text: str) -> int:
    """What was done, and on standard error what about it is hardly meant."""
    for line in (answer or {}).get("warnings", ()):
        print(f"voipctl: warning: {clean(line)}", file=sys.stderr)
    return show(given, answer, lambda _: text)


def show_listing(given: Given, rows: Sequence[Any], text: Callable[[Sequence[Any]], str], none: str) -> int:
    """What L{lists.Shown} made of each row: of the table, or for programs."""
    print(lists.json_list(rows) if given.json else text(rows) if rows else none)
    return 0


def say_rest(given: Given, shown: int, total: int, what: str) -> int:
    """On standard error where the list is for programs."""
    if line := lists.rest(shown, total, what):
        print(line, file=sys.stderr if given.json else sys.stdout)
    return 0


def say_silent(silent: Sequence[str] | None, what: str, missing: str) -> int:
    """On standard error each node that did not answer. @return: the exit status: 1 when there is one."""
    for name in map(clean, silent or ()):
        print(f"voipctl: {what} node {name} {missing}: node {name} is not reachable", file=sys.stderr)
    return 1 if silent else 0
