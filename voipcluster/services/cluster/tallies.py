"""
Counts over all nodes: each node counts for itself and tells the others, so that a limit can be one of the whole cluster.

A count is as old as the link takes, some 20 ms: nodes that take the last free place at the same moment both get it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from voipcluster.balance.messages import Tally

LONGEST = 512  # characters of a key that is told
MOST = (1 << 53) - 1  # of one count


class Tallies:
    """
    @param heard: whether a node is heard of now: what a silent one has counted is kept, and does not count meanwhile.
    @param tell: tells the others one count of ours that has changed.
    """

    def __init__(
        self,
        heard: Callable[[str], bool] = lambda node: True,
        tell: Callable[[Tally], object] = lambda tally: None,
    ) -> None:
        self._heard, self._tell = heard, tell
        self._own: dict[str, int] = {}
        self._others: dict[str, dict[str, int]] = {}  # by node

    def add(self, key: str, amount: int) -> None:
        """
        Count here; a negative amount takes back what was counted before.

        @param key: what is counted, at most L{LONGEST} characters.
        """
        count = self._own.get(key, 0) + amount
        assert 0 <= count <= MOST, f"{key}: more was taken back than was counted"
        if count:
            self._own[key] = count
        else:
            self._own.pop(key, None)
        if amount:
            self._tell(Tally(key=key, count=count))

    def own(self, key: str) -> int:
        """What this node has counted."""
        return self._own.get(key, 0)

    def total(self, key: str) -> int:
        """What all nodes have counted that are heard of."""
        total = self._own.get(key, 0)
        for node, counts in self._others.items():
            count = counts.get(key)
            if count and self._heard(node):
                total += count
        return total

    def snapshot(self) -> Iterator[Tally]:
        """All counts of ours that are not 0."""
        return (Tally(key=key, count=count) for key, count in list(self._own.items()))

    # -- what the others tell

    def begin_copy(self, node: str) -> None:
        """A node tells all that it counts, from nothing on: it may have started anew."""
        self._others[node] = {}

    def received(self, node: str, tally: Tally) -> None:
        """A count of another node."""
        counts = self._others.setdefault(node, {})
        if tally.count:
            counts[tally.key] = tally.count
        else:
            counts.pop(tally.key, None)

    def forget(self, node: str) -> None:
        """A node is gone for good."""
        self._others.pop(node, None)
