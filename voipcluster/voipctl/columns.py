"""Text in aligned columns: a column at a time, since lists may have a hundred thousand rows; safe to print in any case."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Column = tuple[str, Callable[[Mapping[str, Any]], str], bool]
"""Title, text of a row, and whether it is aligned to the right."""


def clean(value: object) -> str:
    """Text from the network that cannot move the terminal's cursor; C{-} for nothing."""
    if value is None or value == "":
        return "-"
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def cleaned(values: Iterable[object]) -> list[str]:
    """L{clean} of each, looked at together."""
    texts = ["-" if value is None or value == "" else str(value) for value in values]
    return texts if "".join(texts).isprintable() else list(map(clean, texts))


def each(function: Callable[[Any], str], values: Sequence[Any]) -> list[str]:
    """What a function makes of each value, asked once for those that are alike: most columns have few that are not."""
    made = {value: function(value) for value in set(values)}
    return list(map(made.__getitem__, values))


def clock(seconds: float | None) -> str:
    """A duration as C{m:ss} or C{h:mm:ss}."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def table(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows under titles, each column as wide as its widest cell."""
    rows = list(rows)
    return aligned([(title, [cell(row) for row in rows], right) for title, cell, right in columns])


def aligned(columns: Sequence[tuple[str, Sequence[str], bool]]) -> str:
    """The same of whole columns: title, texts, and whether they are aligned to the right."""
    rows = Rows([(title, right) for title, _, right in columns])
    return rows.text(list(rows.of([cells for _, cells, _ in columns])))


class Rows:
    """
    The same of rows that come in parts, under titles of which each is aligned to the right or not.

    How wide the columns are is known from all parts that L{of} was given.
    """

    def __init__(self, titles: Sequence[tuple[str, bool]]) -> None:
        self._titles = titles
        self._widths = [len(title) for title, _ in titles]

    def of(self, columns: Sequence[Sequence[str]]) -> Iterable[tuple[str, ...]]:
        """The rows of one more part, given by its columns."""
        widths = (max(map(len, cells), default=0) for cells in columns)
        self._widths = list(map(max, self._widths, widths))
        return zip(*columns, strict=True)

    def text(self, rows: Sequence[tuple[str, ...]]) -> str:
        # the percent sign formats a hundred thousand rows in half the time of str.format
        line = "  ".join(
            f"%{'' if right else '-'}{width}s"
            for (_, right), width in zip(self._titles, self._widths, strict=True)
        )
        titles = tuple(title for title, _ in self._titles)
        return "\n".join(map(str.rstrip, map(line.__mod__, [titles, *rows])))
