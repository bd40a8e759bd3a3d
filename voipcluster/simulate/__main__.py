"""
Simulate a cluster before there is one: C{python -m voipcluster.simulate}.

0 when it is done, 1 when a goal is missed or something is wrong with what was asked, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from attrs import evolve

from voipcluster.errors import UsageError
from voipcluster.simulate import plot
from voipcluster.simulate.goals import GOALS, SEEDS, named
from voipcluster.simulate.outcome import Outcome, simulate
from voipcluster.simulate.report import row, table, verdicts
from voipcluster.simulate.scenario import POLICIES, Fault, Scenario

DEFAULT = Scenario(nodes=8, duration=5.0, warm_up=5.0)
EPILOG = """
example: eight nodes, two of them twice as fast, at 80, 90 and 95 % of what they can do, beside the rule without guards:

  python -m voipcluster.simulate --nodes 8 --speeds 1,1,1,2 --offered 0.8,0.9,0.95 --policy planned,literal --plot cluster.svg

a fault is NODE:SPEED@FROM-TO: 3:0.1@1-2 slows node 3 to a tenth from the first to the second second, 3:0@1-2 crashes it.
docs/balancing.md explains the figures.
"""


class _Parser(argparse.ArgumentParser):
    """Errors in one line, without the usage in front of them."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"simulate: {message} (see python -m voipcluster.simulate --help)\n")


