"""
CPU per relayed RTP packet: this relay in the kernel and in user space beside rtpengine in user space, same load, in turns.

Run: C{python -m bench.relay [--calls 50,100,200]}. Needs gcc and Debian's C{rtpengine}, and root for the kernel path; as
root everything happens in its own network namespace. One call is G.711 both ways: 100 packets a second. The figure is the
CPU time of relay and load together (C{/proc/PID/task/*/schedstat}) for each packet that came out, less what the same load
costs when it sends straight to the other party, in its turn of the same round: so what the kernel does for the relay
counts, in whoever's time it falls. Median and lowest over one-second slices; beside it what the relay's own process used.
Delays are over those of the load alone, too.

C{--hosts} puts caller and callee into network namespaces of their own, joined to the relay's by veth: then the load alone is what
routing costs, and a packet of the kernel path is forwarded instead of going through the loopback interface. C{--memory 1000}
tells what a call takes of memory, of the process and of the kernel, see C{relay_memory.py}.

Relay and load share one CPU: on two virtual CPUs each packet would wake the other one, which costs more than either
relay does (C{--split} shows it). C{--kernel-target} and C{--userspace-target} make the exit status 1 when the ratio to rtpengine
is above them, C{--plot FILE} draws CPU against calls, C{--keep FILE} adds the results to a file of JSON lines, and
C{--from FILE} shows what is in it instead of measuring.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from attrs import asdict, define, field

from bench import relay_memory
from bench.common import compiled, enter_namespace, version_of
from bench.relays import (
    KERNEL,
    LOAD,
    NAMES,
    RTPENGINE,
    USERSPACE,
    Leg,
    Places,
    cpu_us,
    hosts,
    pinned,
    running,
    start_ours,
    start_rtpengine,
)

OVERRUN = 0.05  # of the packets lost
WARM = 1  # seconds: latching, and caches


@define
class Figures:
    """
    What was measured of one relay with so many calls.

    @ivar whole: us of CPU per packet in each second, of relay and load; C{own}: those of the relay's process.
    @ivar delays: p50 and p99 of each second, in us.
    """

    whole: list[float] = field(factory=list)
    own: list[float] = field(factory=list)
    delays: list[tuple[int, int]] = field(factory=list)
    lost: int = 0
    memory_kb: float = 0.0


def measure(
    load: Path, pid: int | None, legs: Sequence[Leg], places: Places, seconds: int, cpu: int, into: Figures
) -> None:
    """One turn of a relay, or of the load alone: a process of the load on each host."""
    parties = (0, 1) if places.apart else (0,)
    with ExitStack() as stack:
        loads = []
        for party in parties:
            feed = load.with_name(f"legs{party}")
            feed.write_text(
                "".join(leg.line(places) for leg in legs if not places.apart or leg.party == party)
            )
            lines = stack.enter_context(feed.open())
            command = [*places.inside[party], load, WARM + seconds + 1]
            child = stack.enter_context(
                running(command, stdin=lines, stdout=subprocess.PIPE, preexec_fn=pinned(cpu))
            )
            loads.append((child.pid, child.stdout))
        before: tuple[float, float, int] | None = None
        sent = received = 0
        for second, told in enumerate(zip(*(lines for _, lines in loads), strict=True), start=1):
            columns = list(zip(*([int(n) for n in line.split()] for line in told), strict=True))
            sent, received, median, late = sum(columns[0]), sum(columns[1]), max(columns[2]), max(columns[3])
            own = 0.0 if pid is None else cpu_us(pid)
            now = own, own + sum(cpu_us(child) for child, _ in loads), received
            if before is not None and now[2] > before[2]:
                packets = now[2] - before[2]
                into.own.append((now[0] - before[0]) / packets)
                into.whole.append((now[1] - before[1]) / packets)
                into.delays.append((median, late))
            if second >= WARM:
                before = now
            if second == WARM + seconds:
                break  # while its threads are still there to be looked at
        into.lost += sent - received


def turn(
    name: str, calls: int, seconds: int, python: str, cpu: int, folder: str, places: Places, into: Figures
) -> dict[str, Any]:
    """One turn of one relay, which lives for no longer: rules of nftables would cost the others' packets something."""
    legs = places.direct(calls)
    told: dict[str, Any] = {}
    with ExitStack() as stack:
        pid = None
        if name == RTPENGINE:
            pid, legs, into.memory_kb = start_rtpengine(stack, calls, folder, places)
        elif name != LOAD:
            path = "kernel" if name == KERNEL else "userspace"
            pid, legs, told = start_ours(stack, calls, path, places, python)
            into.memory_kb = told["memory_kb"]
        measure(Path(folder, "rtpload"), pid, legs, places, seconds, cpu, into)
    return told


