"""
Run the tests and count them: C{python -m tests [--lint] [PART or trial name]...}.

The unit tests are one C{trial}; every other module is a C{trial} of its own, but for some of the conformance tests that share
one, and its nodes. So some can run at once, each with a network of its own, and a hanging one can be ended. Before the last
line are the totals of the conformance tests that ran; a run of all of these brings docs/conformance.md up to date. The last
line is C{N passed, N failed, N skipped}; the exit status is 1 unless all passed and none was skipped.

With C{--lint}, script/test lint runs as one of the trials; what it says is printed before anything else, and its failure once
more before the last lines: it makes the exit status 1, too, but is no test that is counted.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from tests.conformance import report
from tests.conformance.marks import RESULTS

HERE = Path(__file__).parent
PARTS = ("unit", "simulation", "conformance", "integration")
TIME_LIMIT = 400  # seconds for one trial
LINT_LIMIT = 600  # seconds for script/test lint, beside trials
LONG = (
    "tests.unit",
    "tests.integration.test_bad_input",
    "tests.conformance.test_minutes",
    "tests.conformance.test_floods",
    "tests.integration.test_packaging",
    "tests.integration.test_outage",
    "tests.integration.test_voipctl",
    "tests.simulation.test_overload",
    "tests.simulation.test_goals",
)  # begun first
TOGETHER = 3  # modules of conformance tests in a trial: what it imports, and the nodes of the same options, are there once
AT_ONCE = 3 * (os.cpu_count() or 1)  # most of them wait most of the time: for timers, phones and processes

_SUMMARY = re.compile(r"^(?:PASSED|FAILED)(?: \((?P<counts>[^)]*)\))?$", re.MULTILINE)
_COUNT = re.compile(r"(\w+)=(\d+)")


class Totals(NamedTuple):
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def plus(self, other: Totals) -> Totals:
        return Totals(*(a + b for a, b in zip(self, other, strict=True)))


def totals_of(output: str, status: int) -> Totals:
    """Read what trial says at its end; a trial that died, or ran nothing, is one failure."""
    summaries = list(_SUMMARY.finditer(output))
    if not summaries:
        return Totals(failed=1)
    counts = {name: int(number) for name, number in _COUNT.findall(summaries[-1]["counts"] or "")}
    failed = counts.get("failures", 0) + counts.get("errors", 0) + counts.get("unexpectedSuccesses", 0)
    skipped = counts.get("skips", 0) + counts.get("expectedFailures", 0)
    totals = Totals(counts.get("successes", 0), failed, skipped)
    if sum(totals) == 0 or (status != 0 and not failed):
        return totals._replace(failed=failed + 1)
    return totals


def trials(names: list[str]) -> list[list[str]]:
    """What each trial is to run; the long ones first, and parts that wait among parts that compute."""
    runs: list[tuple[float, list[str]]] = []
    for name in names:
        if name == "unit":
            runs.append((0.0, ["tests.unit"]))
        elif name in PARTS:
            modules = sorted((HERE / name).rglob("test_*.py"), key=lambda file: -file.stat().st_size)
            found = [".".join(file.relative_to(HERE.parent).with_suffix("").parts) for file in modules]
            shared = [module for module in found if name == "conformance" and module not in LONG]
            groups = [[module] for module in found if module not in shared]
            number = -(-len(shared) // TOGETHER)
            groups += [shared[first::number] for first in range(number)]
            runs += [(place / len(groups), group) for place, group in enumerate(groups)]
        else:
            runs.append((0.0, [name]))
    return [run for _, run in sorted(runs, key=lambda placed: (placed[1][0] not in LONG, placed[0]))]


class Ended(NamedTuple):
    """
    What became of a program.

    @ivar output: all that it wrote; C{took}: the seconds, and the CPU time, in words; C{in_time}: it was not ended for its time.
    """

    status: int
    output: str
    took: str
    in_time: bool


def to_its_end(
    command: list[str], environment: dict[str, str] | None = None, seconds: float = TIME_LIMIT
) -> Ended:
    """Run a program in a process group of its own, and end it, with all that it has left behind."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        program = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
        end = partial(os.killpg, program.pid, signal.SIGKILL)
        limit = threading.Timer(seconds, end)
        limit.start()
        try:
            used = used_by(program.pid)
        finally:
            in_time = limit.is_alive()
            limit.cancel()
            # also what a test left behind
            with contextlib.suppress(ProcessLookupError):
                end()
            program.wait()
        output.seek(0)
        text = output.read().decode("utf-8", "replace") + ("" if in_time else f"\nended after {seconds} s\n")
    return Ended(program.returncode, text, f"{time.monotonic() - started:.1f} s{used}", in_time)


