"""
One node under more than it can do: voipcluster beside Kamailio, in the same run.

Run: C{python -m bench.overload [model|refusal|processes|steady|recovery|slowed] [--loads 2,3,10] [--share 0.1] [--seed 2]
[--only voipcluster|kamailio] [--hogs 1,9]}, as root for all but C{model}. Each prints its figures beside their goals, and
fails when one is missed.

C{model}: goodput of one node with upstreams that take part in overload control (RFC 7339, RFC 7415), false refusals and
recovery on virtual time, with the real controller (tests/simulation/overload_model.py).

C{refusal}: what a refusal takes beside a call that is served (bench/refusal.py).

C{processes}: a real node that is held to a share of a CPU, under several times its capacity, by the scale of a twin that runs at
the same time (bench/twin.py), and Kamailio beside it (bench/rounds.py).

C{steady}, C{recovery}: such a node (bench/steady.py): refusals at 0.90 of its capacity, and what is taken behind a minute of five
times.

C{slowed}: three such nodes, one of which a CPU hog slows to half of its speed, or nine to a tenth (bench/slowed.py).
"""

from __future__ import annotations

import argparse
import sys

from bench.common import enter_namespace
from bench.overloaded import MEASURE, PROXIES, SETTLE, Plan
from bench.refusal import refusal
from bench.rounds import processes
from bench.slowed import slowed
from bench.steady import recovery, steady
from tests.simulation.overload_model import Load, Model
from voipcluster.balance.throttle import LOSS, RATE


def model(seed: int) -> bool:
    """The table of goodput on virtual time."""
    reached = True
    print("goodput of one node that can take 1000 calls/s, as a share of that; refusing costs 0.05 of a call")
    print(f"{'upstreams':28}" + "".join(f"{times:>8g}" for times in (0.9, 1.1, 2, 5, 10)))
    for title, algorithms in (
        ("RFC 7339 loss", (LOSS,)),
        ("RFC 7415 rate", (LOSS, RATE)),
        ("nobody takes part", ()),
        ("without control", None),
    ):
        cells = []
        for times in (0.9, 1.1, 2.0, 5.0, 10.0):

            def rate(now: float, times: float = times) -> float:
                return (0.8 if now < 5.0 else times) * 1000.0

            load = Load(
                rate=rate,
                until=25.0,
                algorithms=algorithms or (),
                cooperate=bool(algorithms),
                controlled=algorithms is not None,
                seed=seed,
            )
            goodput = Model(load).run().goodput(10, 25)
            cells.append(goodput)
            reached = reached and (not algorithms or times < 1 or goodput >= 0.95)
        print(f"{title:28}" + "".join(f"{cell:8.3f}" for cell in cells), flush=True)
    steady = Model(Load(rate=lambda now: 900.0, until=120.0, algorithms=(LOSS,), seed=seed)).run()
    false = steady.total("refused", 0, 120) + steady.total("held_back", 0, 120)
    print(f"false refusals in 120 s of 0.90 of the capacity: {false} (goal 0)")

    def surge(now: float) -> float:
        return 5000.0 if 5.0 <= now < 65.0 else 800.0

    after = Model(Load(rate=surge, until=80.0, algorithms=(LOSS,), seed=seed)).run()
    lost = sum(after.total(name, 66, 80) for name in ("refused", "held_back", "lost"))
    taken = 1 - lost / after.total("offered", 66, 80)
    print(
        f"from the first second behind 60 s of 5 times the capacity: {taken:.4f} of what is offered (goal 0.99)"
    )
    return reached and not false and taken >= 0.99


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = ("model", "refusal", "processes", "steady", "recovery", "slowed")
    parser.add_argument("what", nargs="?", choices=what, default="model")
    parser.add_argument("--loads", default="2,3,10", help="times the capacity")
    parser.add_argument("--share", type=float, default=0.1, help="of one CPU")
    parser.add_argument("--only", choices=tuple(PROXIES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--settle", type=int, default=SETTLE, help="seconds before what is measured")
    parser.add_argument("--measure", type=int, default=MEASURE, help="seconds")
    parser.add_argument("--rounds", type=int, default=3, help="of processes (the median counts) and slowed")
    parser.add_argument("--seconds", type=int, default=60, help="of steady, and of the flood before recovery")
    parser.add_argument("--hogs", default="1,9", help="of slowed: busy processes beside a node")
    options = parser.parse_args()
    if options.what == "model":
        sys.exit(0 if model(options.seed) else 1)
    enter_namespace()
    if options.what == "refusal":
        sys.exit(0 if refusal() else 1)
    names = tuple(PROXIES)
    if options.only or options.what != "processes":
        names = (options.only or "voipcluster",)
    loads = tuple(float(one) for one in options.loads.split(","))
    plan = Plan(
        names,
        loads,
        options.share,
        settle=options.settle,
        measure=options.measure,
        seconds=options.seconds,
        rounds=options.rounds,
        hogs=tuple(int(one) for one in options.hogs.split(",")),
    )
    run = {"processes": processes, "steady": steady, "recovery": recovery, "slowed": slowed}[options.what]
    sys.exit(0 if run(plan) else 1)


if __name__ == "__main__":
    main()