def possible() -> list[str]:
    """What can be measured here."""
    names = [name for name in NAMES if name != KERNEL or os.geteuid() == 0]
    if KERNEL not in names:
        print("the kernel path is left out: it needs root")
    if shutil.which("rtpengine") is None:
        names.remove(RTPENGINE)
        print("rtpengine is not installed: apt-get install rtpengine")
    return names


def compare(
    calls: int, rounds: int, seconds: int, python: str, split: bool, places: Places
) -> dict[str, Any]:
    """All relays in turns; gives what is kept of it."""
    names = possible()
    figures = {name: Figures() for name in names}
    with tempfile.TemporaryDirectory() as folder:
        compiled("rtpload", Path(folder))
        told: dict[str, Any] = {}
        for _ in range(rounds):
            for name in names:
                told |= turn(name, calls, seconds, python, 1 if split else 0, folder, places, figures[name])
    return {
        "calls": calls,
        "split": split,
        "hosts": places.apart,
        "python": told["python"],
        "rtpengine": version_of("rtpengine", "-v"),
        "setup_us": told["setup_us"],
        "figures": {name: asdict(figures[name]) for name in names},
    }


def above(figures: Mapping[str, Any], name: str) -> list[float]:
    """What each second cost above that of the load alone in the same round, for the machine's speed drifts."""
    return [one - alone for one, alone in zip(figures[name]["whole"], figures[LOAD]["whole"], strict=False)]


def show(result: Mapping[str, Any]) -> dict[str, float]:
    """Print one result; gives the ratio to rtpengine of each path of ours."""
    calls = result["calls"]
    print(
        f"{calls} calls, {calls * 100} packets/s, {'two CPUs' if result['split'] else 'one CPU'},"
        f" {'three hosts' if result.get('hosts') else 'one host'}; {result['python']};"
        f" rtpengine {result['rtpengine']}; setting a call up: {result['setup_us']:.0f} us of CPU"
    )
    figures: Mapping[str, Any] = result["figures"]
    base = statistics.median(figures[LOAD]["whole"])
    still = [statistics.median(column) for column in zip(*figures[LOAD]["delays"], strict=True)]
    print(f"  the load alone: {base:.2f} us/packet; delay p50 {still[0]:.0f} us, p99 {still[1]:.0f} us")
    extra = {}
    for name, one in figures.items():
        if name == LOAD:
            continue
        differences = above(figures, name)
        extra[name] = statistics.median(differences)
        p50, p99 = (statistics.median(column) for column in zip(*one["delays"], strict=True))
        print(
            f"  {name:24} CPU us/packet: median {extra[name]:5.2f}  lowest {min(differences):5.2f}"
            f"  own process {statistics.median(one['own']):5.2f}"
            f"  calls a core {0.8e6 / 100 / max(extra[name], 0.01):6.0f}  kB a call {one['memory_kb']:5.1f}"
            f"  added delay p50 {p50 - still[0]:4.0f} p99 {p99 - still[1]:5.0f} us"
            f"  ({len(one['whole'])} slices, {one['lost']} under way or lost{', OVERRUN' if overrun(result, name) else ''})"
        )
    ratios = {
        name: extra[name] / extra[RTPENGINE]
        for name in (KERNEL, USERSPACE)
        if {name, RTPENGINE} <= set(extra) and not overrun(result, name) and not overrun(result, RTPENGINE)
    }
    print(
        "  ratio to rtpengine: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()),
        flush=True,
    )
    return ratios


