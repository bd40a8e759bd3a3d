"""
One node under more than it can do: voipcluster beside Kamailio, in the same run.

Run: C{python -m bench.overload [model|refusal|processes] [--loads 2,3,10] [--share 0.1] [--only voipcluster|kamailio]}, as root
for C{processes}.

C{model}: goodput of one node with upstreams that take part in overload control (RFC 7339, RFC 7415), on virtual time, with the
real controller (tests/simulation/overload_model.py).

C{refusal}: what a refusal takes beside a call that is served. Where the kernel throws away most of what would be refused
(voipcluster/net/thinning.py), it is paid for few of them only.

C{processes}: each proxy is one process with one worker, held to a share of one CPU by the scheduler (cgroup), so that sipp on the
other CPU can offer ten times what it takes. Nobody takes part in overload control; INVITE and BYE are repeated after 500 ms and
then ever later, as RFC 3261 asks. The capacity is the highest rate that is carried with at most 1 % of copies, searched first.
Goodput counts the calls whose BYE was answered. The goal is 0.95 of the capacity at three times the load and 0.80 at ten times,
and no less than bare Kamailio.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import re
import select
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from subprocess import Popen

from attrs import frozen

from bench.common import HERE, cpu_seconds, enter_namespace, listens, running, start, wait_until
from bench.proxies import CALLEE, CALLER, CPU, PROXY, kamailio, voipcluster
from tests.simulation.overload_model import Load, Model
from voipcluster.balance.throttle import LOSS, RATE
from voipcluster.net.udp import open_udp_socket
from voipcluster.sip.shedding import glance, has_credentials, is_ack_of, is_emergency, is_handed_over
from voipcluster.sip.shedding import refusal as refusal_of

PERIOD = 40_000  # us of the scheduler's quota
SETTLE, MEASURE = 5, 15  # seconds
GOALS = {3.0: 0.95, 10.0: 0.80}

Proxy = Callable[[Path], AbstractContextManager["Popen[str]"]]


@contextmanager
def quota(pid: int, share: float) -> Iterator[None]:
    """Hold a process, with its threads and children, to a share of one CPU."""
    first = Path("/sys/fs/cgroup/cpu")
    folder = (first if first.is_dir() else Path("/sys/fs/cgroup")) / f"voipcluster-bench-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        raise SystemExit(f"{folder}: {error.strerror}; the quota needs a writable cgroup, and root") from None
    try:
        if first.is_dir():
            (folder / "cpu.cfs_period_us").write_text(str(PERIOD))
            (folder / "cpu.cfs_quota_us").write_text(str(int(PERIOD * share)))
        else:
            (folder / "cpu.max").write_text(f"{int(PERIOD * share)} {PERIOD}")
        family = [pid]
        for member in family:
            (folder / "cgroup.procs").write_text(str(member))
            for task in Path(f"/proc/{member}/task").glob("*"):
                family += [int(child) for child in (task / "children").read_text().split()]
        yield
    finally:
        for member in (folder / "cgroup.procs").read_text().split():
            (folder.parent / "cgroup.procs").write_text(member)
        folder.rmdir()


@frozen
class Run:
    """Calls per second while measured."""

    offered: float
    done: float
    refused: float
    copies: float
    cpu: float

    def __str__(self) -> str:
        return (
            f"offered {self.offered:7.1f}  done {self.done:7.1f}  refused {self.refused:7.1f}  "
            f"copies {self.copies:7.1f} /s  cpu {self.cpu:.3f}"
        )


def rows(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open() as lines:
        return [row for row in csv.DictReader(lines, delimiter=";") if row.get("OutgoingCall(C)")]


def run(proxy: Proxy, share: float, rate: float, settle: int, measure: int) -> Run:
    """A proxy of its own under one load."""
    folder = Path(tempfile.mkdtemp(prefix="voipcluster-overload-"))
    try:
        with proxy(folder) as process:
            sipp = ["sipp", "-i", "127.0.0.1", "-nostdin", "-deadcall_wait", 0, "-buff_size", 1 << 21]
            if proxy is guarded:
                (folder / "users.csv").write_text("SEQUENTIAL\nbob;\n")
                argv = [*sipp, "-sf", HERE / "sipp" / "register.xml", "-p", CALLEE]
                argv += ["-inf", folder / "users.csv", "-m", 1, PROXY]
                if start(argv, folder / "register.log", 1 - CPU).wait(20):
                    raise SystemExit(
                        f"bob does not register: {(folder / 'register.log').read_text()[-2000:]}"
                    )
            callee = start(
                [*sipp, "-sf", HERE / "sipp" / "uas.xml", "-p", CALLEE], folder / "callee.log", 1 - CPU
            )
            with running(callee), quota(process.pid, share):
                wait_until(lambda: listens(CALLEE), "the callee", folder / "callee.log")
                seconds, statistics = settle + measure, folder / "caller.csv"
                argv = [*sipp, "-sf", HERE / "sipp" / "uac_overload.xml", "-p", CALLER, "-r", round(rate)]
                argv += [
                    "-l",
                    round(rate * (seconds + 5)),
                    "-trace_stat",
                    "-stf",
                    statistics,
                    "-fd",
                    1,
                    PROXY,
                ]
                with running(start(argv, folder / "caller.log", 1 - CPU)):
                    time.sleep(settle + 0.5)
                    used = cpu_seconds(process.pid)
                    time.sleep(measure + 0.5)
                    used = cpu_seconds(process.pid) - used
                read = rows(statistics)
    finally:
        if not os.environ.get("BENCH_KEEP"):
            shutil.rmtree(folder, ignore_errors=True)
    if len(read) < seconds:
        raise SystemExit(f"sipp ended early: {len(read)} of {seconds} s")

    def rise(column: str) -> float:
        return (int(read[seconds - 1].get(column) or 0) - int(read[settle - 1].get(column) or 0)) / measure

    return Run(
        rise("OutgoingCall(C)"),
        rise("done(C)"),
        rise("refused(C)"),
        rise("Retransmissions(C)"),
        used / measure,
    )


def capacity(proxy: Proxy, share: float) -> float:
    """Calls per second, in steps of a tenth."""
    rate, best = 4000.0 * share, 0.0
    while True:
        for _ in range(2):
            result = run(proxy, share, rate, 2, 5)
            good = result.done >= 0.97 * result.offered and result.copies <= 0.01 * result.offered
            if good:
                break
        print(f"    at {rate:.0f}/s: {'carried' if good else 'too much'}   {result}", flush=True)
        if good:
            best, rate = rate, rate * 1.1
        elif best:
            return best
        else:
            rate /= 1.4


def processes(proxies: dict[str, Proxy], loads: list[float], share: float, known: float) -> bool:
    """Prints a line a run; whether voipcluster reaches its goals."""
    reached = True
    results: dict[tuple[str, float], float] = {}
    for name, proxy in proxies.items():
        most = known or capacity(proxy, share)
        print(f"{name}: {most:.0f} calls/s with {share:g} of a CPU", flush=True)
        for times in loads:
            result = run(proxy, share, times * most, SETTLE, MEASURE)
            goodput = results[name, times] = result.done / most
            print(f"  {times:4g} times: goodput {goodput:.3f}   {result}", flush=True)
    for times in loads:
        if ("voipcluster", times) in results:
            goodput, goal = results["voipcluster", times], GOALS.get(times, 0.0)
            other = results.get(("kamailio", times))
            beside = "" if other is None else f", Kamailio {other:.3f}"
            print(f"{times:g} times: {goodput:.3f} (goal {goal:g}{beside})")
            reached = reached and goodput >= goal
    return reached


def model() -> bool:
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
            )
            goodput = Model(load).run().goodput(10, 25)
            cells.append(goodput)
            reached = reached and (not algorithms or times < 1 or goodput >= 0.95)
        print(f"{title:28}" + "".join(f"{cell:8.3f}" for cell in cells), flush=True)
    steady = Model(Load(rate=lambda now: 900.0, until=120.0, algorithms=(LOSS,))).run()
    false = steady.total("refused", 0, 120) + steady.total("held_back", 0, 120)
    print(f"false refusals in 120 s of 0.90 of the capacity: {false} (goal 0)")

    def surge(now: float) -> float:
        return 5000.0 if 5.0 <= now < 65.0 else 800.0

    after = Model(Load(rate=surge, until=80.0, algorithms=(LOSS,))).run()
    lost = sum(after.total(name, 66, 80) for name in ("refused", "held_back", "lost"))
    taken = 1 - lost / after.total("offered", 66, 80)
    print(
        f"from the first second behind 60 s of 5 times the capacity: {taken:.4f} of what is offered (goal 0.99)"
    )
    return reached and not false and taken >= 0.99


def refusal(call: float) -> bool:
    """
    CPU time of one refusal: INVITE read, looked at, answered, and the ACK read; without what waking up costs.

    @param call: microseconds of a call that is served, as bench/proxy.py says.
    """
    invite = (HERE / "sipp" / "uac_overload.xml").read_text().partition("CDATA[\n")[2].partition("]]>")[0]
    data = (
        re.sub(r"\[\w+\]", "12345", invite)
        .replace("\n", "\r\n")
        .replace("branch=", "branch=z9hG4bK")
        .encode()
    )
    caller, node = (open_udp_socket("127.0.0.1", 0) for _ in range(2))
    least = math.inf
    for _ in range(200):
        for _ in range(50):
            caller.sendto(data, node.getsockname())
            caller.sendto(data, node.getsockname())
        begun = time.process_time()
        for _ in range(50):
            received, source = node.recvfrom(65535)
            seen = glance(received)
            assert seen is not None, received
            is_emergency(received)
            is_handed_over(received)
            has_credentials(received)
            node.sendto(refusal_of(seen, source, b"mark").wire, source)
            is_ack_of(node.recvfrom(65535)[0], b"mark")
        least = min(least, (time.process_time() - begun) / 50)
        while select.select([caller], [], [], 0)[0]:
            caller.recv(65535)
    share = least * 1e6 / call
    print(f"a refusal takes {least * 1e6:.1f} us, {share:.3f} of a call of {call:g} us (goal 0.02)")
    return share <= 0.02


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("model", "refusal", "processes"), default="model")
    parser.add_argument("--loads", default="2,3,10")
    parser.add_argument("--share", type=float, default=0.1, help="of one CPU")
    parser.add_argument("--only", choices=("voipcluster", "kamailio"))
    parser.add_argument("--capacity", type=float, default=0.0, help="calls per second; 0: search it first")
    parser.add_argument("--call", type=float, default=200.0, help="microseconds that a served call takes")
    options = parser.parse_args()
    if options.what == "model":
        sys.exit(0 if model() else 1)
    if options.what == "refusal":
        sys.exit(0 if refusal(options.call) else 1)
    enter_namespace()
    proxies: dict[str, Proxy] = {"voipcluster": guarded, "kamailio": kamailio}
    if options.only:
        proxies = {options.only: proxies[options.only]}
    loads = [float(one) for one in options.loads.split(",")]
    sys.exit(0 if processes(proxies, loads, options.share, options.capacity) else 1)


def guarded(folder: Path) -> AbstractContextManager[Popen[str]]:
    """With overload control, as it is by default."""
    return voipcluster(folder, "overload.enabled=true")


if __name__ == "__main__":
    main()