def run(names: list[str], results: Path, before: list[str]) -> tuple[Totals, str]:
    """
    Run one trial; give its totals, and its output where something is to be seen.

    @param results: where marked tests record what became of them (L{tests.conformance.marks}).
    @param before: see L{own_network}.
    """
    with tempfile.TemporaryDirectory(prefix="trial-") as folder:
        trial = ["-m", "twisted.trial", "--reporter=bwverbose", f"--temp-directory={folder}/t", *names]
        ended = to_its_end([*before, sys.executable, *trial], {RESULTS: str(results)})
    totals = totals_of(ended.output, ended.status)
    if not ended.in_time and not totals.failed:
        totals = totals._replace(failed=1)
    heading = f"== {' '.join(names)}: {totals.passed} passed in {ended.took}\n"
    return totals, heading if totals.failed == totals.skipped == 0 else ended.output + heading


def lint() -> tuple[bool, str]:
    """Run C{script/test lint}; whether all is well, and what it says."""
    ended = to_its_end([str(HERE.parent / "script" / "test"), "lint"], seconds=LINT_LIMIT)
    return ended.status == 0, f"{ended.output}== lint: {ended.took}\n"


def used_by(pid: int) -> str:
    """Wait until a process has ended, and leave it to be reaped; what it has used, with all that it has waited for."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""  # not Linux
    return f", {sum(map(int, fields[11:15])) / os.sysconf('SC_CLK_TCK'):.0f} s of CPU time"


def show_conformance(results: Path, parts: list[str]) -> None:
    """Print the totals of marked tests when there were any; a run of the whole part also writes the document."""
    shown = report.read([results])
    if not shown:
        return
    rows = report.catalogue()
    if "conformance" in parts:
        report.write(shown, whole=set(PARTS) <= set(parts))
    else:
        rows = [row for row in rows if (row.kind, row.name) in shown]
    for line in report.totals(shown, rows):
        print(line)


def own_network() -> list[str]:
    """
    What goes before a command to give it a network namespace of its own, as root and where the system lets us.

    So nothing that a test sends leaves this machine, whatever names and addresses stand in it, and each trial has all
    ports for itself.
    """
    if os.geteuid() == 0 and subprocess.run(["unshare", "--net", "true"], check=False).returncode == 0:
        return ["unshare", "--net", sys.executable, "-m", "tests.alone"]
    return []


def show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    started = time.monotonic()
    parts = [part for part in arguments if part != "--lint"] or list(PARTS)
    runs = trials(parts)
    totals, clean = Totals(), True
    with tempfile.TemporaryDirectory(prefix="results-") as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        results = Path(folder, "results")
        results.touch()
        linted = pool.submit(lint) if "--lint" in arguments else None
        tested = pool.map(run, runs, repeat(results), repeat(own_network()))
        if linted is not None:
            clean, text = linted.result()
            show(text)
        for counted, text in tested:
            totals = totals.plus(counted)
            show(text)
        show_conformance(results, parts)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    if not clean:
        print("lint, types, layers or documentation failed: see above")
    print(f"took {time.monotonic() - started:.0f} s, and {used.ru_utime + used.ru_stime:.0f} s of CPU time")
    print(f"{totals.passed} passed, {totals.failed} failed, {totals.skipped} skipped", flush=True)
    return 1 if totals.failed or totals.skipped or not totals.passed or not clean else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
