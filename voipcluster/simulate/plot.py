"""
Outcomes as a picture, SVG or PNG.

Drawn by matplotlib, which is an extra (C{pip install 'voipcluster[plot]'}): nothing else of the project needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voipcluster.errors import UsageError
from voipcluster.simulate.outcome import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = (".svg", ".png", ".pdf")
MISSING = (
    f"a plot needs matplotlib, which is not installed: {sys.executable} -m pip install 'voipcluster[plot]'"
)


def check(path: str) -> None:
    """
    Whether a plot can be written there; asked before hours of simulation.

    @raise UsageError: no, and why.
    """
    target = Path(path)
    if target.suffix.lower() not in KINDS:
        raise UsageError(f"--plot {path}: the name must end with {', '.join(KINDS)}")
    if not target.parent.is_dir():
        raise UsageError(f"--plot {path}: there is no folder {target.parent}")
    _figure_class()


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise UsageError(MISSING) from None
    return Figure


def draw(outcomes: Sequence[Outcome], path: str) -> None:
    """
    Four pictures in one file: goodput, delay, what happened when, and how busy each node was.

    @raise UsageError: matplotlib is missing, or the file cannot be written.
    """
    figure = _figure_class()(figsize=(11, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    by_policy: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_policy.setdefault(outcome.scenario.policy, []).append(outcome)
    _over_load(axes[0][0], by_policy, "goodput", "goodput by capacity")
    _over_load(axes[0][1], by_policy, "p99_services", "p99, in mean services")
    _over_time(axes[1][0], outcomes)
    _by_node(axes[1][1], outcomes)
    try:
        # no date in the file: the same runs give the same picture
        figure.savefig(path, metadata={"Date": None} if path.lower().endswith(".svg") else None)
    except OSError as error:
        raise UsageError(f"--plot {path}: {error.strerror or error}") from None


def _over_load(axes: Axes, by_policy: dict[str, list[Outcome]], name: str, title: str) -> None:
    for policy, outcomes in by_policy.items():
        ordered = sorted(outcomes, key=lambda one: one.scenario.offered)
        axes.plot(
            [one.scenario.offered for one in ordered],
            [getattr(one, name) for one in ordered],
            marker="o",
            label=policy,
        )
    axes.set(xlabel="offered by capacity", title=title, ylim=(0, None))
    axes.legend()
    axes.grid(alpha=0.3)


def _label(outcome: Outcome) -> str:
    return f"{outcome.scenario.policy} at {outcome.scenario.offered:g}"


def _over_time(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        times = [step / 10 for step in range(len(outcome.served_rate))]
        (line,) = axes.plot(times, outcome.served_rate, label=_label(outcome))
        if any(outcome.refused_rate):
            axes.plot(times, outcome.refused_rate, linestyle=":", color=line.get_color())
    axes.set(xlabel="s", title="served per second (dotted: refused)", ylim=(0, None))
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)


def _by_node(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        axes.plot(sorted(outcome.utilisation, reverse=True), label=_label(outcome))
    axes.set(xlabel="nodes, busiest first", title="utilisation", ylim=(0, 1.05))
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
