"""A call as a ladder of text: a column for everybody who took part, an arrow for each message."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from voipcluster.voipctl.columns import clean

NARROWEST, WIDEST = 80, 120  # characters of a line
TIME = 9  # of them for the time
LEAST = 14  # between two columns: less leaves no room for a label, and the steps become lines of words

Row = Mapping[str, Any]


def drawn(trace: Row, width: int, messages: bool = False) -> str:
    """
    @param trace: what a node answers, see L{voipcluster.web.view.INodeView.trace}.
    @param width: of the terminal; what is drawn keeps to L{NARROWEST} to L{WIDEST} characters.
    @param messages: write each message out below its step.
    """
    width = min(WIDEST, max(NARROWEST, width)) - 1
    return "\n".join(_lines(trace, width, messages))


def _lines(trace: Row, width: int, messages: bool) -> Iterator[str]:
    begin = datetime.fromtimestamp(trace["begin"]).astimezone()
    yield f"call {clean(trace['call_id'])}, {begin.isoformat(' ', 'milliseconds')}"
    names = [
        f"node {clean(one['name'])}" if one["node"] else clean(one["name"]) for one in trace["participants"]
    ]
    gap = (width - TIME) // max(1, len(names))
    drawing = _Columns(names, gap, width) if gap >= LEAST else None
    if drawing is not None and names:
        yield from drawing.head()
    for row in sorted([*trace["steps"], *trace["events"]], key=lambda row: float(row["at"])):
        if "from" not in row:
            yield from _event(row, width)
            continue
        yield from _words(row, names) if drawing is None else drawing.step(row)
        if messages and "text" in row:
            yield from _message(str(row["text"]))
    if not trace["steps"]:
        yield ""
        yield "No message of it was traced: this is what the nodes know of any call. voipctl trace on keeps those to come."
    if trace.get("silent"):
        yield f"missing is what these nodes know, which do not answer: {', '.join(map(clean, trace['silent']))}"


def _time(row: Row) -> str:
    return f"{row['after']:+.3f}".rjust(TIME - 1) + " "


def _event(row: Row, width: int) -> Iterator[str]:
    text = f"* {clean(row['node'])}: {clean(row['text'])}"
    lines = textwrap.wrap(text, width - TIME, subsequent_indent="    ", break_on_hyphens=False)
    for number, line in enumerate(lines):
        yield (" " * TIME if number else _time(row)) + line


def _labels(row: Row) -> Iterator[str]:
    """What an arrow says, ever shorter: what is sent, to which request it belongs, how, and what is special about it."""
    said, special = (
        clean(row["label"]),
        (" again" if row["repeat"] else "") + (" lost?" if row["unseen"] else ""),
    )
    method = str(row["cseq"]).partition(" ")[2]
    of = f" ({clean(method)})" if method and not said.startswith(method) else ""
    yield f"{said}{of}{special} {clean(row['transport'])}"
    yield f"{said}{of}{special}"
    yield f"{said}{special}"


def _words(row: Row, names: Sequence[str]) -> Iterator[str]:
    """For more participants than there is room for columns."""
    way = f"{names[row['from']]} -> {names[row['to']]}"
    yield f"{_time(row)}{way}: {next(_labels(row))}"


def _message(text: str) -> Iterator[str]:
    """The whole message; what would move the cursor is escaped."""
    for line in text.replace("\r\n", "\n").rstrip("\n").split("\n"):
        yield (
            " " * TIME
            + "  "
            + "".join(
                one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in line
            )
        )
    yield ""


class _Columns:
    """
    @param names: of the participants; C{gap}: characters from one column to the next; C{width}: of all of it.
    """

    def __init__(self, names: Sequence[str], gap: int, width: int) -> None:
        self._names, self._gap, self._width = names, gap, width
        self._at = [TIME + gap // 2 + gap * number for number in range(len(names))]

    def head(self) -> Iterator[str]:
        """Names above their columns; those that are too long are told below by number."""
        short = [
            name if len(name) < self._gap else f"[{number + 1}]" for number, name in enumerate(self._names)
        ]
        for number, name in enumerate(self._names):
            if short[number] != name:
                yield f"{short[number]} {name}"
        line = ""
        for at, name in zip(self._at, short, strict=True):
            line = line.ljust(at - len(name) // 2) + name
        yield line
        yield self._bars()

    def _bars(self) -> str:
        line = ""
        for at in self._at:
            line = line.ljust(at) + "|"
        return line

    def step(self, row: Row) -> Iterator[str]:
        start, end = self._at[row["from"]], self._at[row["to"]]
        bars = _time(row) + self._bars()[TIME:]
        left, right = min(start, end), max(start, end)
        # a node that reaches itself over an address of its own has an arrow without a length
        room = (right - left - 4 if left != right else self._gap) - 1
        text = next((label for label in _labels(row) if len(label) <= room), "")
        if not text:
            text = f"{list(_labels(row))[-1][: room - 2]}.."
        if left == right:
            yield (bars[: left + 1] + f"<> {text}")[: self._width]
            return
        line = f" {text} ".center(right - left - 2, "-")
        yield bars[: left + 1] + (f"{line}>" if end > start else f"<{line}") + bars[right:]
