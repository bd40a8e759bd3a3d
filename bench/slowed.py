"""
Three real nodes, one of which a CPU hog slows to a tenth, at 0.8 of what is left: its share of new calls, and who is refused.

Each node is held to a share of a CPU (cgroup). The hogs are busy processes in the group of the third node, as many as leave it
a tenth of what the group gets; they are stopped until then, so that the moment is known. Clients know the other two: what comes
to the slow one itself, no balancing can help. What is left is measured first, with the hogs running: as many calls as the
cluster completes when new ones begin as old ones end. The share is told by F{/metrics} of the two, read every tenth of a second.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from subprocess import Popen

from attrs import define, field, frozen

from bench.common import ROOT, compiled, running, start, wait_until
from bench.overloaded import Plan, between
from tests.integration.quota import Quota

NODES = {"a": ("127.0.0.11", 0), "b": ("127.0.0.12", 0), "c": ("127.0.0.13", 1)}  # address, and CPU
ASKED, SLOW = ("a", "b"), "c"
LOAD_CPU = 1
SHARE = 0.4  # of a CPU, each
HOGS = 9  # which leave a tenth
OFFERED = 0.8  # of what is left
WINDOW = 12  # calls in progress at each of the two when all that is left is used
WARM, LEFT, REST = (
    4,
    6,
    5,
)  # s: slowed before what is left is measured, measured, and at full speed before the load
STEADY, AFTER = 6.0, 6.0  # s of the load before the hogs run, and while they do
EVERY = 0.1  # s between two looks at /metrics of a node
SHED, SHARE_LEFT = 0.5, 0.5  # goals: s until the share has fallen below that part of what it was
FULLY = 0.15  # of its former share: what a node at a tenth of its speed has in a plan by capacity, all of it
SPAN = 0.2  # s over which a share is averaged

SETTINGS = [
    "auth.required=false", 'limits.trusted=["127.0.0.0/8"]', "limits.calls=100000", "limits.transactions=1000000",
    'cluster.domain=["example.com"]', "media.relay=off",
]  # fmt: skip


@define
class Running:
    """A node; C{quota} holds it."""

    name: str
    process: Popen[str]
    quota: Quota


@contextmanager
def cluster(folder: Path, share: float) -> Iterator[dict[str, Running]]:
    """Three nodes that hear of each other, each held to its share."""
    nodes: dict[str, Running] = {}
    with ExitStack() as stack:
        for name, (address, cpu) in NODES.items():
            first = not nodes
            argv = [sys.executable, Path(sys.prefix, "bin", "twistd"), "-n", "--pidfile=", "voipcluster"]
            argv += ["--role", "primary" if first else "secondary", "--name", name, "--address", address]
            argv += ["--state-dir", folder / name]
            if not first:
                argv += ["--join", _voipctl(folder / "a", "join-token").strip()]
            for setting in SETTINGS:
                argv += ["--set", setting]
            log = folder / f"{name}.log"
            process = stack.enter_context(running(start(argv, log, cpu)))
            wait_until((folder / name / "admin.sock").exists, f"node {name}", log)
            quota = Quota(share)
            stack.callback(quota.remove)
            nodes[name] = Running(name, process, quota)
        for name in NODES:
            state = folder / name
            wait_until(lambda state=state: _all_open(state), f"what {name} hears", folder / f"{name}.log")
        for node in nodes.values():
            node.quota.hold(node.process.pid)
        yield nodes


def _voipctl(state: Path, *words: str) -> str:
    argv = [sys.executable, "-m", "voipcluster.voipctl", "--state-dir", str(state), *words]
    return subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _all_open(state: Path) -> bool:
    rows = json.loads(_voipctl(state, "--json", "status"))["nodes"]
    return len(rows) == len(NODES) and all(row["state"] == "open" for row in rows)


@contextmanager
def hogs(node: Running, count: int) -> Iterator[list[Popen[str]]]:
    """Busy processes in a node's group and on its CPU, which do not run yet."""
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            argv = [sys.executable, "-c", "while True: pass"]
            hog = stack.enter_context(running(start(argv, Path("/dev/null"), NODES[node.name][1])))
            hog.send_signal(signal.SIGSTOP)
            stack.callback(hog.send_signal, signal.SIGCONT)  # else it would not end
            node.quota.hold(hog.pid)
            made.append(hog)
        yield made


def _signal(processes: list[Popen[str]], number: signal.Signals) -> None:
    for process in processes:
        process.send_signal(number)


@frozen
class Falling:
    """
    The share of new calls that went to the slow node, over time.

    @ivar seen: of each of the others: when (monotonic s), requests handed to the slow node so far, and calls begun so far.
    @ivar begun: when the hogs began to run; the times below are from then on.
    """

    seen: Sequence[Sequence[tuple[float, float, float]]]
    begun: float

    def share(self, since: float, until: float) -> float:
        """Of the calls begun between two moments."""
        return self._rise(1, since, until) / max(1.0, self._rise(2, since, until))

    def until(self, part: float, usual: float, most: float) -> float:
        """
        Seconds up to the end of the first span with a share below that part of the usual one; C{inf}: there was none.

        @param most: how long it was looked at.
        """
        steps = [step * EVERY / 2 for step in range(round(2 * (most - SPAN) / EVERY))]
        below = (step + SPAN for step in steps if self.share(step, step + SPAN) < part * usual)
        return next(below, float("inf"))

    def _rise(self, column: int, since: float, until: float) -> float:
        total = 0.0
        for rows in self.seen:
            known = [(row[0], row[column]) for row in rows]
            total += between(known, self.begun + until) - between(known, self.begun + since)
        return total