def _floats(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _policies(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _fault(text: str) -> Fault:
    what, _, when = text.partition("@")
    node, _, speed = what.partition(":")
    begin, _, end = when.partition("-")
    return Fault(int(node), float(begin), float(end), float(speed or 0.0))


_floats.__name__, _seeds.__name__, _fault.__name__ = (
    "list of numbers",
    "list of integers",
    "fault",
)  # how argparse names them in its errors


def command_line() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m voipcluster.simulate",
        description="Simulate a cluster: what it serves, how long requests wait, how evenly the nodes are busy.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_run)
    add = parser.add_argument
    add("--nodes", type=int, default=DEFAULT.nodes, help="how many (%(default)s)")
    add("--speeds", type=_floats, default=(1.0,), help="of the nodes in turn, such as 1,1,2,4 (all alike)")
    add("--rate", type=_floats, help="requests per second of all clients; several with commas")
    add("--offered", type=_floats, help="the same as a share of what all nodes can serve (0.9)")
    add(
        "--service", type=float, default=DEFAULT.service, help="seconds of a request at speed 1 (%(default)s)"
    )
    add("--skew", type=float, default=DEFAULT.skew,
        help="how unevenly clients are attached to nodes: Zipf's exponent, 0 = evenly (%(default)s)")  # fmt: skip
    add(
        "--policy",
        type=_policies,
        default=("planned",),
        help=f"of {', '.join(POLICIES)}; several with commas",
    )
    add("--hand-over-cost", type=float, default=DEFAULT.forward_cost,
        help="of a request, as a share of serving it (%(default)s)")  # fmt: skip
    add(
        "--refuse-cost",
        type=float,
        default=DEFAULT.refuse_cost,
        help="the same for refusing it (%(default)s)",
    )
    add("--report-cost", type=float, default=DEFAULT.report_cost,
        help="the same for reading a report (%(default)s)")  # fmt: skip
    add("--hop-budget", type=int, default=DEFAULT.hop_budget, help="(%(default)s)")
    add("--threshold", type=float, default=DEFAULT.threshold, help="(%(default)s)")
    add("--hard-limit", type=float, default=DEFAULT.hard_limit, help="(%(default)s)")
    add("--period", type=float, default=DEFAULT.period, help="seconds between reports (%(default)s)")
    add("--periodic-only", action="store_true", help="no reports of changes between them")
    add("--report-loss", type=float, default=DEFAULT.report_loss, help="share of reports lost (%(default)s)")
    add("--latency", type=float, default=DEFAULT.latency, help="seconds between nodes, one way (%(default)s)")
    add("--slow-start", type=float, default=DEFAULT.slow_start, help="seconds, after a crash (%(default)s)")
    add("--fault", type=_fault, action="append", default=[], metavar="NODE:SPEED@FROM-TO", help="see below")
    add("--warm-up", type=float, default=DEFAULT.warm_up, help="seconds before measuring (%(default)s)")
    add("--duration", type=float, default=DEFAULT.duration, help="seconds that are measured (%(default)s)")
    add("--seed", type=int, default=DEFAULT.seed, help="the same seed gives the same run (%(default)s)")
    add("--json", action="store_true", help="one JSON object a run instead of a table")
    add("--plot", metavar="FILE", help="draw it as FILE.svg, .png or .pdf; needs the extra voipcluster[plot]")
    _goals_parser(parser)
    return parser


def _goals_parser(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND")
    goals = commands.add_parser("goals", help="the goals of docs/balancing.md, each figure beside its goal")
    goals.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(goal.name for goal in GOALS)}"
    )
    goals.add_argument("--quick", action="store_true", help="small clusters, as in the tests")
    goals.add_argument(
        "--seeds", type=_seeds, default=SEEDS, metavar="SEED,...",
        help=f"each goal must be met with each of them ({','.join(map(str, SEEDS))})",
    )  # fmt: skip
    goals.set_defaults(run=_goals)


def _scenarios(given: argparse.Namespace) -> list[Scenario]:
    """@raise UsageError: such a cluster cannot be."""
    base = Scenario(
        nodes=given.nodes, speeds=given.speeds, skew=given.skew, period=given.period,
        triggered=not given.periodic_only, piggyback=not given.periodic_only, hop_budget=given.hop_budget,
        threshold=given.threshold, hard_limit=given.hard_limit, service=given.service,
        forward_cost=given.hand_over_cost, refuse_cost=given.refuse_cost, report_cost=given.report_cost,
        latency=given.latency, report_loss=given.report_loss, slow_start=given.slow_start, warm_up=given.warm_up,
        duration=given.duration, seed=given.seed, faults=tuple(given.fault),
    )  # fmt: skip
    if given.rate and given.offered:
        raise UsageError("--rate and --offered exclude each other")
    offered = tuple(rate / base.capacity for rate in given.rate) if given.rate else given.offered or (0.9,)
    return [evolve(base, offered=load, policy=policy) for policy in given.policy for load in offered]


def _run(given: argparse.Namespace) -> int:
    scenarios = _scenarios(given)
    if given.plot:
        plot.check(given.plot)
    first = scenarios[0]
    if not given.json:
        print(f"{first.nodes} nodes, {first.capacity:.0f} requests/s at most, seed {first.seed}; times in ms")
    outcomes: list[Outcome] = []
    for scenario in scenarios:
        outcome = simulate(scenario)
        outcomes.append(outcome)
        if given.json:
            print(json.dumps(row(outcome)), flush=True)
    if not given.json:
        print(table(outcomes))
    if given.plot:
        plot.draw(outcomes, given.plot)
        print(f"plot: {given.plot}", file=sys.stderr)
    return 0


def _goals(given: argparse.Namespace) -> int:
    known = {goal.name for goal in GOALS}
    for name in given.names:
        if name not in known:
            raise UsageError(f"goal {name!r} is none of {', '.join(goal.name for goal in GOALS)}")
    missed = 0
    for goal in named(given.names):
        figures = goal.run(given.quick, given.seeds)
        missed += sum(not figure.met for figure in figures)
        print(verdicts(goal.name, goal.anchor, figures), flush=True)
    if missed:
        print(f"{missed} missed")
    return 1 if missed else 0


def main(argv: Sequence[str] | None = None) -> int:
    given = command_line().parse_args(argv)
    try:
        run: Callable[[argparse.Namespace], int] = given.run
        return run(given)
    except UsageError as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
