"""
CPU time per call of a stateful record-routing proxy: voipcluster beside Kamailio, in the same run, in turns.

Run: C{python -m bench.proxy [--seconds 8] [--repeats 3] [--rates 500,1000] [--only voipcluster|kamailio]}.

One call is INVITE, 100, 180, 200, ACK, BYE, 200 on UDP: 7 messages in, 7 out. Each proxy is one process with one worker on the
first CPU; CPU time is the scheduler's own figure of all its threads and children. Kamailio is given a fast allocator (-x tlsf
-X tlsf); as packaged it takes several times more. The callee is registered at voipcluster and a fixed destination for
Kamailio; the relay is off, nobody authenticates.

The main figure is the saturated one: bench/callload.c on the second CPU keeps a window of calls in progress. At a fixed rate
(sipp on the same CPU) each datagram is a wake-up with cold caches, and the lower the rate, the more the figure says about those.
C{--target} makes the exit status 1 when the saturated ratio is above it.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from attrs import Factory, define

from bench.common import (
    HERE,
    compiled,
    cpu_seconds,
    enter_namespace,
    listens,
    python_build,
    running,
    start,
    version_of,
    wait_until,
)
from bench.proxies import CALLEE, CALLER, CPU, PROXY, kamailio, voipcluster

Proxy = Callable[[Path], AbstractContextManager[subprocess.Popen[str]]]
PROXIES: dict[str, Proxy] = {"voipcluster": voipcluster, "kamailio": kamailio}
GOAL = 3.0
WARM = 4  # seconds before the first slice: caches, and the first transactions that end


@define
class Figures:
    """Slices of one second of all runs of one proxy, and what went wrong in them."""

    us: list[float] = Factory(list)
    rates: list[float] = Factory(list)
    proxy_cpu: list[float] = Factory(list)
    load_cpu: list[float] = Factory(list)
    failed: int = 0
    copies: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.us)


@define
class Slices:
    """Turns running totals into slices: calls so far against CPU seconds of the proxy and of the load so far."""

    figures: Figures
    proxy: int
    load: list[int]
    _last: tuple[float, int, float, float] | None = None

    def take(self, calls: int) -> None:
        """@param calls: completed until now; the CPU times are read here."""
        now = time.monotonic(), calls, cpu_seconds(self.proxy), sum(map(cpu_seconds, self.load))
        if self._last is not None and now[1] > self._last[1]:
            elapsed, done, used, by_load = (a - b for a, b in zip(now, self._last, strict=True))
            self.figures.us.append(used * 1e6 / done)
            self.figures.rates.append(done / elapsed)
            self.figures.proxy_cpu.append(used / elapsed)
            self.figures.load_cpu.append(by_load / elapsed)
        self._last = now


def saturated(
    figures: Figures, proxy: Proxy, folder: Path, load: Path, seconds: int, options: list[str]
) -> None:
    """One run with a window of calls in progress."""
    with proxy(folder) as process:
        argv = [load, "-p", PROXY, "-e", CALLEE, "-c", CALLER, "-s", WARM + seconds, *options]
        if proxy is voipcluster:
            argv.append("-r")
        log = folder / "load.log"
        with running(start(argv, log, 1 - CPU, stdout=subprocess.PIPE)) as generator:
            assert generator.stdout is not None
            slices = Slices(figures, process.pid, [generator.pid])
            totals = [0.0] * 5
            for line in generator.stdout:
                totals = [float(word) for word in line.split()]
                if totals[0] >= WARM - 0.5:
                    slices.take(int(totals[1]))
            if generator.wait(10):
                raise SystemExit(f"the load ended early: {log.read_text()}")
        figures.failed += int(totals[2] + totals[3])
        figures.copies += int(totals[4])


def sipp(scenario: str, port: int, *more: object) -> list[object]:
    base = ["sipp", "-sf", HERE / "sipp" / scenario, "-i", "127.0.0.1", "-p", port, "-nostdin"]
    return [*base, "-deadcall_wait", 0, "-buff_size", 1 << 21, *more]


def sipp_totals(folder: Path) -> dict[str, int]:
    """The running totals of sipp's statistics file (one line a second): completed, failed, retransmissions."""
    file = folder / "caller.csv"
    lines = file.read_text().splitlines() if file.exists() else []
    if len(lines) < 2:
        return {"done": 0, "failed": 0, "copies": 0}
    row = dict(zip(lines[0].split(";"), lines[-1].split(";"), strict=False))
    columns = {"done": "SuccessfulCall(C)", "failed": "FailedCall(C)", "copies": "Retransmissions(C)"}
    return {name: int(row[column]) for name, column in columns.items()}


