"""
The quick part of a report, as it rides on what nodes hand to each other, and on the answers.

Who hands a request over and who takes it are the two that need to know of each other most. It is signed with the cluster's key
for its node, so that nobody else can say how busy a node is. Calls are not in it: they are counted, by the reports of the link.
"""

from __future__ import annotations

import math
import struct

from attrs import frozen

from voipcluster.balance.decision import Own
from voipcluster.balance.state import NodeState
from voipcluster.errors import PeerError
from voipcluster.seal import Sealer

FORMAT = 1
STATES = (NodeState.OPEN, NodeState.SHED, NodeState.FULL, NodeState.DRAIN)  # its index is sent: append only
_LAYOUT = struct.Struct(
    "!BQQIB5f"
)  # format, epoch, after, sequence, state, workload, delay, arrivals, capacity, weight
LIMITS = (1e3, 3600.0, 1e9, 1e9, 1.0)  # of the numbers, as in the reports of the link


@frozen(slots=True)
class Rider:
    """
    @ivar epoch: of the node's start; C{seq}: counts its riders, apart from its reports.
    @ivar after: the sequence number of its latest report: it says more than that one and less than the next.
    @ivar value: C{delay}, C{arrival_rate}, C{capacity}, C{weight}: as of L{voipcluster.balance.report.Report}.
    """

    epoch: int
    after: int
    seq: int
    state: NodeState
    value: float
    delay: float
    arrival_rate: float
    capacity: float
    weight: float


class Riders:
    """
    Makes and opens them.

    @param cluster_key: 32 random octets that all nodes hold.
    """

    def __init__(self, cluster_key: bytes) -> None:
        self._sealer = Sealer(cluster_key, b"rider")

    def seal(self, node: str, epoch: int, after: int, seq: int, own: Own) -> str:
        """@return: text of C{node} that fits into a URI parameter and a header."""
        numbers = (own.workload.value, own.delay, own.arrival_rate, own.capacity, own.weight)
        bounded = [min(number, most) for number, most in zip(numbers, LIMITS, strict=True)]
        payload = _LAYOUT.pack(FORMAT, epoch, after, seq & 0xFFFFFFFF, STATES.index(own.state), *bounded)
        return self._sealer.seal(payload, node.encode())

    def open(self, node: str, text: str) -> Rider:
        """@raise PeerError: not made by a node of the cluster for C{node}, or of another format."""
        payload = self._sealer.open(text, node.encode())
        try:
            version, epoch, after, seq, state, *numbers = _LAYOUT.unpack(payload)
            if version != FORMAT:
                raise ValueError(version)
            known = STATES[state]
        except (struct.error, ValueError, IndexError):
            raise PeerError("report on a hand-over of another format") from None
        if not all(
            math.isfinite(one) and 0.0 <= one <= most for one, most in zip(numbers, LIMITS, strict=True)
        ):
            raise PeerError("report on a hand-over with impossible numbers")
        return Rider(epoch, after, seq, known, *numbers)
