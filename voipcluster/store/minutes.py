"""
What was counted since midnight, on the disk: so that a limit for a day is not new with each start of a node.

A text file: a count and its key in each line. A later line says more than an earlier one of the same key, since nothing is taken
back within a day, so the greater one is true in whatever order they were written. A line that was cut off is passed over.
The keys name their day, and the file is begun anew with each day, and when most of its lines say nothing any more.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

NAME = "minutes.today"
SPARE = 10_000  # lines beyond two of each key
FULL = 1 << 62  # lines: the next write begins the file anew


class MinutesFile:
    """
    Its methods may be called in any thread.

    @param path: mode 0600 once it is there.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()
        self._day = ""
        self._counts: dict[str, int] = {}
        self._lines = 0

    def read(self, day: str) -> dict[str, int]:
        """
        The counts by key of that day; nothing when the file is of another one, or cannot be read.

        @param day: which each key ends with.
        """
        with self._lock:
            self._day, self._counts = day, {}
            try:
                *lines, half = self._path.read_text("utf-8", "replace").split("\n")
            except OSError:
                return {}
            for line in lines:
                number, _, key = line.partition(" ")
                if number.isdecimal() and number.isascii() and len(number) < 16 and key.endswith(day):
                    self._counts[key] = max(int(number), self._counts.get(key, 0))
            # nothing is to be written behind half a line
            self._lines = FULL if half else len(lines)
            return dict(self._counts)

    def write(self, day: str, counts: Mapping[str, int]) -> None:
        """
        Keep what has changed.

        @param counts: as they are now, not what came to them.
        @raise OSError: the disk does not take it.
        """
        with self._lock:
            if day != self._day:
                self._day, self._counts, self._lines = day, {}, FULL
            self._counts.update(counts)
            if self._lines > 2 * len(self._counts) + SPARE:
                self._begin()
            else:
                self._lines, lines = FULL, self._lines  # a disk that is full may take half of it
                self._put(self._path, counts, os.O_APPEND)
                self._lines = lines + len(counts)

    def _begin(self) -> None:
        new = self._path.with_name(f".{self._path.name}.new")
        self._put(new, self._counts, os.O_TRUNC)
        os.replace(new, self._path)
        self._lines = len(self._counts)

    @staticmethod
    def _put(path: Path, counts: Mapping[str, int], flag: int) -> None:
        text = "".join(f"{count} {key}\n" for key, count in counts.items())
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flag, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
