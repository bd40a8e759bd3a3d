"""
How the share of one node falls, as the others see it: by F{/metrics} of those that clients reach, read every fifth of a second.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from statistics import median

from attrs import define, field, frozen

from bench.overloaded import between

EVERY = 0.2  # s between two looks at /metrics of a node: one takes it some 8 ms
SPAN = 0.2  # s over which a share is averaged


def metric(text: str, name: str, /, **labels: str) -> float:
    """The sum of the numbers of that name that have these labels."""
    total = 0.0
    for found in re.finditer(rf"^voipcluster_{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE):
        if labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', found[1] or "")).items():
            total += float(found[2])
    return total


def read_metrics(address: str) -> str:
    """What F{/metrics} of the node at that address says."""
    connection = HTTPConnection(address, 8080, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def refusals(text: str) -> dict[str, float]:
    """Requests that a node refused or did not read, by the reason; those that its placement refused as C{placement}."""
    found = re.finditer(r'^voipcluster_refused_total{limit="([^"]*)"} (\S+)$', text, re.MULTILINE)
    reasons = {match[1]: float(match[2]) for match in found}
    return {**reasons, "placement": metric(text, "placements_total", decision="refuse")}


def risen(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, int]:
    """What has become more, and by how much."""
    rises = {name: round(value - before.get(name, 0.0)) for name, value in after.items()}
    return {name: rise for name, rise in rises.items() if rise}


@frozen
class Falling:
    """
    The share of new calls that went to the slow node, over time.

    @ivar seen: of each of the others: when (monotonic s), requests handed to the slow node so far, and calls begun so far.
    @ivar begun: when the hogs began to run; the times below are from then on.
    """

    seen: Sequence[Sequence[tuple[float, float, float]]]
    begun: float

    def share(self, since: float, until: float) -> float:
        """Of the calls begun between two moments."""
        return self._rise(1, since, until) / max(1.0, self._rise(2, since, until))

    def until(self, most: float, looked: float) -> float:
        """
        Seconds up to the end of the first span with a share below C{most}; C{inf}: there was none.

        @param looked: how long it was looked at.
        """
        steps = [step * EVERY / 2 for step in range(round(2 * (looked - SPAN) / EVERY))]
        below = (step + SPAN for step in steps if self.share(step, step + SPAN) < most)
        return next(below, float("inf"))

    def _rise(self, column: int, since: float, until: float) -> float:
        total = 0.0
        for rows in self.seen:
            known = [(row[0], row[column]) for row in rows]
            total += between(known, self.begun + until) - between(known, self.begun + since)
        return total


@define
class Watch(threading.Thread):
    """
    Reads F{/metrics} of one node again and again.

    @ivar slow: the name of the node that becomes slow.
    @ivar seen: when (monotonic s), requests handed to the slow node so far, and with them the calls that it serves itself.
    @ivar worked: when, and CPU seconds that a look took here, always the same work: how fast the machine is.
    @ivar said: when, and what it said; C{None} unless that is to be kept.
    """

    address: str
    slow: str
    seen: list[tuple[float, float, float]] = field(factory=list)
    worked: list[tuple[float, float]] = field(factory=list)
    said: list[tuple[float, str]] | None = None
    _ended: threading.Event = field(factory=threading.Event)

    def __attrs_pre_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        connection = HTTPConnection(self.address, 8080, timeout=10)
        while not self._ended.wait(EVERY):
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            began = time.thread_time()
            handed = metric(text, "handed_over_total", node=self.slow)
            # a call that it hands to the other of the two is counted there
            self.seen.append((time.monotonic(), handed, handed + metric(text, "calls_total")))
            self.worked.append((time.monotonic(), time.thread_time() - began))
            if self.said is not None:
                self.said.append((time.monotonic(), text))

    def work(self, since: float, until: float) -> float:
        """CPU seconds of a look, the median of those between two moments."""
        return median(seconds for when, seconds in self.worked if since <= when < until)

    def end(self) -> None:
        self._ended.set()
        self.join()
