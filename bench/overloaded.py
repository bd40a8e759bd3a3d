"""
A real node, held to a share of a CPU, under more calls than it can take, and Kamailio in the same run.

Each proxy is one process with one worker, held to a share of one CPU by the scheduler (cgroup), so that sipp on the other CPU
can offer ten times what it takes. Nobody takes part in overload control; INVITE and BYE are repeated after 500 ms and then ever
later, as RFC 3261 asks. Goodput counts the calls whose BYE was answered. bench/rounds.py compares it with the capacity.
"""

from __future__ import annotations

import csv
import itertools
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from signal import SIGUSR1
from subprocess import Popen, TimeoutExpired

from attrs import define, frozen

from bench.common import HERE, cpu_seconds, listens, running, start, wait_until
from bench.proxies import CALLEE, CALLER, CPU, PROXY, kamailio, voipcluster
from tests.integration.quota import Quota

SETTLE, MEASURE = 4, 7  # seconds
GOALS = {3.0: 0.95, 10.0: 0.80}
COUNTED = ("OutgoingCall(C)", "done(C)", "refused(C)", "Retransmissions(C)")
ENDING = 3.0  # s for the calls in progress when no new ones are begun any more

Proxy = Callable[[Path], AbstractContextManager["Popen[str]"]]
Rate = Callable[[], float]  # calls a second, that callers offer from now on
SIPP = ("sipp", "-i", "127.0.0.1", "-nostdin", "-deadcall_wait", 0, "-buff_size", 1 << 21)
CONTROL = 8990  # the port at which callers are told another rate
FOLLOW = 1.0  # s after which they are


def guarded(folder: Path) -> AbstractContextManager[Popen[str]]:
    """With overload control, as it is by default."""
    return voipcluster(folder, "overload.enabled=true")


PROXIES: dict[str, Proxy] = {"voipcluster": guarded, "kamailio": kamailio}


@contextmanager
def quota(pid: int, share: float) -> Iterator[None]:
    """Hold a process, with its threads and children, to a share of one CPU."""
    try:
        held = Quota(share)
    except OSError as error:
        raise SystemExit(f"{error}; the quota needs a writable cgroup, and root") from None
    try:
        held.hold(pid)
        yield
    finally:
        held.remove()


@frozen
class Run:
    """
    Per second, while measured.

    @ivar begun: C{ended}: seconds since 1970; C{load}: the share of a CPU that the callers took, which must not be all of one.
    """

    begun: float
    ended: float
    offered: float
    done: float
    refused: float
    copies: float
    cpu: float
    load: float

    def __str__(self) -> str:
        return (
            f"offered {self.offered:7.1f}  done {self.done:7.1f}  refused {self.refused:7.1f}  "
            f"copies {self.copies:7.1f} /s  cpu {self.cpu:.3f}  callers' cpu {self.load:.2f}"
        )


@define
class Bed:
    """One proxy under its quota, a callee behind it, and what callers run against it."""

    folder: Path
    process: Popen[str]

    def call(
        self,
        name: str,
        rate: float,
        seconds: float,
        scenario: Path | None = None,
        most: int = 0,
        port: int = CALLER,
    ) -> Popen[str]:
        """Begin to offer calls; C{most}: how many at a time, not limited if 0."""
        scenario = scenario or HERE / "sipp" / "uac_overload.xml"
        most = most or max(1000, round(2 * rate * (seconds + 5)))  # the rate may come to be another one
        argv = [*SIPP, "-sf", scenario, "-p", port, "-r", max(1, round(rate)), "-l", most, "-trace_stat"]
        argv += ["-stf", self.statistics(name), "-fd", 1, "-cp", CONTROL + port - CALLER, PROXY]
        return start(argv, self.folder / f"{name}.log", 1 - CPU)

    @staticmethod
    def offer(rate: float) -> None:
        """The callers are to offer so many from now on."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            control.sendto(b"cset rate %d" % max(1, round(rate)), ("127.0.0.1", CONTROL))

    def wait(self, seconds: float, rate: Rate, look: Callable[[], None] = lambda: None) -> None:
        """Let time pass, while the callers offer what C{rate} says; C{look} is called ten times a second."""
        now = time.monotonic()
        end, told = now + seconds, now
        while now < end:
            look()
            if now - told >= FOLLOW:
                self.offer(rate())
                told = now
            time.sleep(0.1)
            now = time.monotonic()

    def statistics(self, name: str) -> Path:
        return self.folder / f"{name}.csv"

    def rows(self, name: str) -> list[dict[str, str]]:
        """What the callers counted, one a second."""
        return rows(self.statistics(name))

    def measure(
        self, rate: Rate, settle: int, measure: int, scenario: Path | None = None, most: int = 0
    ) -> Run:
        """Offer calls, from the moment at which this is called; the rest as of L{call}."""
        self.statistics("caller").unlink(missing_ok=True)
        used: list[tuple[float, float, float]] = []
        with running(self.call("caller", rate(), settle + measure, scenario, most)) as caller:

            def look() -> None:
                used.append((time.time(), cpu_seconds(self.process.pid), cpu_seconds(caller.pid)))

            self.wait(settle + measure + 0.5, rate, look)
            let_end(caller)
        read = self.rows("caller")
        if len(read) < settle + measure:
            raise SystemExit(f"sipp ended early: {len(read)} of {settle + measure} s")
        return counted(read[settle - 1], read[settle + measure - 1], used)


def let_end(caller: Popen[str]) -> None:
    """No new calls; those in progress may end, else their callee sends 200 again and again while the next ones are measured."""
    caller.send_signal(SIGUSR1)
    with suppress(TimeoutExpired):
        caller.wait(ENDING)


def rows(file: Path) -> list[dict[str, str]]:
    """sipp's statistics, one line a second."""
    if not file.exists():
        return []
    with file.open() as lines:
        return [row for row in csv.DictReader(lines, delimiter=";") if row.get("OutgoingCall(C)")]