def paced(figures: Figures, proxy: Proxy, folder: Path, rate: int, seconds: int) -> None:
    """One run at a fixed rate of calls per second, load and proxy on one CPU."""
    with proxy(folder) as process:
        if proxy is voipcluster:
            (folder / "users.csv").write_text("SEQUENTIAL\nbob;\n")
            argv = sipp("register.xml", CALLEE, "-inf", folder / "users.csv", "-m", 1, PROXY)
            if start(argv, folder / "register.log", CPU).wait(20):
                raise SystemExit(f"bob does not register: {(folder / 'register.log').read_text()[-2000:]}")
        with running(start(sipp("uas.xml", CALLEE), folder / "callee.log", CPU)) as callee:
            wait_until(lambda: listens(CALLEE), "the callee", folder / "callee.log")
            argv = sipp("uac.xml", CALLER, "-r", rate, "-m", rate * (WARM + seconds + 1), "-l", 1_000_000)
            argv += ["-trace_stat", "-stf", folder / "caller.csv", "-fd", 1, PROXY]
            caller = start(argv, folder / "caller.log", CPU)
            slices = Slices(figures, process.pid, [caller.pid, callee.pid])
            time.sleep(WARM)
            for _ in range(seconds):
                slices.take(sipp_totals(folder)["done"])
                time.sleep(1.0)
            caller.wait(60)
            totals = sipp_totals(folder)
            figures.failed += totals["failed"]
            figures.copies += totals["copies"]


def compare(
    what: str, repeats: int, only: str | None, run: Callable[[Figures, Proxy, Path], None]
) -> float | None:
    """Run each proxy in turn, print the medians and give their ratio."""
    results = {name: Figures() for name in PROXIES if only in (None, name)}
    for _ in range(repeats):
        for name, figures in results.items():
            with tempfile.TemporaryDirectory(prefix="bench-proxy-") as folder:
                run(figures, PROXIES[name], Path(folder))
    print(what)
    for name, figures in results.items():
        print(
            f"  {name:12} CPU us/call: median {figures.median:6.1f}  lowest {min(figures.us):6.1f}"
            f"  highest {max(figures.us):6.1f}  ({len(figures.us)} slices, {statistics.median(figures.rates):.0f} calls/s,"
            f" CPU {statistics.median(figures.proxy_cpu):.0%}, load {statistics.median(figures.load_cpu):.0%},"
            f" {figures.failed} failed, {figures.copies} sent twice)"
        )
        if figures.failed > 0.001 * sum(figures.rates):
            print(f"  {name}: more than one call in a thousand failed; the figure is not to be trusted")
    if len(results) < len(PROXIES):
        return None
    ratio = results["voipcluster"].median / results["kamailio"].median
    lowest = min(results["voipcluster"].us) / min(results["kamailio"].us)
    print(f"  ratio        median {ratio:.2f}  lowest {lowest:.2f}", flush=True)
    return ratio


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=int, default=8, help="measured time of each run")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each proxy")
    parser.add_argument("--window", type=int, default=64, help="calls in progress when saturated")
    parser.add_argument("--rates", default="500,1000", help="comma list of calls per second; '' = none")
    parser.add_argument("--only", choices=tuple(PROXIES))
    parser.add_argument(
        "--poll", type=int, default=0, help="the load looks every so many us instead of waiting"
    )
    parser.add_argument("--target", type=float, help="highest saturated ratio that passes")
    given = parser.parse_args()
    for tool, package in (("gcc", "gcc"), ("sipp", "sip-tester"), ("kamailio", "kamailio")):
        if shutil.which(tool) is None and given.only != "voipcluster":
            raise SystemExit(f"{tool} is not installed: apt-get install {package}")
    enter_namespace()
    print(f"{python_build()}; Kamailio {version_of('kamailio', '-v')} -x tlsf -X tlsf, one child", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-load-") as folder:
        load = compiled("callload", Path(folder))
        options = ["-w", str(given.window), "-u", str(given.poll)]
        ratio = compare(
            f"saturated, {given.window} calls in progress, load on the second CPU (goal: ratio at most {GOAL})",
            given.repeats,
            given.only,
            lambda figures, proxy, folder: saturated(figures, proxy, folder, load, given.seconds, options),
        )
    for rate in (int(r) for r in given.rates.split(",") if r):
        compare(
            f"{rate} calls/s, load on the same CPU",
            given.repeats,
            given.only,
            lambda figures, proxy, folder, rate=rate: paced(figures, proxy, folder, rate, given.seconds),
        )
    return int(given.target is not None and (ratio is None or ratio > given.target))


if __name__ == "__main__":
    sys.exit(main())
