"""A course over time in bounded memory: when it is full, every other point goes, and only every other one is taken."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import NamedTuple

KEPT = 64  # points; with a report every 5 s the first 5 minutes are whole, an hour has a point a minute and a half


class Point(NamedTuple):
    """C{at} in seconds after the first one; C{lost} 0 to 1, C{jitter} and C{round_trip} in seconds; NaN is unknown."""

    at: float
    lost: float
    jitter: float
    round_trip: float


class Trace:
    """@ivar began: when the first point was."""

    __slots__ = ("_numbers", "_seen", "_stride", "began")

    def __init__(self) -> None:
        self.began = 0.0
        self._numbers = array("f")  # four to a point: an object each would be six times as large
        self._seen, self._stride = 0, 1

    def add(self, now: float, lost: float, jitter: float, round_trip: float) -> None:
        if not self._seen:
            self.began = now
        if self._seen % self._stride == 0:
            if len(self) == KEPT:
                self._thin_out()
            if self._seen % self._stride == 0:
                self._numbers.extend((now - self.began, lost, jitter, round_trip))
        self._seen += 1

    def _thin_out(self) -> None:
        self._numbers = array("f", [number for point in list(self)[::2] for number in point])
        self._stride *= 2

    def __len__(self) -> int:
        return len(self._numbers) // 4

    def __iter__(self) -> Iterator[Point]:
        numbers = self._numbers
        for at in range(0, len(numbers), 4):
            yield Point(*numbers[at : at + 4])