@define
class Watch(threading.Thread):
    """
    Reads F{/metrics} of one node again and again.

    @ivar seen: when (monotonic s), requests handed to the slow node so far, and with them the calls that it serves itself.
    @ivar refused: requests that the node refused, the last time.
    """

    name_of: str
    seen: list[tuple[float, float, float]] = field(factory=list)
    refused: float = 0.0
    _ended: threading.Event = field(factory=threading.Event)

    def __attrs_pre_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        connection = HTTPConnection(NODES[self.name_of][0], 8080, timeout=10)
        while not self._ended.wait(EVERY):
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            self.refused = metric(text, "placements_total", decision="refuse") + metric(text, "refused_total")
            handed = metric(text, "handed_over_total", node=SLOW)
            # a call that it hands to the other of the two is counted there
            self.seen.append((time.monotonic(), handed, handed + metric(text, "calls_total")))

    def end(self) -> None:
        self._ended.set()
        self.join()


def metric(text: str, name: str, /, **labels: str) -> float:
    """The sum of the numbers of that name that have these labels."""
    total = 0.0
    for found in re.finditer(rf"^voipcluster_{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE):
        if labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', found[1] or "")).items():
            total += float(found[2])
    return total


@define
class Load:
    """
    callload against each of the two.

    @param rate: calls a second of both; 0: as many as end.
    """

    folder: Path
    program: Path
    rate: float
    seconds: int
    callers: list[Popen[str]] = field(factory=list)

    def begin(self, stack: ExitStack) -> None:
        for number, name in enumerate(ASKED):
            address = NODES[name][0]
            argv = [self.program, "-p", f"{address}:5060", "-c", 5080 + number, "-e", 5070 + number]
            argv += ["-s", self.seconds, "-b", f"sip:bob@127.0.0.1:{5070 + number}"]
            argv += ["-w", 2000, "-q", self.rate / len(ASKED)] if self.rate else ["-w", WINDOW]
            output = self.output(name)
            output.unlink(missing_ok=True)
            self.callers.append(stack.enter_context(running(start(argv, output, LOAD_CPU))))

    def output(self, name: str) -> Path:
        return self.folder / f"callload-{name}.out"

    def counts(self) -> list[list[int]]:
        """Completed, refused, lost and copies of both, a row for each second."""
        read = [
            [
                [int(word) for word in line.split()[1:]]
                for line in self.output(name).read_text().splitlines()
                if line[:1].isdigit()
            ]
            for name in ASKED
        ]
        return [[sum(pair) for pair in zip(*both, strict=True)] for both in zip(*read, strict=False)]


def _left(folder: Path, program: Path, slow: list[Popen[str]]) -> float:
    """Calls a second that the cluster completes while the hogs run."""
    _signal(slow, signal.SIGCONT)
    time.sleep(1.0)
    with ExitStack() as stack:
        load = Load(folder, program, 0.0, WARM + LEFT + 2)
        load.begin(stack)
        wait_until(lambda: len(load.counts()) >= WARM + LEFT, "the load", load.output("a"), WARM + LEFT + 10)
        counts = load.counts()
    _signal(slow, signal.SIGSTOP)
    return (counts[WARM + LEFT - 1][0] - counts[WARM - 1][0]) / LEFT


def slowed(plan: Plan) -> bool:
    """Prints how the share falls, and who was refused; whether both goals are reached."""
    folder = Path(tempfile.mkdtemp(prefix="voipcluster-slowed-"))
    try:
        program = compiled("callload", folder)
        with cluster(folder, SHARE) as nodes, hogs(nodes[SLOW], HOGS) as slow:
            watches = [Watch(name) for name in ASKED]
            for watch in watches:
                watch.start()
            left = _left(folder, program, slow)
            print(f"  one of three nodes at a tenth: {left:.0f} calls/s are left", flush=True)
            reached = True
            for _ in range(plan.rounds):
                time.sleep(REST)
                reached = _round(folder, program, OFFERED * left, slow, watches) and reached
            for watch in watches:
                watch.end()
        return reached
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _round(folder: Path, program: Path, rate: float, slow: list[Popen[str]], watches: list[Watch]) -> bool:
    before = sum(watch.refused for watch in watches)
    with ExitStack() as stack:
        load = Load(folder, program, rate, round(STEADY + AFTER) + 3)
        load.begin(stack)
        time.sleep(STEADY)
        begun = time.monotonic()
        _signal(slow, signal.SIGCONT)
        time.sleep(AFTER + SPAN)
        _signal(slow, signal.SIGSTOP)
        wait_until(lambda: all(one.poll() is not None for one in load.callers), "the end", load.output("a"))
        _, refused, lost, _ = load.counts()[-1]
    refused += round(sum(watch.refused for watch in watches) - before)

    fell = Falling([watch.seen for watch in watches], begun)
    usual = fell.share(-2.0, 0.0)
    half, fully = (fell.until(part, usual, AFTER) for part in (SHARE_LEFT, FULLY))
    print(
        f"at {rate:.0f} calls/s the slow node had {usual:.3f} of them, {fell.share(SHED, 2.0):.3f} from {SHED:g} to 2 s, "
        f"{fell.share(2.0, AFTER):.3f} then; below half of it after {half:.2f} s (goal {SHED:g}), below {FULLY:g} of it "
        f"after {fully:.2f} s; {refused} refused, {lost} lost (goal 0)",
        flush=True,
    )
    return (
        usual > 0.0
        and half < SHED
        and fell.share(SHED, 2.0) < SHARE_LEFT * usual
        and refused == 0
        and lost == 0
    )
