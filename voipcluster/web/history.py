"""Each node's workload over the last minutes, for the plot."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

KEPT = 600  # samples; ten minutes at one a second


class History:
    """
    A ring of samples: at one time, the workload of each node that is known then.

    @param started: unix time, s; tells a page that the node was started anew, and that its old samples do not go on.
    @param kept: how many samples; the oldest is dropped for a new one.
    """

    def __init__(self, started: float, kept: int = KEPT) -> None:
        self._started = started
        self._samples: deque[tuple[float, dict[str, float | None]]] = deque(maxlen=kept)

    def sample(self, at: float, workloads: Mapping[str, float | None]) -> None:
        """
        @param at: unix time, s.
        @param workloads: node name to workload 0..1; L{None} for a node that is not heard of.
        """
        self._samples.append((round(at, 3), dict(workloads)))

    def read(self, since: float | None = None) -> dict[str, Any]:
        """
        The samples, oldest first, or only those after C{since}.

        @return: C{{"started": unix s, "time": [unix s], "nodes": {name: [workload or None at that time]}}}; all lists have
            the same length, and a node that was not known at a time has L{None} there.
        """
        samples = [sample for sample in self._samples if since is None or sample[0] > since]
        names = sorted({name for _, workloads in samples for name in workloads})
        return {
            "started": self._started,
            "time": [at for at, _ in samples],
            "nodes": {name: [_rounded(workloads.get(name)) for _, workloads in samples] for name in names},
        }


def _rounded(workload: float | None) -> float | None:
    return None if workload is None else round(workload, 4)
