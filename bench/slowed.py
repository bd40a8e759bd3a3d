"""
Three real nodes, one of which a CPU hog slows, at 0.8 of what is left: its share of new calls, and who is refused.

Each node is held to a share of a CPU (cgroup). The hogs are busy processes in the group of the third node: one leaves it half
of what the group gets, nine a tenth. They are stopped until then, so that the moment is known. Clients know the other two: what
comes to the slow one itself, no balancing can help. Calls come by chance (Poisson), whatever becomes of those before.

What is left is searched first, in the same run: the greatest rate at which no call is refused or lost and at most one of a
hundred comes twice, with the hogs running for long; and the same of the other two alone, the third one being drained. The
greater one counts, so that what is left is not less because calls are placed badly. Each round begins with the hogs running
before the first call (C{steady}): what is refused there is no fault of how a node becomes slow.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen

from attrs import define, field, frozen

from bench.common import ROOT, compiled, cpu_seconds, running, start, wait_until
from bench.falling import Falling, Watch, read_metrics, refusals, risen
from bench.overloaded import Plan
from tests.integration.quota import Quota

NODES = {"a": ("127.0.0.11", 0), "b": ("127.0.0.12", 0), "c": ("127.0.0.13", 1)}  # address, and CPU
ASKED, SLOW = ("a", "b"), "c"
LOAD_CPU = 1
SHARE = 0.4  # of a CPU, each
OFFERED = 0.8  # of what is left
WINDOW = 12  # calls in progress at each of the two when all that is left is used
WARM = (
    30  # s of load before anything is measured: a transaction is kept for 32 s, and a full table costs time
)
REST = 4  # s at full speed and without calls between two loads
STEADY, AFTER = 6.0, 6.0  # s of the load before the hogs run, and while they do
TRY, SETTLED = 5, 2  # s for which a rate is tried, and from where on all of it has to be done
STEP = 0.08  # of a rate, between two that are tried
LEAST, AGAIN = 0.4, 2.0  # of what is done in a closed loop, which is tried; s behind what was too much
DONE, COPIES = 0.97, 0.01  # of what was offered: at least so many done, at most so many come twice
LATER = 2  # s after which a call is lost
SHED = 0.5  # goal: s until the share has fallen half way to what its speed is worth
KEEP = os.environ.get("BENCH_KEEP")  # a directory for what the nodes said in each round
EXPLAINED = 6  # failed calls whose placement is shown, in each round

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
            _until_states(folder, name, dict.fromkeys(NODES, "open"))
        for node in nodes.values():
            node.quota.hold(node.process.pid)
        yield nodes


def _voipctl(state: Path, *words: str, check: bool = True) -> str:
    argv = [sys.executable, "-m", "voipcluster.voipctl", "--state-dir", str(state), *words]
    return subprocess.run(argv, cwd=ROOT, check=check, capture_output=True, text=True).stdout


def _until_states(folder: Path, name: str, states: dict[str, str]) -> None:
    """Until a node sees all nodes in these states."""

    def seen() -> bool:
        rows = json.loads(_voipctl(folder / name, "--json", "status"))["nodes"]
        return {row["name"]: row["state"] for row in rows} == states

    wait_until(seen, f"what {name} hears", folder / f"{name}.log")


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
class Counts:
    """Calls of all callers, up to the end of a second."""

    completed: int
    refused: int
    lost: int
    copies: int


@define
class Load:
    """
    callload against each of the two.

    @param rate: calls a second of both; 0: as many as end.
    @param seed: of when they come.
    """

    folder: Path
    program: Path
    rate: float
    seconds: int
    seed: int = 1
    callers: list[Popen[str]] = field(factory=list)

    def begin(self, stack: ExitStack) -> None:
        for number, name in enumerate(ASKED):
            address = NODES[name][0]
            argv = [self.program, "-v", "-p", f"{address}:5060", "-c", 5080 + number, "-e", 5070 + number]
            argv += ["-s", self.seconds, "-b", f"sip:bob@127.0.0.1:{5070 + number}"]
            argv += ["-w", 2000, "-q", self.rate / len(ASKED)] if self.rate else ["-w", WINDOW]
            argv += ["-x", 2 * self.seed + number]
            output = self.output(name)
            output.unlink(missing_ok=True)
            self.callers.append(stack.enter_context(running(start(argv, output, LOAD_CPU))))

    def run(self) -> list[Counts]:
        """All of it, and what was counted, one for each second."""
        with ExitStack() as stack:
            self.begin(stack)
            self.until_end()
        return self.counts()

    def until_end(self) -> None:
        def ended() -> bool:
            return all(caller.poll() is not None for caller in self.callers)

        wait_until(ended, "the load", self.output("a"), self.seconds + 10)

    def output(self, name: str) -> Path:
        return self.folder / f"callload-{name}.out"

    def counts(self) -> list[Counts]:
        """A row for each second."""
        read = [
            [
                [int(word) for word in line.split()[1:]]
                for line in self.output(name).read_text().splitlines()
                if line[:1].isdigit()
            ]
            for name in ASKED
        ]
        return [Counts(*(sum(pair) for pair in zip(*both, strict=True))) for both in zip(*read, strict=False)]

    def failed(self) -> list[tuple[str, list[str]]]:
        """Of each call that failed the node that was asked, and what callload said of it: what, when, Call-ID, why."""
        return [
            (name, line.split())
            for name in ASKED
            for line in self.output(name).read_text().splitlines()
            if line.startswith(("refused ", "lost "))
        ]


@define
class Bed:
    """
    The cluster with its hogs, and what callers run against it.

    @ivar watches: of the two that clients know; they look all the time, since that takes time of the nodes, too.
    @ivar work: CPU seconds of what always is the same work, while the last load ran; C{usual_work}: when what is left was found.
    @ivar worth: what the slow node can do while the hogs run, of one at full speed.
    """

    folder: Path
    program: Path
    nodes: dict[str, Running]
    hogs: list[Popen[str]]
    watches: list[Watch]
    rounds: int = 0
    work: float = 1.0
    usual_work: float = 1.0

    @property
    def worth(self) -> float:
        return 1.0 / (1 + len(self.hogs))

    @contextmanager
    def slow(self) -> Iterator[None]:
        """The hogs run."""
        _signal(self.hogs, signal.SIGCONT)
        try:
            time.sleep(1.0)
            yield
        finally:
            _signal(self.hogs, signal.SIGSTOP)

    @contextmanager
    def drained(self) -> Iterator[None]:
        """The third node takes nothing."""
        self._drain("drain")
        try:
            yield
        finally:
            self._drain("undrain")

    def _drain(self, command: str) -> None:
        _voipctl(self.folder / SLOW, command)
        for name in ASKED:
            states = dict.fromkeys(NODES, "open")
            _until_states(self.folder, name, {**states, SLOW: "drain"} if command == "drain" else states)

    def load(self, rate: float, seconds: float) -> Load:
        self.rounds += 1
        return Load(self.folder, self.program, rate, round(seconds), self.rounds)

    def carried(self, rate: float) -> bool:
        """Whether all calls of an open rate are completed, and hardly any comes twice."""
        counts = self.run(rate, TRY + LATER)
        first, last, end = counts[SETTLED - 1], counts[TRY - 1], counts[-1]
        done = (last.completed - first.completed) / (TRY - SETTLED)
        copies = COPIES * rate * len(counts)
        fine = end.refused == end.lost == 0 and done >= DONE * rate and end.copies <= copies
        print(f"    {rate:.0f} calls/s: {done:.0f} done, {end} {'' if fine else '- too much'}", flush=True)
        if not fine:
            time.sleep(AGAIN)
        return fine

    def run(self, rate: float, seconds: int) -> list[Counts]:
        """A load, and how fast the machine was meanwhile."""
        since = time.monotonic()
        counts = self.load(rate, seconds).run()
        self.work = self._work(since)
        return counts

    def _work(self, since: float) -> float:
        return sum(watch.work(since, time.monotonic()) for watch in self.watches)

    def left(self) -> float:
        """Calls a second: the greatest rate that was found, of the other two alone or of all with the hogs running."""
        with self.drained():
            counts = self.run(0.0, WARM)
            rate = (counts[-1].completed - counts[-1 - TRY].completed) / TRY
            print(f"    the other two, closed loop: {rate:.0f} calls/s", flush=True)
            least = LEAST * rate
            while not self.carried(rate):
                rate *= 1.0 - STEP
                if rate < least:
                    raise SystemExit("the other two carry nothing without refusals")
            self.usual_work = self.work
        with self.slow():
            most = 0.0
            while self.carried(max(rate, most * (1.0 + STEP))):
                most, self.usual_work = max(rate, most * (1.0 + STEP)), self.work
        print(
            f"  {len(self.hogs)} hogs: the other two carry {rate:.0f} calls/s, all with the hogs running "
            f"{f'{most:.0f}' if most else 'less'}; {max(rate, most):.0f} are left",
            flush=True,
        )
        return max(rate, most)

    def round(self, left: float) -> bool:
        """The hogs run from before the first call on; then they begin amid the load. Whether all goals are reached."""
        with self.slow():
            steady = self.run(OFFERED * left * self.usual_work / self.work, TRY + LATER)[-1]
        time.sleep(REST)
        slower = self.work / self.usual_work
        rate = OFFERED * left / slower
        before = {name: refusals(read_metrics(NODES[name][0])) for name in NODES}
        with ExitStack() as stack:
            load = self.load(rate, STEADY + AFTER + LATER)
            load.begin(stack)
            time.sleep(STEADY)
            used = [self._used()]
            begun = time.monotonic()
            _signal(self.hogs, signal.SIGCONT)
            time.sleep(AFTER)
            self.work = self._work(begun)
            used.append(self._used())
            load.until_end()
            _signal(self.hogs, signal.SIGSTOP)
        end = load.counts()[-1]
        busy = " ".join(
            f"{name} {(after - was) / AFTER / SHARE:.2f}"
            for name, was, after in zip(NODES, *used, strict=True)
        )
        fell = Falling([watch.seen for watch in self.watches], begun)
        usual, worth = fell.share(-2.0, 0.0), self.worth / (len(ASKED) + self.worth)
        most = (usual + worth) / 2  # half way
        took, after, later = fell.until(most, AFTER), fell.share(SHED, 2.0), fell.share(2.0, AFTER)
        print(
            f"{len(self.hogs)} hogs, {rate:.0f} calls/s, the machine {slower:.2f} times slower and "
            f"{self.work / self.usual_work:.2f} then: the slow node, worth {worth:.3f} then, had {usual:.3f} of them, "
            f"{after:.3f} from {SHED:g} to 2 s, {later:.3f} then; below {most:.3f} after {took:.2f} s (goal {SHED:g}); "
            f"{end.refused} refused, {end.lost} lost (goal 0); slow from the first call on {steady.refused} and {steady.lost}; "
            f"of their CPU time {busy}",
            flush=True,
        )
        for name in NODES:
            why = risen(before[name], refusals(read_metrics(NODES[name][0])))
            if why:
                print(f"    {name} refused {why}", flush=True)
        self._explain(load)
        if KEEP:
            kept = {
                "begun": begun,
                "said": {name: one.said for name, one in zip(ASKED, self.watches, strict=True)},
            }
            (Path(KEEP) / f"slowed-{len(self.hogs)}-{self.rounds}.json").write_text(json.dumps(kept))
        return usual > worth and took < SHED and after < most and end.refused == end.lost == 0

    def _used(self) -> list[float]:
        return [cpu_seconds(node.process.pid) for node in self.nodes.values()]

    def _explain(self, load: Load) -> None:
        """Why some of those that failed went where they went; of all it is told when they began."""
        failed = sorted(load.failed(), key=lambda one: float(one[1][1]))
        if failed:
            moments = Counter(f"{words[0]} {words[3]} {float(words[1]) - STEADY:+.1f}" for _, words in failed)
            print(
                f"    s after the hogs: {', '.join(f'{count} {what}' for what, count in moments.items())}",
                flush=True,
            )
        for name, words in failed[:: max(1, len(failed) // EXPLAINED)][:EXPLAINED]:
            print(
                f"    {' '.join(words)}: {_voipctl(self.folder / name, 'explain', words[2], check=False)}".rstrip(),
                flush=True,
            )


def slowed(plan: Plan) -> bool:
    """Prints how the share falls, and who was refused; whether both goals are reached."""
    reached = [_slowed(plan.rounds, count) for count in plan.hogs]
    return all(reached)


def _slowed(rounds: int, count: int) -> bool:
    folder = Path(tempfile.mkdtemp(prefix="voipcluster-slowed-"))
    try:
        program = compiled("callload", folder)
        with cluster(folder, SHARE) as nodes, hogs(nodes[SLOW], count) as slow, ExitStack() as stack:
            watches = [Watch(NODES[name][0], SLOW, said=[] if KEEP else None) for name in ASKED]
            for watch in watches:
                watch.start()
                stack.callback(watch.end)
            bed = Bed(folder, program, nodes, slow, watches)
            left = bed.left()
            time.sleep(REST)
            reached = [bed.round(left) for _ in range(rounds)]
        return all(reached)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
