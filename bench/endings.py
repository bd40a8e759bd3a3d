"""
What a node keeps of calls that have ended, in every way in which a call can end: nothing.

Run: C{python -m bench.endings [--calls 10000] [--mixed] [ENDING ...]}; mixed: all among each other, and one look behind them.

A real node process with its relay, and phones that are two sockets. After the calls of each ending the node must come back to
where it was: no call, no transaction, no timer more than before, all media ports free, as many open descriptors. The figure is
what the process has grown by (resident size) with the second half of the calls, divided by their number: the first half fills
caches, and needs the room for as many transactions as are there at a time.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from bench.common import enter_namespace, python_build
from bench.endings_load import CALLER, ENDINGS, Load
from bench.memory import metrics, resident_kb
from bench.proxies import voipcluster

SETTINGS = (
    "sip.t1=0.02",  # 64*T1 are 1.3 s
    "web.port=8080",
    "media.relay=userspace",
    "media.ports=30000-59999",
    "media.quarantine=0.1",
    f'limits.trusted=["{CALLER[0]}/32"]',
    "limits.media_ports_per_address=0.001",  # of whoever is not trusted: 15 pairs
)
KEPT = ("voipcluster_calls", "voipcluster_transactions", "voipcluster_media_streams", "voipcluster_timers")
WARM = 200  # calls of each ending before the first look
FILL = 20_000  # calls of the first one, where growth is looked at: more than the caches hold, the tokens of 16,384 calls
SETTLED = 30.0  # s, at most: 64*T1, the media time-out, and what a busy machine takes
SILENT = ("both crash",)  # endings that nothing but the media time-out shows
GROWTH = 0.25  # kB a call, at most: the figures of the dashboard and the log of limits grow in steps


def look(pid: int) -> dict[str, float]:
    """What must be as it was."""
    now = metrics()
    return {
        **{name: now[name] for name in KEPT},
        "free media ports": now["voipcluster_media_ports_free"],
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
    }


def settles(pid: int, base: dict[str, float] | None, seconds: float = SETTLED) -> dict[str, float]:
    """
    Wait until the node is where it was, or, without C{base}, until it holds nothing.

    @return: what it has now, whatever that is, after C{seconds} at most.
    """
    end = time.monotonic() + seconds
    while True:
        now = look(pid)
        if (now == base) if base else not (now["voipcluster_calls"] or now["voipcluster_transactions"]):
            return now
        if time.monotonic() > end:
            return now
        time.sleep(0.2)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--calls", type=int, default=10_000, help="of each ending")
    parser.add_argument("--mixed", action="store_true", help="all endings among each other")
    parser.add_argument("endings", nargs="*", choices=[[], *ENDINGS], metavar="ENDING")
    given = parser.parse_args()
    enter_namespace()
    print(f"{python_build()}; {given.calls} calls of each ending", flush=True)
    endings = given.endings or list(ENDINGS)
    silent = [name for name in endings if name in SILENT]
    others = [name for name in endings if name not in SILENT]
    # the media time-out would also end what nothing else has ended, and so nobody would notice
    good = run(others, "media.timeout=86400", given.calls, given.mixed) if others else True
    return int(not (good & (run(silent, "media.timeout=1", given.calls, given.mixed) if silent else True)))


def run(endings: list[str], timeout: str, calls: int, mixed: bool) -> bool:
    """One node, and all calls of these endings."""
    good = True
    with (
        tempfile.TemporaryDirectory(prefix="bench-endings-") as folder,
        closing(Load()) as load,
        voipcluster(Path(folder), *SETTINGS, timeout) as process,
    ):
        load.register()
        load.run(endings, min(WARM, calls))
        if calls > 10 * WARM:
            load.run(endings[:1], FILL)
        settles(process.pid, None)
        time.sleep(1.0)  # the last ports have rested
        base = settles(process.pid, None)
        if base["voipcluster_calls"] or base["voipcluster_transactions"]:
            raise SystemExit(f"the node does not come to rest behind {WARM} calls of each ending: {base}")
        for some in [endings] if mixed else [[name] for name in endings]:
            good &= measure(process.pid, load, some, calls, base)
    return good


def measure(pid: int, load: Load, names: list[str], calls: int, base: dict[str, float]) -> bool:
    """So many calls of each of these endings; prints what is left of them, and tells whether that is nothing."""
    load.ended.clear()
    begun = time.monotonic()
    load.run(names, calls - calls // 2)
    took = time.monotonic() - begun
    settles(pid, base)
    before, begun = resident_kb(pid), time.monotonic()
    load.run(names, calls // 2)
    took += time.monotonic() - begun
    now = settles(pid, base)
    count = len(names) * calls
    grown = (resident_kb(pid) - before) / (count / 2)
    wrong = [f"{what} {now[what]:g} instead of {was:g}" for what, was in base.items() if now[what] != was]
    wrong += [
        f"{load.failed[name]} calls did not end by {ENDINGS[name]}" for name in names if load.failed[name]
    ]
    if grown > GROWTH and calls > 10 * WARM:
        wrong.append(f"grew by more than {GROWTH} kB a call")
    what = ENDINGS[names[0]] if len(names) == 1 else f"{len(names)} endings, {calls} calls of each"
    ended = sum(load.ended[name] for name in names)
    told = "; ".join(wrong) or "nothing is left"
    print(f"{what:58} {ended:6} calls {count / took:5.0f}/s {grown:6.2f} kB a call: {told}", flush=True)
    return not wrong


if __name__ == "__main__":
    sys.exit(main())
