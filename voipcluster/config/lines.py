"""In which line of a TOML text each key stands; the standard reader does not tell."""

from __future__ import annotations

import re
import tomllib

KeyPath = tuple[str, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')[ \t]*""")
# What a value is made of, longest first: strings over lines, strings, a comment, a bracket, a line's end, the rest.
_PIECE = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*|[\[{]|[\]}]|\n|[^"'#\[\]{}\n]+''',
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """
    The line, counted from 1, of each table and key of C{text}, which must be TOML that L{tomllib} takes.

    Keys within an inline table are not listed; L{line_of} finds the key that holds it. The tables of an array C{[[gateway]]}
    are C{gateway}, C{#0}, C{gateway}, C{#1} and so on, and what is in them is behind that; C{gateway} alone is the first.
    """
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    arrays: dict[KeyPath, int] = {}  # how many tables each array has so far
    at = _skip(_BLANK, text, 0)
    while at < len(text):
        line = text.count("\n", 0, at) + 1
        if text[at] == "[":
            opened = 2 if text.startswith("[[", at) else 1
            table, at = _dotted_key(text, at + opened)
            at += opened
            _note(lines, (), table, line)
            if opened == 2 or arrays:
                table = _within_arrays(arrays, table, opened == 2)
                _note(lines, (), table, line)
        else:
            key, at = _dotted_key(text, at)
            _note(lines, table, key, line)
            if arrays:
                _note(lines, tuple(part for part in table if part[:1] != "#"), key, line)
            at = _end_of_value(text, at + 1)
        at = _skip(_BLANK, text, at)
    return lines


def _within_arrays(arrays: dict[KeyPath, int], table: KeyPath, begins: bool) -> KeyPath:
    """
    The path of a table with the number of the element behind each array on the way: the last one that was begun (TOML 1.0).

    @param begins: whether it is the head of one more element.
    """
    path: KeyPath = ()
    for part in table[:-1]:
        path = (*path, part)
        if path in arrays:
            path = (*path, f"#{arrays[path] - 1}")
    path = (*path, table[-1])
    if begins:
        arrays[path] = arrays.get(path, 0) + 1
    return (*path, f"#{arrays[path] - 1}") if path in arrays else path


def _note(lines: dict[KeyPath, int], table: KeyPath, key: KeyPath, line: int) -> None:
    """A dotted key makes each table on the way to it."""
    for size in range(1, len(key) + 1):
        lines.setdefault(table + key[:size], line)


def line_of(lines: dict[KeyPath, int], path: KeyPath) -> int:
    """The line of a key, or of the nearest table above it; 1 when there is none."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 1


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()


def _dotted_key(text: str, at: int) -> tuple[KeyPath, int]:
    parts: list[str] = []
    while match := _KEY.match(text, at):
        part = match[0].strip(" \t")
        parts.append(str(tomllib.loads(f"v = {part}")["v"]) if part[0] in "\"'" else part)
        at = match.end()
        if not text.startswith(".", at):
            break
        at += 1
    return tuple(parts), at


def _end_of_value(text: str, at: int) -> int:
    depth = 0
    while match := _PIECE.match(text, at):
        piece = match[0]
        if piece == "\n" and not depth:
            break
        depth += (piece in "[{") - (piece in "]}")
        at = match.end()
    return at
