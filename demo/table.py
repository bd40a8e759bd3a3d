"""The live table: drawn over itself on a terminal, one line a look elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TextIO

BAR = 24  # characters of a full workload
_HEAD = f"{'node':<6}{'role':<11}{'state':<9}{'workload':<{BAR + 8}}{'calls':>6}{'served':>8}{'handed on':>11}{'pid':>9}"


def calls(count: int) -> str:
    return f"{count} call" if count == 1 else f"{count} calls"


def bar(workload: float | None, threshold: float) -> str:
    """A bar of the workload with a mark where the threshold is."""
    filled = round(min(max(workload or 0.0, 0.0), 1.0) * BAR)
    cells = ["#" if cell < filled else "." for cell in range(BAR)]
    mark = min(round(threshold * BAR), BAR - 1)
    cells[mark] = "|" if cells[mark] == "." else "+"
    return "".join(cells)


def rows(status: dict[str, Any], served: dict[str, int], pids: dict[str, int]) -> list[str]:
    """
    One line a node.

    @param served: by address, calls since the start; C{pids} by name, 0 for a process that is gone.
    """
    lines = []
    for node in status["nodes"]:
        workload = node["workload"]
        shown = "   ?  " if workload is None else f"{workload:6.2f}"
        pid = pids.get(node["name"], 0)
        lines.append(
            f"{node['name']:<6}{node['role']:<11}{node['state']:<9}"
            f"{bar(workload, status.get('threshold', 1.0))}{shown}  {node['calls'] or 0:>6}"
            f"{served.get(node['address'], 0):>8}{node.get('handed_over') or 0:>11}{pid or 'gone':>9}"
        )
    return lines


def line(seconds: float, status: dict[str, Any], heard: tuple[int, int]) -> str:
    """The same as one line for a log."""
    nodes = "  ".join(
        f"{node['name']} {'?' if node['workload'] is None else format(node['workload'], '.2f')}"
        f" ({calls(node['calls'] or 0)})"
        for node in status["nodes"]
    )
    return f"{seconds:5.0f} s  {nodes}  audio heard both ways {heard[0]}/{heard[1]}"


class Screen:
    """
    @param out: where to; drawn over only when it is a terminal.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.live = out.isatty()
        self._drawn = 0

    def say(self, text: str = "") -> None:
        """A line that stays."""
        self._drawn = 0
        print(text, file=self._out, flush=True)

    def draw(self, lines: Sequence[str]) -> None:
        """Put lines in the place of those drawn before, if nothing was said since."""
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._out.write(up + "".join(f"\x1b[2K{text}\n" for text in lines))
        self._out.flush()
        self._drawn = len(lines)

    def show(
        self,
        seconds: float,
        status: dict[str, Any],
        served: dict[str, int],
        pids: dict[str, int],
        heard: tuple[int, int],
    ) -> None:
        if not self.live:
            self.say(line(seconds, status, heard))
            return
        summary = f"{seconds:.0f} s: {calls(heard[1])} so far, both ends heard each other in {heard[0]}"
        self.draw([_HEAD, *rows(status, served, pids), summary])
