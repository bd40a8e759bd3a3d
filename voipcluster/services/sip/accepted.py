"""What this node knows about a request that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from voipcluster.balance.handover import Handover
from voipcluster.services.transaction.transactions import ServerTransaction

if TYPE_CHECKING:
    from voipcluster.services.sip.forwarding import Forwarding


class Accepted(NamedTuple):
    """
    A request that this node serves.

    @ivar uri: its Request-URI behind route processing; C{routes}: what is left of Route, L{None}: untouched.
    @ivar drop_lines: header lines that are used up (credentials of ours).
    @ivar asked_before: by which other nodes were asked to serve it, and did not; L{None}: none was.
    """

    incoming: ServerTransaction
    client: Handover
    uri: str
    routes: list[str] | None
    max_forwards: int
    drop_lines: Sequence[int] = ()
    asked_before: Forwarding | None = None
