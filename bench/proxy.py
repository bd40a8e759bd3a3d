"""
CPU time per call of a stateful record-routing proxy: voipcluster beside Kamailio, in the same run.

    python bench/proxy.py [--rate 500] [--seconds 12] [--repeats 3] [--only voipcluster|kamailio]

One call is INVITE, 100, 180, 200, ACK, BYE, 200 on UDP: 7 messages in, 7 out. Both proxies run as one process on one core, which
the load generators (sipp, one caller, one callee) share; CPU time is the scheduler's own figure. Kamailio is given its fast
allocator (-x tlsf -X tlsf) and one child; as packaged it takes several times more. The callee is registered at voipcluster and a
fixed destination for Kamailio; the relay is off, nobody authenticates. Run as root it makes its own network and process namespace.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCENARIOS = Path(__file__).resolve().parent / "sipp"
PROXY, CALLEE, CALLER = "127.0.0.1:5060", 5070, 5080
CORE = 0
WARM = 3.0  # seconds before the first slice

KAMAILIO = """
debug=0
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:127.0.0.1:5060
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
request_route {
    if (!mf_process_maxfwd_header("70")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (has_totag()) {
        if (loose_route()) { t_relay(); exit; }
        if (is_method("ACK") && t_check_trans()) { t_relay(); }
        exit;
    }
    if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
    t_check_trans();
    record_route();
    $du = "sip:127.0.0.1:5070";
    t_relay();
}
"""


def own_namespace() -> None:
    """Start anew in a network and process namespace: ports never clash, and all ends with us."""
    if os.environ.get("BENCH_IN_NAMESPACE") == "1" or os.geteuid() != 0:
        return
    os.environ["BENCH_IN_NAMESPACE"] = "1"
    os.execvp(
        "unshare",
        ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, *sys.argv],
    )


def start(argv: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=ROOT,
            env={**os.environ, "TERM": "dumb", "PYTHONPATH": str(ROOT)},
            preexec_fn=lambda: os.sched_setaffinity(0, {CORE}),
        )


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """CPU time of a process and its children, from the scheduler."""
    total, family = 0, [process.pid]
    for pid in family:
        for task in Path(f"/proc/{pid}/task").glob("*"):
            try:
                total += int((task / "schedstat").read_text().split()[0])
                family += [int(child) for child in (task / "children").read_text().split()]
            except OSError:
                pass
    return total / 1e9


def wait_until(ready: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise SystemExit(f"{what} is not ready after {seconds:g} s")
        time.sleep(0.05)


def listens(port: int) -> bool:
    wanted = f":{port:04X}"
    return any(line.split()[1].endswith(wanted) for line in Path("/proc/net/udp").read_text().splitlines()[1:])


@contextmanager
def kamailio(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "kamailio.cfg").write_text(KAMAILIO)
    argv = ["kamailio", "-DD", "-E", "-f", str(folder / "kamailio.cfg"), "-Y", str(folder), "-m", "512", "-M", "8"]
    process = start([*argv, "-x", "tlsf", "-X", "tlsf"], folder / "proxy.log")
    try:
        wait_until(lambda: listens(5060), "kamailio")
        yield process
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def voipcluster(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    options = [
        "auth.required=false", "media.relay=off", "limits.calls=1000000", "limits.transactions=10000000",
        "cluster.threshold=0.99", "cluster.hard_limit=1.0", "web.port=0",
    ]  # fmt: skip
    if not Path(f"{sys.prefix}/bin/twistd").exists():
        raise SystemExit("twistd is not installed beside this python")
    argv = [sys.executable, f"{sys.prefix}/bin/twistd", "-n", "--pidfile=", "voipcluster", "--role", "primary"]
    argv += ["--name", "a", "--address", "127.0.0.1", "--state-dir", str(folder / "state")]
    for option in options:
        argv += ["--set", option]
    process = start(argv, folder / "proxy.log")
    try:
        wait_until(lambda: listens(5060) and (folder / "state" / "admin.sock").exists(), "voipcluster")
        (folder / "users.csv").write_text("SEQUENTIAL\nbob;\n")
        argv = sipp("register.xml", CALLEE, "-inf", str(folder / "users.csv"), "-m", "1", PROXY)
        register = start(argv, folder / "register.log")
        if register.wait(20) != 0:
            raise SystemExit(f"bob does not register: {(folder / 'register.log').read_text()[-2000:]}")
        yield process
    finally:
        process.terminate()
        process.wait(10)


def sipp(scenario: str, port: int, *more: str) -> list[str]:
    base = ["sipp", "-sf", str(SCENARIOS / scenario), "-i", "127.0.0.1", "-p", str(port), "-nostdin"]
    return [*base, "-deadcall_wait", "0", "-buff_size", str(1 << 21), *more]


def calls_done(folder: Path) -> int:
    """Calls that the caller has completed, from sipp's statistics (one line a second)."""
    lines = (folder / "caller.csv").read_text().splitlines() if (folder / "caller.csv").exists() else []
    if len(lines) < 2:
        return 0
    return int(dict(zip(lines[0].split(";"), lines[-1].split(";"), strict=False))["SuccessfulCall(C)"])


def measure(proxy: Callable[[Path], object], rate: int, seconds: float) -> dict[str, float]:
    """CPU per call in us, median of one-second slices, and memory per live call."""
    folder = Path(tempfile.mkdtemp(prefix="bench-proxy-"))
    try:
        with proxy(folder) as process:  # type: ignore[attr-defined]
            callee = start(sipp("uas.xml", CALLEE), folder / "callee.log")
            wait_until(lambda: listens(CALLEE), "the callee")
            count = int(rate * (WARM + seconds + 1))
            argv = sipp("uac.xml", CALLER, "-r", str(rate), "-m", str(count), "-l", "1000000", "-trace_stat")
            argv += ["-stf", str(folder / "caller.csv"), "-fd", "1", PROXY]
            caller = start(argv, folder / "caller.log")
            time.sleep(WARM)
            slices = []
            done, used = calls_done(folder), cpu_seconds(process)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(1.0)
                now_done, now_used = calls_done(folder), cpu_seconds(process)
                if now_done > done:
                    slices.append((now_used - used) * 1e6 / (now_done - done))
                    done, used = now_done, now_used
            caller.wait(60)
            callee.terminate()
            callee.wait(10)
            rows = (folder / "caller.csv").read_text().splitlines()
            last = dict(zip(rows[0].split(";"), rows[-1].split(";"), strict=False))
            return {
                "us": statistics.median(slices),
                "failed": float(last["FailedCall(C)"]),
                "retransmissions": float(last["Retransmissions(C)"]),
            }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU per call beside Kamailio")
    parser.add_argument("--rate", type=int, default=500, help="calls per second")
    parser.add_argument("--seconds", type=float, default=12.0, help="measured time of each run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=("voipcluster", "kamailio"))
    given = parser.parse_args()
    for tool in ("sipp", "kamailio"):
        if shutil.which(tool) is None and given.only != "voipcluster":
            raise SystemExit(f"{tool} is not installed: apt-get install sip-tester kamailio")
    own_namespace()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=False, stderr=subprocess.DEVNULL)
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    build = f"Python {platform.python_version()}, {'PGO' if optimised else 'no PGO'}"
    print(f"{given.rate} calls/s, {given.seconds:g} s a run; {build}; Kamailio -x tlsf -X tlsf, one child")
    proxies = {"voipcluster": voipcluster, "kamailio": kamailio}
    results: dict[str, list[float]] = {name: [] for name in proxies if given.only in (None, name)}
    for _ in range(given.repeats):
        for name, found in results.items():
            figure = measure(proxies[name], given.rate, given.seconds)
            found.append(figure["us"])
            print(
                f"  {name:12} {figure['us']:8.1f} us/call, failed {figure['failed']:.0f}, "
                f"retransmissions {figure['retransmissions']:.0f}",
                flush=True,
            )
    for name, found in results.items():
        print(f"{name:14} median {statistics.median(found):.1f} us of CPU per call")
    if len(results) == 2:
        ratio = statistics.median(results["voipcluster"]) / statistics.median(results["kamailio"])
        print(f"ratio          {ratio:.2f} (goal: at most 3.0)")


if __name__ == "__main__":
    main()
