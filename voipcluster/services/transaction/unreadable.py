"""What came and is no SIP: counted, noted, and answered as far as that is possible (RFC 3261 sections 8.2.6 and 18.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voipcluster.address import Flow
from voipcluster.errors import ParseError, PeerError
from voipcluster.sip.message import MalformedMessage, Request, parse
from voipcluster.sip.transaction.matching import server_key
from voipcluster.sip.values import Via

if TYPE_CHECKING:
    from voipcluster.services.transaction.transactions import TransactionService

_NEEDED = {"via", "from", "to", "call-id", "cseq"}  # of a request that can be answered (section 8.2.6.2)


class Unreadable:
    """@param owner: whose limits hold, and who sends the answers."""

    def __init__(self, owner: TransactionService) -> None:
        self._owner = owner

    def came(self, error: MalformedMessage, flow: Flow) -> None:
        """A message that cannot be read, or is too large."""
        owner, request = self._owner, error.request
        owner.malformed += 1
        owner.limiting.notices.warn(
            "malformed", "{peer} sent what is not SIP: {error!r:.120}", peer=str(flow), error=str(error)
        )
        if (
            owner.limiting.check(flow.remote, owner.limiting.seconds())
            or request is None
            or request.method == "ACK"
            or not request.layout.at.keys() >= _NEEDED
        ):
            return
        if not _has_via(request):
            # where its sender waits cannot be read: the answer goes where it came from
            request.assume_top_via(Via(flow.transport, *flow.remote))
        try:
            via = request.top_via
            received, key = owner.true_source(via, flow), server_key(request)
            incoming = owner.new_server(request, via, flow, received, key, owner.taking_part)
        except PeerError:
            return
        incoming.refuse(error.status_hint, None, (("Warning", warning(error)),))

    def head_came(self, head: bytes, flow: Flow, status_hint: int, reason: str) -> None:
        """The head of a message whose end in a stream cannot be found."""
        try:
            message = parse(head)
        except MalformedMessage as error:
            if error.request is not None:
                self.came(MalformedMessage(reason, status_hint, error.request), flow)
            return
        except PeerError:
            return
        if isinstance(message, Request):
            self.came(MalformedMessage(reason, status_hint, message), flow)


def warning(error: PeerError) -> str:
    """A Warning value that says what was wrong (20.43, code 399); only our own words and safe characters."""
    text = "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in str(error))[:120]
    return f'399 voipcluster "{text}"'


def _has_via(request: Request) -> bool:
    """Whether its topmost Via can be read."""
    try:
        return bool(request.top_via)
    except ParseError:
        return False
