"""When a gateway may be used: times of day on days of the week."""

from __future__ import annotations

import re

from attrs import frozen

DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
_DAY = 24 * 60  # minutes
_SPAN = re.compile(r"(?:([A-Za-z,\-]+) +)?([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})", re.ASCII)


@frozen
class Span:
    """
    One span of time on some days.

    @ivar days: 0 is Monday; those on which it begins.
    @ivar start: and C{end}: minutes since midnight, C{end} itself excluded; one that ends before it starts ends on the next day.
    """

    days: frozenset[int]
    start: int
    end: int

    def holds(self, weekday: int, minute: int) -> bool:
        if self.start < self.end:
            return weekday in self.days and self.start <= minute < self.end
        return (weekday in self.days and minute >= self.start) or (
            (weekday - 1) % 7 in self.days and minute < self.end
        )


def parse_span(text: str) -> Span:
    """
    Read C{Mo-Fr 08:00-18:00}, C{Sa,Su 22:00-06:00} or C{08:00-18:00}, which is every day; C{24:00} is the end of a day.

    @raise ValueError: something else.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(text)
    start, end = _minute(match[2], match[3]), _minute(match[4], match[5])
    if start in (end, _DAY):
        raise ValueError(text)
    return Span(_days(match[1]), start, end)


def _minute(hour: str, minute: str) -> int:
    at = int(hour) * 60 + int(minute)
    if int(minute) > 59 or at > _DAY:
        raise ValueError(f"{hour}:{minute}")
    return at


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        one = DAYS.index(first.capitalize())
        other = DAYS.index(last.capitalize()) if dash else one
        days.update((one + step) % 7 for step in range((other - one) % 7 + 1))
    return frozenset(days)


def is_open(spans: tuple[Span, ...], weekday: int, minute: int) -> bool:
    """
    Whether one of the spans holds a time; without spans every time is right.

    @param weekday: 0 is Monday; C{minute}: since midnight.
    """
    return not spans or any(span.holds(weekday, minute) for span in spans)
