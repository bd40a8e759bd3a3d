"""
CPU per relayed RTP packet: this relay beside rtpengine in user space, same load, same run, in turns.

Run: C{python -m bench.relay [--calls 50,100,200]}. Needs gcc and Debian's C{rtpengine}; as root everything happens in
its own network namespace. One call is G.711 both ways: 100 packets a second. The figure is the CPU time of the relay
process (C{/proc/PID/task/*/schedstat}) for each packet that came out of it, median and lowest over one-second slices.

Relay and load share one CPU: on two virtual CPUs each packet would wake the other one, which costs more than either
relay does (C{--split} shows it). C{--target} makes the exit status 1 when the ratio of the medians is above it.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from bench.common import compiled, enter_namespace, version_of

HERE = Path(__file__).resolve().parent
CALLER, CALLEE = 10000, 14000  # first ports of the parties
NG = ("127.0.0.1", 2223)
WARM = 2  # seconds: latching, and caches
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
    stack: ExitStack, calls: int, python: str
) -> tuple[int, list[tuple[int, int]], dict[str, Any]]:
    path = [str(HERE.parent), sysconfig.get_path("purelib")]
    child = stack.enter_context(
        running(
            [python, HERE / "relay_server.py", calls, CALLER, CALLEE],
            stdout=subprocess.PIPE,
            preexec_fn=pinned(0),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"},
        )
    )
    stdout: IO[str] | None = child.stdout
    assert stdout is not None
    line = stdout.readline()
    if not line:
        raise RuntimeError("the relay did not start")
    told = json.loads(line)
    return child.pid, [(a, b) for a, b in told["legs"]], told


def start_rtpengine(stack: ExitStack, calls: int, folder: str) -> tuple[int, list[tuple[int, int]]]:
    settings = Path(folder, "rtpengine.conf")
    settings.write_text(
        "[rtpengine]\ntable = -1\ninterface = 127.0.0.1\nlisten-ng = 127.0.0.1:2223\nport-min = 20000\n"
        "port-max = 39999\nlog-level = 3\nlog-stderr = true\nforeground = true\nnum-threads = 1\ntimeout = 600\n"
    )
    child = stack.enter_context(
        running(["rtpengine", "--config-file", settings], stderr=subprocess.DEVNULL, preexec_fn=pinned(0))
    )
    wait_for_udp(NG[1], child)
    return child.pid, rtpengine_legs(calls)


def measure(
    load: Path, pid: int, legs: list[tuple[int, int]], seconds: int, cpu: int
) -> tuple[list[float], int, int]:
    """CPU us per packet for each second; packets sent and received in all."""
    figures = []
    feed = load.with_name("legs")
    feed.write_text("".join(f"{local} {relay}\n" for local, relay in legs))
    with (
        feed.open() as lines,
        running([load, WARM + seconds], stdin=lines, stdout=subprocess.PIPE, preexec_fn=pinned(cpu)) as child,
    ):
        assert child.stdout is not None
        before: tuple[float, int] | None = None
        sent = received = 0
        for second, line in enumerate(child.stdout, start=1):
            sent, received = (int(n) for n in line.split())
            now = cpu_us(pid), received
            if before is not None and now[1] > before[1]:
                figures.append((now[0] - before[0]) / (now[1] - before[1]))
            if second >= WARM:
                before = now
    return figures, sent, received


def compare(calls: int, rounds: int, seconds: int, python: str, split: bool) -> float | None:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        load = compiled("rtpload", Path(folder))
        pid, legs, told = start_ours(stack, calls, python)
        relays = {"voipcluster": (pid, legs)}
        try:
            relays["rtpengine"] = start_rtpengine(stack, calls, folder)
        except FileNotFoundError:
            print("rtpengine is not installed: apt-get install rtpengine")
        figures: dict[str, list[float]] = {name: [] for name in relays}
        lost = dict.fromkeys(relays, 0)
        for _ in range(rounds):
            for name, (relay_pid, relay_legs) in relays.items():
                more, sent, received = measure(load, relay_pid, relay_legs, seconds, 1 if split else 0)
                figures[name] += more
                lost[name] += sent - received
    print(
        f"{calls} calls, {calls * 100} packets/s, {'two CPUs' if split else 'one CPU'}; {told['python']};"
        f" rtpengine {version_of('rtpengine', '-v')}"
    )
    print(
        f"  setting a call up: {told['setup_us']:.0f} us of CPU, {told['memory_kb']:.1f} kB, two messages and 4 sockets"
    )
    for name, values in figures.items():
        print(
            f"  {name:12} CPU us/packet: median {statistics.median(values):5.2f}  lowest {min(values):5.2f}"
            f"  ({len(values)} slices, {lost[name]} packets under way or lost)"
        )
    if len(figures) < 2:
        return None
    ratio = statistics.median(figures["voipcluster"]) / statistics.median(figures["rtpengine"])
    lowest = min(figures["voipcluster"]) / min(figures["rtpengine"])
    print(f"  ratio        median {ratio:.2f}  lowest {lowest:.2f}", flush=True)
    return ratio


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--calls", default="50,100,200", help="comma list of calls in progress")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each relay")
    parser.add_argument("--seconds", type=int, default=5, help="slices in a turn")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the relay")
    parser.add_argument("--split", action="store_true", help="load on the second CPU")
    parser.add_argument("--target", type=float, help="highest ratio that passes")
    options = parser.parse_args()
    enter_namespace()
    ratios = [
        compare(int(calls), options.rounds, options.seconds, options.python, options.split)
        for calls in options.calls.split(",")
    ]
    return int(options.target is not None and any(r is None or r > options.target for r in ratios))


if __name__ == "__main__":
    sys.exit(main())
