"""The fenced blocks of the pages of docs/, for tests that run or check what stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parent.parent / "docs"

_FENCE = re.compile(r"( *)```+(.*)")
_HEADING = re.compile(r"#+ (.*)")


class Block(NamedTuple):
    """One fenced block: C{language} is what stands behind its fence, C{line} that of its first line of text, from 1."""

    heading: str
    language: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """All fenced blocks of a page in their order, without their indentation."""
    heading, inside, indent, start = "", None, "", 0
    lines: list[str] = []
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        fence = _FENCE.fullmatch(line)
        if inside is not None:
            if fence and not fence[2]:
                yield Block(heading, inside, "".join(f"{text}\n" for text in lines), start)
                inside = None
            else:
                lines.append(line.removeprefix(indent))
        elif fence:
            indent, inside, lines, start = fence[1], fence[2], [], number + 1
        elif title := _HEADING.fullmatch(line):
            heading = title[1]
    assert inside is None, f"{page}: a fence is not closed"


def pages() -> list[Path]:
    """All pages of the documentation, and the README."""
    return [*sorted(DOCS.rglob("*.md")), DOCS.parent / "README.md"]
