"""A share of one CPU for a process: what a node does when it has too much to do is the same then on any machine, busy or not."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

PERIOD = 40_000  # us
_ROOT = Path("/sys/fs/cgroup")


class Quota:
    """
    A control group (version 1 or 2) that has no more than its share of the time of one CPU.

    @param share: of a CPU.
    @raise OSError: no group can be made here, or it knows no CPU time.
    """

    def __init__(self, share: float) -> None:
        first = _ROOT / "cpu"
        self._old = first.is_dir()
        self._folder = Path(tempfile.mkdtemp(prefix="voipcluster-quota-", dir=first if self._old else _ROOT))
        most = round(PERIOD * share)
        try:
            if self._old:
                (self._folder / "cpu.cfs_period_us").write_text(str(PERIOD))
                (self._folder / "cpu.cfs_quota_us").write_text(str(most))
            else:
                (self._folder / "cpu.max").write_text(f"{most} {PERIOD}")
        except OSError:
            self._folder.rmdir()
            raise

    def hold(self, pid: int) -> None:
        """Hold a process, with its threads and children, to the share."""
        family = [pid]
        for member in family:
            (self._folder / "cgroup.procs").write_text(str(member))
            for task in Path(f"/proc/{member}/task").glob("*"):
                family += [int(child) for child in (task / "children").read_text().split()]

    def remove(self) -> None:
        """Let its processes have what they want again."""
        for member in (self._folder / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):  # it has just ended
                (self._folder.parent / "cgroup.procs").write_text(member)
        self._folder.rmdir()


@cache
def refused() -> str:
    """Why there can be no quota here, for C{skip}; empty when there can."""
    if os.geteuid() != 0:
        return "needs root, to give a process a share of a CPU"
    try:
        Quota(0.5).remove()
    except OSError as error:
        return f"needs a writable control group for the CPU, but: {error}"
    return ""
