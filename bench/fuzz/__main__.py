"""
Fuzz one target: C{python -m bench.fuzz sip --seconds 1200}; C{--replay FILE...} runs inputs that were found before.

Needs C{pip install -e '.[dev,fuzz]'} (C{script/fuzz} sees to it). Exit status 1 when something was found.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from attrs import define, field

from bench.fuzz.findings import judge
from bench.fuzz.targets import ROOT, TARGETS, Target

STUCK = 20  # seconds for one input: libFuzzer ends its process then, also inside of a regular expression
MEMORY = 1500  # MiB
RESTARTS = 20  # processes that end early, each is a finding

_STATUS = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)")
_DONE = re.compile(r"stat::number_of_executed_units:\s+(\d+)")


@define
class Run:
    """What came of it. C{coverage}: branches of the package that were taken; C{features}: and how often."""

    executions: int = 0
    coverage: int = 0
    features: int = 0
    corpus: int = 0
    found: list[str] = field(factory=list)

    def read(self, line: str, before: int) -> None:
        """@param before: executions of the processes that ended before this one."""
        if (status := _STATUS.match(line)) is not None:
            count, self.coverage, self.features, self.corpus = map(int, status.groups())
            self.executions = before + count
        elif (done := _DONE.match(line)) is not None:
            self.executions = before + int(done[1])
        elif line.startswith("FINDING "):
            self.found.append(line.split()[1])


def fuzz(target: Target, seconds: float, findings: Path, corpus: Path, seed: int, say_all: bool) -> Run:
    run, deadline = Run(), time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        words = Path(name) / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words), encoding="ascii")
        seeds = Path(name) / "seeds"
        seeds.mkdir()
        for number, octets in enumerate(target.inputs()):
            (seeds / f"{number:04}").write_bytes(octets)
        for _ in range(RESTARTS):
            left = round(deadline - time.monotonic())
            if left < 1:
                break
            flags = [
                f"-max_total_time={left}", f"-max_len={target.longest}", f"-timeout={STUCK}", f"-rss_limit_mb={MEMORY}",
                f"-artifact_prefix={findings}/", f"-dict={words}", f"-seed={seed}", "-print_final_stats=1",
                str(corpus), str(seeds),
            ]  # fmt: skip
            try:
                _one_process(target.name, findings, flags, run, say_all)
            except KeyboardInterrupt:
                break
    return run


def _escaped(word: bytes) -> str:
    return "".join(chr(c) if 32 < c < 127 and c not in b'"\\' else f"\\x{c:02x}" for c in word)


def _one_process(target: str, findings: Path, flags: list[str], run: Run, say_all: bool) -> None:
    command = [sys.executable, "-m", "bench.fuzz.worker", target, str(findings), *flags]
    before, known = run.executions, set(findings.glob("*"))
    last: list[str] = []
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, errors="replace"
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                run.read(line, before)
                last = [*last[-30:], line]
                if say_all or line.startswith("FINDING "):
                    print(line, end="", flush=True)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        kept = [
            file.name
            for file in set(findings.glob("*")) - known
            if file.name.startswith(("timeout-", "oom-", "crash-"))
        ]
        if not kept:
            sys.exit(f"the fuzzer ended with status {process.returncode}:\n{''.join(last)}")
        run.found += kept


def replay(target: Target, files: list[Path]) -> int:
    checks, status = target.load(), 0
    for file in files:
        data = file.read_bytes()
        finding = judge(checks, data) if data else None
        print(f"{file}: {'nothing found' if finding is None else finding.text}")
        status |= finding is not None
    return status


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=(__doc__ or "").split("\n")[1])
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (%(default)s)")
    parser.add_argument(
        "--findings",
        type=Path,
        default=Path("fuzz-findings"),
        metavar="DIR",
        help="kept inputs (%(default)s/TARGET)",
    )
    parser.add_argument(
        "--corpus", type=Path, metavar="DIR", help="inputs that reach something, kept from run to run"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the mutations (%(default)s)")
    parser.add_argument("--verbose", action="store_true", help="show what libFuzzer says")
    parser.add_argument(
        "--replay", type=Path, nargs="+", metavar="FILE", help="run these inputs once, nothing else"
    )
    arguments = parser.parse_args(given)
    target = TARGETS[arguments.target]
    if arguments.replay:
        return replay(target, arguments.replay)
    findings = (arguments.findings / target.name).resolve()
    findings.mkdir(parents=True, exist_ok=True)
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # the worker ends with us, and the figures are printed
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="corpus-") as name:
        corpus = Path(name) if arguments.corpus is None else (arguments.corpus / target.name).resolve()
        corpus.mkdir(parents=True, exist_ok=True)
        run = fuzz(target, arguments.seconds, findings, corpus, arguments.seed, arguments.verbose)
    took = time.monotonic() - begin
    print(
        f"{target.name}: {run.executions} executions in {took:.0f} s ({run.executions / took:.0f}/s), "
        f"coverage {run.coverage} branches, {run.features} features, {run.corpus} inputs kept, {len(run.found)} findings"
    )
    if run.found:
        print(
            f"inputs and what happened: {findings}; again: python -m bench.fuzz {target.name} --replay FILE"
        )
    return 1 if run.found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