def moment(row: dict[str, str]) -> float:
    """When sipp wrote that line, in seconds since 1970."""
    return float(row["CurrentTime"].split("\t")[-1])


def counted(first: dict[str, str], last: dict[str, str], used: list[tuple[float, float, float]]) -> Run:
    """
    What was between two lines of sipp's statistics, per second.

    @param used: time, and CPU seconds of the proxy and of the callers up to then; what it was at the lines is between two of
        them.
    """
    begun, ended = moment(first), moment(last)

    def rise(column: str) -> float:
        return (int(last.get(column) or 0) - int(first.get(column) or 0)) / (ended - begun)

    def spent(which: int) -> float:
        known = [(sample[0], sample[which]) for sample in used]
        return (between(known, ended) - between(known, begun)) / (ended - begun)

    return Run(begun, ended, *(rise(name) for name in COUNTED), spent(1), spent(2))


def between(known: list[tuple[float, float]], when: float) -> float:
    """The value at a moment, on the straight line between the two that are known beside it."""
    for (first, before), (second, after) in itertools.pairwise(known):
        if when <= second:
            return before + max(0.0, (when - first) / (second - first)) * (after - before)
    return known[-1][1]


@contextmanager
def bed(proxy: Proxy, share: float, folder: Path | None = None) -> Iterator[Bed]:
    """A proxy of its own; C{folder}: that is there, and stays."""
    kept = folder is not None or bool(os.environ.get("BENCH_KEEP"))
    folder = folder or Path(tempfile.mkdtemp(prefix="voipcluster-overload-"))
    try:
        with proxy(folder) as process:
            if proxy is not kamailio:
                _register(folder)
            callee = start(
                [*SIPP, "-sf", HERE / "sipp" / "uas.xml", "-p", CALLEE], folder / "callee.log", 1 - CPU
            )
            with running(callee), quota(process.pid, share):
                wait_until(lambda: listens(CALLEE), "the callee", folder / "callee.log")
                yield Bed(folder, process)
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


def _register(folder: Path) -> None:
    (folder / "users.csv").write_text("SEQUENTIAL\nbob;\n")
    argv = [*SIPP, "-sf", HERE / "sipp" / "register.xml", "-p", CALLEE, "-inf", folder / "users.csv", "-m", 1]
    if start([*argv, PROXY], folder / "register.log", 1 - CPU).wait(20):
        raise SystemExit(f"bob does not register: {(folder / 'register.log').read_text()[-2000:]}")


@frozen
class Plan:
    """
    @ivar names: of the proxies; C{loads}: times the capacity; C{most}: the greatest load for another proxy than ours, which sipp
        has to be able to offer.
    @ivar rounds: how often each load is offered, the proxies and loads in turns; the median counts.
    @ivar seconds: that the flood before a recovery lasts, and that false refusals are looked for.
    @ivar share: of a CPU.
    @ivar hogs: how many busy processes slow one of three nodes, one number for each form of L{bench.slowed}.
    """

    names: tuple[str, ...]
    loads: tuple[float, ...]
    share: float
    most: float = 3.0
    settle: int = SETTLE
    measure: int = MEASURE
    seconds: int = 60
    rounds: int = 3
    hogs: tuple[int, ...] = (1, 9)


if __name__ == "__main__":
    sys.exit("python -m bench.overload processes")
