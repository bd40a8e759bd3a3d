"""The server transaction of a client that takes part in overload control: each response of it says how much may be sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from voipcluster.address import Flow
from voipcluster.balance.feedback import Upstream
from voipcluster.services.transaction.runners import ServerTransaction
from voipcluster.sip.message import Request
from voipcluster.sip.overload import with_told, without, written
from voipcluster.sip.transaction.events import Respond, SendResponse
from voipcluster.sip.transaction.matching import ServerKey
from voipcluster.sip.values import Via

if TYPE_CHECKING:
    from voipcluster.services.transaction.transactions import TransactionService


class FeedbackTransaction(ServerTransaction):
    """
    What concerns one hop only is taken out of its Via, so that nobody behind us sees it (RFC 7339 section 5.6), and put into that
    of each response as it leaves, also of one that is repeated: the values are always those of the moment (section 5.2).
    """

    __slots__ = ("_upstream",)

    def __init__(
        self,
        owner: TransactionService,
        request: Request,
        flow: Flow,
        via: Via | None,
        key: ServerKey,
        upstream: Upstream,
    ) -> None:
        super().__init__(owner, request, flow, without(via or request.top_via), key)
        self._upstream = upstream

    def respond(self, status: int, wire: bytes) -> None:
        """As L{ServerTransaction.respond}, by way of the machine's effects."""
        assert self._machine is not None, "respond() comes after accept()"
        if status >= 200:
            self._owner.count_answer(self.key[-1], status)
        self._carry_out(self._machine.feed(Respond(status, wire)))

    def _carry_out(self, effects: Sequence[object]) -> None:
        upstream = self._upstream
        told = written(*upstream.told) if upstream.algorithm else b""
        super()._carry_out(
            [
                SendResponse(with_told(effect.wire, told)) if isinstance(effect, SendResponse) else effect
                for effect in effects
            ]
        )
