"""
Memory of a node: for each registration, and for each call in progress with and without the relay.

Run: C{python -m bench.memory [--registrations 20000] [--calls 2000] [--only registrations|calls|relayed]}.

A real node process; the figure is what its resident size (F{/proc/PID/status}) grew by, divided by the number, once the SIP
transactions of the load have ended. It is an upper bound: caches that these are the first to fill, and room that transactions
have left behind, are in it; the load comes slowly, and T1 is short, to keep the latter small. The kernel's memory for the
sockets of the relay is not in it.
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.common import compiled, enter_namespace, python_build, running, start
from bench.proxies import CALLEE, CALLER, PROXY, voipcluster

GOALS = {"registration": 2.0, "call": 12.0}  # kB
WARM = 100  # registrations and calls before the first look
INTERVAL = 0.002  # s between calls, or a few registrations
AT_ONCE = 4  # registrations
SETTLED = 60.0  # s, at most
REGISTER = """\
REGISTER sip:example.com SIP/2.0\r
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-r{number};rport\r
Max-Forwards: 70\r
From: "User {number}" <sip:user{number}@example.com>;tag=f{number:08x}\r
To: "User {number}" <sip:user{number}@example.com>\r
Call-ID: {number:016x}@phone.example.com\r
CSeq: 1 REGISTER\r
Contact: <sip:user{number}@192.0.2.1:5060;transport=udp>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-{number:012x}>"\r
Expires: 3600\r
User-Agent: Softphone 1.2.3 (Linux x86_64)\r
Supported: path, outbound, gruu\r
Content-Length: 0\r
\r
"""


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def metrics() -> dict[str, float]:
    """What the node says of itself, summed over the labels."""
    with urllib.request.urlopen("http://127.0.0.1:8080/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    totals: dict[str, float] = {}
    for line in lines:
        if found := re.match(r"(\w+)(?:\{.*\})? (\S+)$", line):
            totals[found[1]] = totals.get(found[1], 0.0) + float(found[2])
    return totals


def settled(pid: int) -> float:
    """Resident kB once no transaction is left and the size stays."""
    end = time.monotonic() + SETTLED
    before = -1
    while True:
        time.sleep(2.0)
        size = resident_kb(pid)
        if metrics()["voipcluster_transactions"] == 0 and abs(size - before) < 100:
            return size
        if time.monotonic() > end:
            raise SystemExit("the node does not come to rest")
        before = size


def expect(name: str, wanted: int) -> None:
    if (found := metrics()[name]) != wanted:
        raise SystemExit(f"{name} is {found:.0f}, not {wanted}")


def register(users: Sequence[int]) -> None:
    """Register users from one socket; each answer must be 200."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.connect(("127.0.0.1", 5060))
        phone.settimeout(5.0)
        for first in range(0, len(users), AT_ONCE):
            some = users[first : first + AT_ONCE]
            for number in some:
                phone.send(REGISTER.format(number=number).encode())
            for _ in some:
                answered(phone)
            time.sleep(INTERVAL)


def answered(phone: socket.socket) -> None:
    line = phone.recv(65535).partition(b"\r\n")[0]
    if not line.startswith(b"SIP/2.0 200"):
        raise SystemExit(f"REGISTER is answered {line.decode()}")


@contextmanager
def calls_up(load: Path, count: int, folder: Path, interval: float = INTERVAL) -> Iterator[None]:
    """Hold so many calls during the block, begun C{interval} seconds apart; they end by BYE after it."""
    argv: list[object] = [load, "-p", PROXY, "-c", CALLER, "-e", CALLEE, "-w", count, "-h", "-s", 60]
    argv += ["-i", int(interval * 1e6)]
    log = folder / "load.log"
    with running(start(argv, log, stdin=subprocess.PIPE, stdout=subprocess.PIPE)) as process:
        assert process.stdin is not None and process.stdout is not None
        said = process.stdout.readline()
        if said != f"held {count}\n":
            raise SystemExit(f"not all calls came up: {said} {log.read_text()}")
        yield
        process.stdin.close()
        said = process.stdout.readlines()[-1]
        if int(said.split()[1]) != count:
            raise SystemExit(f"not all calls ended: {said}")


def short_calls(load: Path, count: int, folder: Path) -> None:
    """So many calls that end at once, the callee registered before."""
    argv = [load, "-p", PROXY, "-c", CALLER, "-e", CALLEE, "-w", 4, "-n", count, "-r"]
    log = folder / "short.log"
    if start(argv, log).wait(30):
        raise SystemExit(f"the short calls failed: {log.read_text()}")


def measure_registrations(pid: int, count: int) -> tuple[float, ...]:
    """kB for each registration."""
    register(range(WARM))
    idle = settled(pid)
    register(range(WARM, WARM + count))
    grown = settled(pid) - idle
    expect("voipcluster_registrations", WARM + count)
    return (grown / count,)


def measure_calls(pid: int, count: int, load: Path, folder: Path) -> tuple[float, ...]:
    """kB for each call in progress, and what each has left behind when all of them have ended."""
    short_calls(load, WARM, folder)
    idle = settled(pid)
    with calls_up(load, count, folder):
        grown = settled(pid) - idle
        expect("voipcluster_calls", count)
    left = settled(pid) - idle
    expect("voipcluster_calls", 0)
    return grown / count, left / count


def show(what: str, goal: float, figures: tuple[float, ...]) -> bool:
    used, *left = figures
    rest = f"; not given back when they have ended: {left[0]:.2f}" if left else ""
    print(f"{what:28} {used:6.2f} kB (goal: at most {goal:g}){rest}", flush=True)
    return used <= goal


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--registrations", type=int, default=20_000)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--only", choices=("registrations", "calls", "relayed"))
    given = parser.parse_args()
    if shutil.which("gcc") is None:
        raise SystemExit("gcc is not installed: apt-get install gcc")
    enter_namespace()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"{python_build()}; {given.registrations} registrations, {given.calls} calls", flush=True)
    good = True
    for what in ("registrations", "calls", "relayed"):
        if given.only not in (None, what):
            continue
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-memory-")))
            settings = [
                "sip.t1=0.02",  # transactions end after 1.3 s instead of 32
                "web.port=8080",
                "media.timeout=3600",
                "media.ports=30000-59999",
            ]
            settings.append(f"media.relay={'userspace' if what == 'relayed' else 'off'}")
            pid = stack.enter_context(voipcluster(folder, *settings)).pid
            if what == "registrations":
                good &= show(
                    "a registration", GOALS["registration"], measure_registrations(pid, given.registrations)
                )
            else:
                load = compiled("callload", folder)
                name = "a call in progress" if what == "calls" else "the same with audio relayed"
                good &= show(name, GOALS["call"], measure_calls(pid, given.calls, load, folder))
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
