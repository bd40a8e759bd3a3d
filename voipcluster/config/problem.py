"""One mistake of a configuration, and how it shows what it found."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection
from typing import NamedTuple

_SHOWN = 60  # characters of a wrong value


class Problem(NamedTuple):
    """One mistake: C{where} is C{file:line} or the flag, C{key} is C{section.key} or empty."""

    where: str
    key: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


def guess(word: str, known: Collection[str]) -> str:
    """The known word that somebody may have meant; empty when none is near."""
    near = difflib.get_close_matches(word.lower(), known, 1, 0.7)
    return near[0] if near else ""


def shown(value: object) -> str:
    """A value as TOML would write it, on one line and not longer than a glance."""
    if isinstance(value, tuple):
        value = list(value)
    try:
        text = json.dumps(value, default=str)
    except ValueError:  # of a number that has too many digits to be written as a decimal one
        return "a huge number"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
