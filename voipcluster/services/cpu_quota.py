"""
How much CPU time the control groups of this process allow: the CPU limit of a container, the C{CPUQuota} of a unit.

cgroups(7), and for version 2 the kernel's C{cgroup-v2.rst}: a group has what its own quota and those of all groups above it
leave, C{cpu.max} of version 2 and C{cpu.cfs_quota_us} of version 1. Both versions may be mounted at the same time, each with
controllers of its own. What cannot be read is no quota.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

MACHINE = Path("/")
_LONGEST = 4096  # octets of a quota; none is longer than some twenty
_OCTAL = re.compile(r"\\([0-7]{3})")  # as proc_pid_mountinfo(5) writes spaces


class CpuQuota:
    """
    Called, it says how many CPUs the process may use: infinity where no quota is set. On the thread that it is asked for.

    What is mounted where is looked up once; which groups these are and what they allow, each time: a quota can be changed.

    @param root: where C{proc} is, and what is mounted.
    """

    def __init__(self, root: Path = MACHINE) -> None:
        self._root = root
        self._mounts: list[tuple[int, str, Path]] | None = None

    def __call__(self) -> float:
        if self._mounts is None:
            self._mounts = list(self._mounted())
        if not self._mounts:
            return math.inf
        least = math.inf
        for version, path in self._groups():
            for of, top, point in self._mounts:
                if of == version:
                    least = min(least, self._quota(version, top, point, path))
        return least

    def _mounted(self) -> Iterator[tuple[int, str, Path]]:
        """Version, the group that is mounted, and where, of each hierarchy that may know a quota (C{mountinfo})."""
        for line in self._lines("mountinfo"):
            mount, _, of = line.partition(" - ")
            fields, kind = mount.split(" "), of.split(" ")
            if len(fields) < 5 or len(kind) < 3:
                continue
            top, point = (_OCTAL.sub(lambda found: chr(int(found[1], 8)), text) for text in fields[3:5])
            if kind[0] == "cgroup2":
                yield 2, top, self._root / point.lstrip("/")
            elif kind[0] == "cgroup" and "cpu" in kind[2].split(","):
                yield 1, top, self._root / point.lstrip("/")

    def _groups(self) -> Iterator[tuple[int, str]]:
        """Version and path of the groups of this thread (C{/proc/thread-self/cgroup})."""
        for line in self._lines("cgroup"):
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0" and not controllers:
                yield 2, path
            elif "cpu" in controllers.split(","):
                yield 1, path

    def _lines(self, name: str) -> list[str]:
        try:
            # the path of a group may be no UTF-8
            text = (self._root / "proc/thread-self" / name).read_text("utf-8", "surrogateescape")
        except OSError:
            return []
        return text.splitlines()

    def _quota(self, version: int, top: str, point: Path, path: str) -> float:
        """The least of a group and those above it, as far as they are mounted: a container sees no further than itself."""
        of, parts = [part for part in top.split("/") if part], [part for part in path.split("/") if part]
        # behind a namespace of another process the path may lead out of what is mounted ("/..")
        below = parts[len(of) :] if ".." not in parts and parts[: len(of)] == of else []
        folder, least = point, _quota_of(version, point)
        for part in below:
            folder /= part
            least = min(least, _quota_of(version, folder))
        return least


def _quota_of(version: int, folder: Path) -> float:
    """CPUs that one group may use."""
    try:
        if version == 2:
            most, period = _read(folder / "cpu.max").split()
        else:
            most, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        quota = int(most) / int(period) if most != "max" else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf  # the topmost group has no quota, nor has one whose controller is off
    return quota if quota > 0.0 else math.inf  # version 1 says -1 where there is none


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LONGEST).decode("ascii").strip()