def joined(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results of several runs with the same number of calls, on as many hosts, as one."""
    alike: dict[tuple[bool, int], dict[str, Any]] = {}
    for result in results:
        known = alike.setdefault((result.get("hosts", False), result["calls"]), result)
        if known is not result:
            for name, one in result["figures"].items():
                for key in ("whole", "own", "delays"):
                    known["figures"][name][key] += one[key]
                known["figures"][name]["lost"] += one["lost"]
    return [alike[key] for key in sorted(alike)]


def overrun(result: Mapping[str, Any], name: str) -> bool:
    """Whether so much was lost that there was no CPU left: then the figure says nothing."""
    one = result["figures"][name]
    return bool(one["lost"] > OVERRUN * len(one["whole"]) * result["calls"] * 100)


def plot(results: Sequence[Mapping[str, Any]], to: Path) -> None:
    """CPU of one core against calls, for each relay, as far as it keeps up."""
    import matplotlib  # noqa: PLC0415 - only for those who want a plot

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "relay"  # the same picture for the same figures
    from matplotlib import pyplot  # noqa: PLC0415 - as above: the backend is to be chosen first

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, style in ((RTPENGINE, "s--"), (USERSPACE, "o-"), (KERNEL, "^-")):
        points = [
            (
                result["calls"],
                100 * result["calls"] * 1e-6 * 100 * statistics.median(above(result["figures"], name)),
            )
            for result in results
            if name in result["figures"] and not overrun(result, name)
        ]  # fmt: skip
        if points:
            axes.plot(*zip(*points, strict=True), style, label=name)
    axes.set_xlabel("calls (G.711 both ways, 100 packets/s each)")
    axes.set_ylabel("CPU of relaying, % of a core")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(to, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--calls", default="50,100,200", help="comma list of calls in progress")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each relay")
    parser.add_argument("--seconds", type=int, default=5, help="slices in a turn")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the relay")
    parser.add_argument("--split", action="store_true", help="load on the second CPU")
    parser.add_argument(
        "--hosts",
        action="store_true",
        help="caller and callee on hosts of their own, which the relay's host routes between (needs root)",
    )
    parser.add_argument(
        "--memory",
        type=int,
        metavar="CALLS",
        help="memory of a call instead, of the process and of the kernel",
    )
    parser.add_argument("--kernel-target", type=float, help="highest ratio of the kernel path that passes")
    parser.add_argument(
        "--userspace-target", type=float, help="highest ratio of the user-space path that passes"
    )
    parser.add_argument("--keep", type=Path, help="add the results to this file of JSON lines")
    parser.add_argument("--from", type=Path, dest="source", help="show these results and measure nothing")
    parser.add_argument("--plot", type=Path, help="draw CPU against calls (SVG)")
    options = parser.parse_args()
    if options.source is not None:
        results = joined([json.loads(line) for line in options.source.read_text().splitlines()])
        ratios = [show(result) for result in results]
    else:
        enter_namespace()
        if options.memory:
            relay_memory.show([name for name in possible() if name != LOAD], options.memory, options.rounds)
            return 0
        results, ratios = [], []
        with ExitStack() as stack:
            places = hosts(stack) if options.hosts else Places()
            for calls in options.calls.split(","):
                result = compare(
                    int(calls), options.rounds, options.seconds, options.python, options.split, places
                )
                results.append(result)
                ratios.append(show(result))
                if options.keep is not None:
                    with options.keep.open("a") as kept:
                        kept.write(json.dumps(result) + "\n")
    if options.plot is not None:
        plot(results, options.plot)
    targets = {KERNEL: options.kernel_target, USERSPACE: options.userspace_target}
    return int(
        any(
            target is not None and (name not in one or one[name] > target)
            for one in ratios
            for name, target in targets.items()
        )
    )


if __name__ == "__main__":
    sys.exit(main())
