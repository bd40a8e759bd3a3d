"""Reports that ride on hand-overs and on their first answers: sent with what goes anyhow, read with what comes."""

from __future__ import annotations

from collections.abc import Callable

from voipcluster.balance.decision import Own
from voipcluster.balance.rider import Rider, Riders
from voipcluster.errors import PeerError

HEADER = "cluster-report"  # of a 100 to a node, which goes no further (RFC 3261 section 16.7 step 5)
PARAMETER = "rp"  # of the Route that hands a request over
REMEMBERED = 256  # nodes


class Riding:
    """
    @param own: the own node as it is now; one object until it changes, which is what decides whether there is something new.
    @param reports: the sequence number of the latest report over the link.
    @param heard: told what another node says of itself.
    @ivar refused: texts that no node has made.
    """

    def __init__(
        self,
        cluster_key: bytes,
        node: str,
        epoch: int,
        own: Callable[[], Own],
        reports: Callable[[], int],
        heard: Callable[[str, Rider], object],
    ) -> None:
        self._riders = Riders(cluster_key)
        self._node, self._epoch, self._own, self._reports, self._on_heard = node, epoch, own, reports, heard
        self._seq = 0
        self._told: tuple[Own | None, int] = None, -1
        self._text = ""
        self._latest: dict[str, str] = {}
        self.refused = 0

    def text(self) -> str:
        """What this node says of itself; made once for each state of it, not for each request."""
        own, reports = self._own(), self._reports()
        if own is not self._told[0] or reports != self._told[1]:
            self._seq += 1
            self._told = own, reports
            self._text = self._riders.seal(self._node, self._epoch, reports, self._seq, own)
        return self._text

    def heard(self, node: str, text: str | None) -> None:
        """What came from a node; what is wrong is no reason to refuse a request, and is counted."""
        if text is None or self._latest.get(node) == text:
            return
        try:
            rider = self._riders.open(node, text)
        except PeerError:
            self.refused += 1
            return
        if len(self._latest) >= REMEMBERED:
            self._latest.clear()
        self._latest[node] = text
        self._on_heard(node, rider)
