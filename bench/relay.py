"""
CPU per relayed RTP packet: this relay in the kernel and in user space beside rtpengine in user space, same load, in turns.

Run: C{python -m bench.relay [--calls 50,100,200]}. Needs gcc and Debian's C{rtpengine}, and root for the kernel path; as
root everything happens in its own network namespace. One call is G.711 both ways: 100 packets a second. The figure is the
CPU time of relay and load together (C{/proc/PID/task/*/schedstat}) for each packet that came out, less what the same load
costs when it sends straight to the other party, in its turn of the same round: so what the kernel does for the relay
counts, in whoever's time it falls. Median and lowest over one-second slices; beside it what the relay's own process used.
Delays are over those of the load alone, too.

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
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from attrs import asdict, define, field

from bench.common import compiled, enter_namespace, version_of

HERE = Path(__file__).resolve().parent
CALLER, CALLEE = 10000, 14000  # first ports of the parties
NG = ("127.0.0.1", 2223)
LOAD, KERNEL, USERSPACE, RTPENGINE = NAMES = (
    "load alone", "voipcluster, kernel", "voipcluster, user space", "rtpengine, user space",
)  # fmt: skip
OVERRUN = 0.05  # of the packets lost
WARM = 1  # seconds: latching, and caches
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"


# the peer


def bencode(value: Any) -> bytes:
    match value:
        case str():
            return b"%d:%s" % (len(value.encode()), value.encode())
        case dict():
            return b"d" + b"".join(bencode(k) + bencode(v) for k, v in sorted(value.items())) + b"e"
        case list():
            return b"l" + b"".join(map(bencode, value)) + b"e"
    raise TypeError(value)


def port_in(answer: bytes) -> int:
    """The audio port in the SDP of an ng answer."""
    if b"6:result2:ok" not in answer:
        raise RuntimeError(f"rtpengine says {answer!r}")
    return int(answer.partition(b"m=audio ")[2].split()[0])


def rtpengine_legs(calls: int) -> list[tuple[int, int]]:
    legs = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        control.settimeout(5)
        control.connect(NG)
        for n in range(calls):
            ours = []
            common: dict[str, Any] = {
                "call-id": f"c{n}",
                "from-tag": f"a{n}",
                "ICE": "remove",
                "replace": ["origin"],
            }
            for command, port, more in (("offer", CALLER, {}), ("answer", CALLEE, {"to-tag": f"b{n}"})):
                request = {**common, **more, "command": command, "sdp": SDP.format(port + 2 * n)}
                control.send(b"%d_%s " % (n, command.encode()) + bencode(request))
                ours.append(port_in(control.recv(65535)))
            for_callee, for_caller = ours
            legs += [(CALLER + 2 * n, for_caller), (CALLEE + 2 * n, for_callee)]
    return legs


# processes


@contextmanager
def running(argv: list[Any], **options: Any) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen([str(a) for a in argv], text=True, **options)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def cpu_us(pid: int) -> float:
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1000


def pinned(cpu: int) -> Any:
    return lambda: os.sched_setaffinity(0, {cpu})


def wait_for_udp(port: int, child: subprocess.Popen[str]) -> None:
    while child.poll() is None:
        if f":{port:04X} " in Path("/proc/net/udp").read_text():
            return
        os.sched_yield()
    raise RuntimeError(f"{child.args!r} ended with status {child.returncode}")


def start_ours(
    stack: ExitStack, calls: int, python: str, path: str
) -> tuple[int, list[tuple[int, int]], dict[str, Any]]:
    places = [str(HERE.parent), sysconfig.get_path("purelib")]
    child = stack.enter_context(
        running(
            [python, HERE / "relay_server.py", calls, CALLER, CALLEE, path],
            stdout=subprocess.PIPE,
            preexec_fn=pinned(0),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "PYTHONDONTWRITEBYTECODE": "1"},
        )
    )
    stdout: IO[str] | None = child.stdout
    assert stdout is not None
    line = stdout.readline()
    if not line:
        raise RuntimeError("the relay did not start")
    told = json.loads(line)
    return child.pid, [(a, b) for a, b in told["legs"]], told


def start_rtpengine(stack: ExitStack, calls: int, folder: str) -> tuple[int, list[tuple[int, int]], float]:
    """Its process, where the parties send to, and kB a call."""
    settings = Path(folder, "rtpengine.conf")
    settings.write_text(
        "[rtpengine]\ntable = -1\ninterface = 127.0.0.1\nlisten-ng = 127.0.0.1:2223\nport-min = 20000\n"
        "port-max = 39999\nlog-level = 3\nlog-stderr = true\nforeground = true\nnum-threads = 1\ntimeout = 600\n"
    )
    child = stack.enter_context(
        running(["rtpengine", "--config-file", settings], stderr=subprocess.DEVNULL, preexec_fn=pinned(0))
    )
    wait_for_udp(NG[1], child)
    before = resident_kb(child.pid)
    legs = rtpengine_legs(calls)
    return child.pid, legs, (resident_kb(child.pid) - before) / calls


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
    load: Path, pid: int | None, legs: list[tuple[int, int]], seconds: int, cpu: int, into: Figures
) -> None:
    """One turn of a relay, or of the load alone."""
    feed = load.with_name("legs")
    feed.write_text("".join(f"{local} {relay}\n" for local, relay in legs))
    with (
        feed.open() as lines,
        running(
            [load, WARM + seconds + 1], stdin=lines, stdout=subprocess.PIPE, preexec_fn=pinned(cpu)
        ) as child,
    ):
        assert child.stdout is not None
        before: tuple[float, float, int] | None = None
        sent = received = 0
        for second, line in enumerate(child.stdout, start=1):
            sent, received, median, late = (int(n) for n in line.split())
            own = 0.0 if pid is None else cpu_us(pid)
            now = own, own + cpu_us(child.pid), received
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


def resident_kb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])


def turn(
    name: str, calls: int, seconds: int, python: str, cpu: int, folder: str, into: Figures
) -> dict[str, Any]:
    """One turn of one relay, which lives for no longer: rules of nftables would cost the others' packets something."""
    parties = [(CALLER + 2 * n, CALLEE + 2 * n) for n in range(calls)]
    legs = parties + [(b, a) for a, b in parties]
    told: dict[str, Any] = {}
    with ExitStack() as stack:
        pid = None
        if name == RTPENGINE:
            pid, legs, into.memory_kb = start_rtpengine(stack, calls, folder)
        elif name != LOAD:
            pid, legs, told = start_ours(stack, calls, python, "kernel" if name == KERNEL else "userspace")
            into.memory_kb = told["memory_kb"]
        measure(Path(folder, "rtpload"), pid, legs, seconds, cpu, into)
    return told


