"""
One run of libFuzzer by way of atheris; started by C{bench.fuzz}, for libFuzzer ends its process as it likes.

C{python -m bench.fuzz.worker TARGET FINDINGS [libFuzzer's flags and corpus folders]}
"""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Collection
from pathlib import Path

import atheris

from bench.fuzz.findings import Folder, judge
from bench.fuzz.targets import TARGETS

REPEATED = (
    12  # one mutation in so many repeats a piece: what takes time that is not linear is long and monotonous
)


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    choice = random.Random(seed)
    if len(data) < 3 or choice.randrange(REPEATED):
        return atheris.Mutate(data, max_size)
    start = choice.randrange(1, len(data))
    piece = data[start : start + choice.choice((1, 1, 2, 3, 5, 8, 20))]
    times = choice.choice((2, 3, 10, 50, 300, 2000))
    return (data[:start] + piece * times + data[start:])[:max_size]


def instrument(modules: Collection[str]) -> None:
    """Import these with their branches counted, and nothing that they import: atheris knows only top packages by name."""
    for name in modules:
        importlib.import_module(name)
    for name in modules:
        del sys.modules[name]
    if modules:  # it takes no names for all
        with atheris.instrument_imports(include=sorted({name.partition(".")[0] for name in modules})):
            for name in modules:
                importlib.import_module(name)


def main(target: str, findings: Path, flags: list[str]) -> None:
    instrument(TARGETS[target].guides)
    with atheris.instrument_imports(include=["voipcluster"]):
        checks = TARGETS[target].load()
    folder = Folder(findings)

    def one_input(data: bytes) -> None:
        if not data:
            return
        finding = judge(checks, data)
        if finding is not None and folder.keep(finding, data):
            print(f"FINDING {finding.key}", file=sys.stderr, flush=True)

    atheris.Setup([sys.argv[0], *flags], one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
