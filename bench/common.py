"""What the benchmarks share: a namespace of their own, pinned processes, the scheduler's CPU figures, and the names of builds."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
INSIDE = "VOIPCLUSTER_BENCH_NAMESPACE"


def enter_namespace() -> None:
    """As root: once more in a network and process namespace of our own, so that ports are free and nothing stays."""
    if INSIDE in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    elif os.geteuid() == 0:
        os.environ[INSIDE] = "1"
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        os.execvp(command[0], [*command, sys.executable, *sys.orig_argv[1:]])


# processes


def start(
    argv: Sequence[object], log: Path, cpu: int | None = None, **options: object
) -> subprocess.Popen[str]:
    """Start a process on one CPU (or any), its output at the end of a file unless C{options} say otherwise."""
    pinned = [] if cpu is None else ["taskset", "-c", cpu]
    with log.open("ab") as out:
        settings: dict[str, object] = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out, **options}
        process: subprocess.Popen[str] = subprocess.Popen(
            [str(a) for a in [*pinned, *argv]],
            text=True,
            cwd=ROOT,
            env={**os.environ, "TERM": "dumb", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            **settings,
        )
    return process


@contextmanager
def running(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Ends the process with the block."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process and of its children, as the scheduler counts it (F{/proc/PID/task/*/schedstat})."""
    total, family = 0, [pid]
    for member in family:
        for task in Path(f"/proc/{member}/task").glob("*"):
            try:
                total += int((task / "schedstat").read_text().split()[0])
                family += [int(child) for child in (task / "children").read_text().split()]
            except OSError:
                continue  # a thread that ended meanwhile
    return total / 1e9


def wait_until(ready: Callable[[], bool], what: str, log: Path, seconds: float = 30.0) -> None:
    """@raise SystemExit: it took too long; with the end of what C{what} wrote."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise SystemExit(f"{what} is not ready after {seconds:g} s: {log.read_text()[-2000:]}")
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Whether some process of this network namespace has the UDP port."""
    wanted = f":{port:04X}"
    return any(
        line.split()[1].endswith(wanted) for line in Path("/proc/net/udp").read_text().splitlines()[1:]
    )


def compiled(name: str, folder: Path) -> Path:
    """The program F{bench/NAME.c}, compiled into the folder."""
    program = folder / name
    subprocess.run(["gcc", "-O2", "-o", program, HERE / f"{name}.c", "-lpthread", "-lm"], check=True)
    return program


# names of builds


def python_build() -> str:
    """Version and kind of this Python; one without PGO costs 1.25 to 1.8 times as much."""
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    # Debian and Ubuntu build with PGO by their own rules, and take that out of what sysconfig says.
    by_debian = sys.base_prefix == "/usr" and Path("/etc/debian_version").exists()
    if by_debian:
        kind = "Debian's build, PGO"
    elif "--enable-optimizations" in arguments:
        kind = "PGO"
    else:
        kind = "no PGO"
    return f"{platform.python_implementation()} {platform.python_version()} ({kind})"


def version_of(*argv: str) -> str:
    """The first thing that looks like a version in what a program says of itself, or C{?}."""
    try:
        said = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "?"
    found = re.search(r"\d+\.\d+[\w.+~-]*", said.stdout + said.stderr)
    return found.group() if found else "?"