def compare(calls: int, rounds: int, seconds: int, python: str, split: bool) -> dict[str, Any]:
    """All relays in turns; gives what is kept of it."""
    names = [name for name in NAMES if name != KERNEL or os.geteuid() == 0]
    if KERNEL not in names:
        print("the kernel path is left out: it needs root")
    if shutil.which("rtpengine") is None:
        names.remove(RTPENGINE)
        print("rtpengine is not installed: apt-get install rtpengine")
    figures = {name: Figures() for name in names}
    with tempfile.TemporaryDirectory() as folder:
        compiled("rtpload", Path(folder))
        told: dict[str, Any] = {}
        for _ in range(rounds):
            for name in names:
                told |= turn(name, calls, seconds, python, 1 if split else 0, folder, figures[name])
    return {
        "calls": calls,
        "split": split,
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
        f"{calls} calls, {calls * 100} packets/s, {'two CPUs' if result['split'] else 'one CPU'}; {result['python']};"
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
    """Results of several runs with the same number of calls as one."""
    by_calls: dict[int, dict[str, Any]] = {}
    for result in results:
        known = by_calls.setdefault(result["calls"], result)
        if known is not result:
            for name, one in result["figures"].items():
                for key in ("whole", "own", "delays"):
                    known["figures"][name][key] += one[key]
                known["figures"][name]["lost"] += one["lost"]
    return [by_calls[calls] for calls in sorted(by_calls)]


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
        results, ratios = [], []
        for calls in options.calls.split(","):
            result = compare(int(calls), options.rounds, options.seconds, options.python, options.split)
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
