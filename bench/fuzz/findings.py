"""Run one input, judge it, and keep what is wrong with it in a folder: the octets, and beside them what happened."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from attrs import define, field, frozen

from bench.fuzz.targets import ROOT, Check

# CPU time that one input may take: instrumented code is several times slower, and a quadratic one is far beyond both
BASE, PER_OCTET = 0.1, 80e-6  # seconds
LOOKS = 3  # a slow input is run again: the machine may have been busy


@frozen
class Finding:
    """@ivar key: the same for each input that shows the same fault."""

    key: str
    text: str


def judge(checks: Sequence[Check], data: bytes) -> Finding | None:
    """Run the check that the first octet names."""
    check = checks[data[0] % len(checks)]
    fastest = float("inf")
    limit = BASE + PER_OCTET * len(data)
    for _ in range(LOOKS):
        begin = time.thread_time()
        try:
            check(data[1:])
        except Exception as error:
            return Finding(f"{check.__name__}-{_place(error)}", "".join(traceback.format_exception(error)))
        fastest = min(fastest, time.thread_time() - begin)
        if fastest <= limit:
            return None
    text = f"{check.__name__}: {fastest:.3f} s of CPU for {len(data)} octets, more than {limit:.3f}\n"
    return Finding(f"{check.__name__}-slow", text)


def _place(error: Exception) -> str:
    """The exception, and the last line of ours that it went through."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(ROOT))
    ]
    last = frames[-1]
    return f"{type(error).__name__}-{Path(last.filename).stem}-{last.lineno}"


@define
class Folder:
    """Keeps one input for each fault, the shortest one. @ivar path: made when there is something to keep."""

    path: Path
    _sizes: dict[str, int] = field(factory=dict)

    def keep(self, finding: Finding, data: bytes) -> bool:
        """Whether it is a fault that was not seen before."""
        new = finding.key not in self._sizes
        if new or len(data) < self._sizes[finding.key]:
            self._sizes[finding.key] = len(data)
            self.path.mkdir(parents=True, exist_ok=True)
            name = f"{finding.key}-{hashlib.sha256(finding.key.encode()).hexdigest()[:6]}"
            (self.path / name).write_bytes(data)
            (self.path / f"{name}.txt").write_text(finding.text, encoding="utf-8", errors="backslashreplace")
        return new
