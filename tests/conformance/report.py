"""
What the runs showed, counted and written down: the totals for the end of script/test, and docs/conformance.md.

To write docs/conformance.md from the results of several runs: C{python -m tests.conformance.report RESULTS...}.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).parent
DOCUMENT = _HERE.parent.parent / "docs" / "conformance.md"

KINDS = {
    "rfc4475": "RFC 4475",
    "rfc5118": "RFC 5118",
    "requirement": "checklist",
    "flow": "flows",
    "attack": "attacks",
}
_TITLES = {
    "rfc4475": "Torture messages (RFC 4475)",
    "rfc5118": "Torture messages for IPv6 (RFC 5118)",
    "requirement": "Checklist",
    "flow": "Call flows",
    "attack": "Attacks",
}
_INTRODUCTION = """\
# Conformance

Written by `script/test`; what is not to be tested is said in `tests/conformance/catalogue.toml`. A row is *met* when every test
that carries its number has passed, with its set-up and end: a real node answered real sockets, and after each test it still
answered within two seconds and had logged no traceback. How such a test is written: [testing.md](testing.md).
"""


class Row(NamedTuple):
    """
    One line of the catalogue.

    @ivar name: its id; C{section}: of which document; C{not_applicable}: why it does not concern us, or empty.
    @ivar extra: sent, but not counted.
    """

    kind: str
    name: str
    section: str
    text: str
    not_applicable: str = ""
    extra: bool = False


class Shown(NamedTuple):
    """What tests showed of a row: their names, and whether all of them passed."""

    tests: tuple[str, ...]
    passed: bool


_NAMED = 20  # rows that are named when no test ran
Results = dict[tuple[str, str], Shown]


def catalogue() -> list[Row]:
    """All rows, in the order of the documents."""
    rows = []
    for file in ("messages.toml", "catalogue.toml"):
        with (_HERE / file).open("rb") as opened:
            tables = tomllib.load(opened)
        for kind, entries in tables.items():
            rows += [
                Row(
                    kind, e["id"], e["section"], e["text"], e.get("not_applicable", ""), e.get("extra", False)
                )
                for e in entries
            ]
    return rows


def read(files: Iterable[Path]) -> Results:
    """
    What the tests have recorded (L{tests.conformance.marks}).

    @raise ValueError: a mark that the catalogue does not know.
    """
    known = {(row.kind, row.name) for row in catalogue()}
    found: dict[tuple[str, str], dict[str, bool]] = {}
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            for kind, name in record["marks"]:
                if (kind, name) not in known:
                    raise ValueError(
                        f"{record['test']} is marked with {kind} {name}, which is in no catalogue"
                    )
                found.setdefault((kind, name), {})[record["test"]] = record["passed"]
    return {row: Shown(tuple(sorted(tests)), all(tests.values())) for row, tests in found.items()}


def totals(results: Results, rows: Iterable[Row]) -> Iterator[str]:
    """One line a kind: how many rows are met, of those that concern us; which are not, and which do not."""
    rows = list(rows)
    for kind, title in KINDS.items():
        ours = [row for row in rows if row.kind == kind and not row.extra]
        if not ours:
            continue
        wanted = [row.name for row in ours if not row.not_applicable]
        met = [name for name in wanted if (kind, name) in results and results[kind, name].passed]
        failed = [name for name in wanted if (kind, name) in results and name not in met]
        untested = [name for name in wanted if (kind, name) not in results]
        parts = [f"conformance: {title} {len(met)}/{len(wanted)}"]
        parts += [f"failed: {_ranges(failed)}"] if failed else []
        parts += [f"no test ran: {_ranges(untested, _NAMED)}"] if untested else []
        left_out = [row.name for row in ours if row.not_applicable]
        parts += [f"do not apply: {_ranges(left_out)}"] if left_out else []
        yield "; ".join(parts)


def _ranges(names: list[str], most: int = 1000) -> str:
    """C{1-4, 7}: numbers that follow one another in short; C{most}: how many parts are named."""
    parts: list[str] = []
    for name in names:
        first, _, last = parts[-1].partition("-") if parts else ("", "", "")
        if name.isdigit() and (last or first).isdigit() and int(name) == int(last or first) + 1:
            parts[-1] = f"{first}-{name}"
        else:
            parts.append(name)
    more = [f"and {len(parts) - most} more"] if len(parts) > most else []
    return ", ".join(parts[:most] + more)


def document(results: Results, rows: Iterable[Row], old: str = "") -> str:
    """
    The text of docs/conformance.md.

    @param old: its former text, of which rows that no test of this run was about keep what they say.
    """
    rows = list(rows)
    kept = {(m[1], m[2]): (m[3], m[4]) for m in re.finditer(_LINE, old, re.MULTILINE)}
    merged = dict(results)
    for (kind, name), (tests, result) in kept.items():
        if (kind, name) not in results and result.startswith(("met", "not met")):
            merged[kind, name] = Shown(tuple(re.findall(r"`([^`]+)`", tests)), result.startswith("met"))
    lines = [_INTRODUCTION]
    lines += [f"- {line.removeprefix('conformance: ')}" for line in totals(merged, rows)]
    for kind, title in _TITLES.items():
        lines += ["", f"## {title}", "", "| | section | what | test | result |", "|---|---|---|---|---|"]
        for row in (row for row in rows if row.kind == kind):
            shown = merged.get((kind, row.name))
            tests = _tests(shown.tests) if shown else ""
            result = "met" if shown and shown.passed else "not met" if shown else "not tested"
            if row.not_applicable:
                tests, result = "", f"does not apply: {row.not_applicable}"
            text = row.text.replace("|", "\\|")
            lines.append(
                f'| <a id="{kind}-{row.name}"></a>{row.name} | {row.section} | {text} | {tests} | {result} |'
            )
    return "\n".join([*lines, ""])


_LINE = r'^\| <a id="(\w+?)-([^"]+)"></a>.* \| (.*?) \| (.*?) \|$'


def _tests(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name.removeprefix('tests.')}`" for name in names)


def write(results: Results, whole: bool) -> None:
    """
    Bring docs/conformance.md up to date, if it can be written.

    @param whole: the run was of all tests, so that what it did not show is not shown by any.
    """
    old = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
    new = document(results, catalogue(), "" if whole else old)
    if new != old:
        try:
            DOCUMENT.write_text(new, encoding="utf-8")
        except OSError as error:
            print(f"conformance: {DOCUMENT} was not written: {error.strerror}")


if __name__ == "__main__":
    shown = read(map(Path, sys.argv[1:]))
    write(shown, whole=False)
    for line in totals(shown, catalogue()):
        print(line)
