"""Outcomes as a table for people, and as rows for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from voipcluster.simulate.goals import Figure
from voipcluster.simulate.outcome import Outcome

TITLES = (
    "POLICY", "OFFERED", "GOODPUT", "SERVED", "REFUSED", "LOST", "MEDIAN", "P99", "HANDED ON", "LEAST", "HOPS 0/1/2/3+",
    "IMBALANCE", "REPORTS/S",
)  # fmt: skip


def table(outcomes: Iterable[Outcome]) -> str:
    """One line a run; times in ms, shares of what was offered, goodput of the capacity."""
    lines = [TITLES, *(_line(outcome) for outcome in outcomes)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(TITLES))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if at else text.ljust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _line(outcome: Outcome) -> tuple[str, ...]:
    hops = (*outcome.hops, 0.0, 0.0, 0.0)
    return (
        outcome.scenario.policy,
        f"{outcome.scenario.offered:.2f}",
        f"{outcome.goodput:.3f}",
        f"{outcome.served:.4f}",
        f"{outcome.refused:.4f}",
        f"{outcome.lost:.4f}",
        f"{outcome.median * 1000:.1f}",
        f"{outcome.p99 * 1000:.1f}",
        f"{outcome.forwarded:.3f}",
        f"{outcome.least:.3f}",
        "/".join(f"{share:.3f}" for share in (*hops[:3], sum(hops[3:]))),
        f"{outcome.imbalance:.3f}",
        f"{outcome.reports:.1f}",
    )


def row(outcome: Outcome) -> dict[str, Any]:
    """What C{--json} prints of a run."""
    names = (
        "served",
        "refused",
        "lost",
        "goodput",
        "median",
        "p99",
        "forwarded",
        "least",
        "imbalance",
        "reports",
    )
    return {
        "policy": outcome.scenario.policy,
        "offered": outcome.scenario.offered,
        "seed": outcome.scenario.seed,
        **{name: round(getattr(outcome, name), 6) for name in names},
        "hops": [round(share, 6) for share in outcome.hops],
        "utilisation": [round(share, 4) for share in outcome.utilisation],
        "digest": outcome.digest,
    }


def verdicts(name: str, anchor: str, figures: Sequence[Figure]) -> str:
    """A goal's figures beside what they must be: of several seeds the worst one, and all of them."""
    lines = [f"{name}  (published: {anchor})"]
    for figure in figures:
        if figure.goal is None:
            wanted = "shown"
        else:
            wanted = f"goal {'>=' if figure.at_least else '<='} {figure.goal:g}: {'met' if figure.met else 'MISSED'}"
        seeds = (
            f"; by seed {' '.join(f'{value:.4f}' for value in figure.values)}"
            if len(figure.values) > 1
            else ""
        )
        lines.append(f"  {figure.worst:8.4f}  {figure.text}  [{wanted}{seeds}]")
    return "\n".join(lines)
