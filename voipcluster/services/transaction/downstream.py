"""
Those that we send to and that take part in overload control: what each has said, and whether one more request goes there
(RFC 7339 and RFC 7415 as a client).

C{oc} is offered to other nodes and to servers of other domains, not to phones: those are served one call at a time. Who has
never answered with it costs no more than the look into an empty table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from voipcluster.address import Flow
from voipcluster.balance.throttle import Feedback, ServerRecord, Throttle
from voipcluster.errors import ParseError
from voipcluster.services.transaction.runners import ClientTransaction
from voipcluster.sip.emergency import is_urgent
from voipcluster.sip.message import Request, Response
from voipcluster.sip.overload import told
from voipcluster.sip.transaction.events import PassFailure, PassTimeout

Address = tuple[str, int]
MOST = 4096  # servers that are remembered; the one that said something longest ago is forgotten first


class Downstreams:
    """
    @param rand: gives floats from 0.0 to below 1.0.
    @param is_known: whether who sends on that flow is another node, trusted, or proved a password.
    @ivar records: what we know of each (address, port) that has answered with C{oc}.
    @ivar held_back: how many requests were not sent for it.
    @ivar for_help: start lines of requests that call for help, see L{voipcluster.sip.emergency.pattern_of}.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        rand: Callable[[], float],
        is_known: Callable[[Flow], bool] = lambda flow: False,
    ) -> None:
        self._seconds, self._rand, self._is_known = seconds, rand, is_known
        self.records: dict[Address, ServerRecord] = {}
        self.held_back = 0
        self.for_help: re.Pattern[bytes] | None = None

    def admits(self, remote: Address, request: Request, source: Flow | None = None) -> bool:
        """
        Whether a request may go there now; an ACK always may, since without it the other side repeats its answer.

        @param source: where it came from, or L{None}.
        """
        record = self.records.get(remote)
        if record is None or request.method == "ACK":
            return True
        now = self._seconds()
        if record.throttle.admits(self._is_protected(request, source), now) and record.limit.admits(now):
            return True
        self.held_back += 1
        return False

    def _is_protected(self, request: Request, source: Flow | None) -> bool:
        """Whether a request is of the category that is held back last: within a dialog, or an emergency (section 5.10.1)."""
        return request.to_tag is not None or is_urgent(
            request, source is not None and self._is_known(source), self.for_help
        )

    def heard(self, remote: Address, response: Response) -> None:
        """A response of that server: it lives, and perhaps says how much it takes."""
        record = self.records.get(remote)
        if record is not None:
            record.limit.answered()
        try:
            said = told(response.top_via)
        except ParseError:
            return
        if said is None:
            return
        now = self._seconds()
        if record is None:
            if len(self.records) >= MOST:
                del self.records[min(self.records, key=lambda known: self.records[known].used)]
            record = self.records[remote] = ServerRecord(Throttle(self._rand))
        record.used = now
        record.throttle.learn(Feedback(*said), now)

    def silent(self, remote: Address) -> None:
        """A request to that server got no answer, or could not be sent (RFC 7339 section 5.9)."""
        record = self.records.get(remote)
        if record is not None:
            record.limit.failed(self._seconds())


class DownstreamTransaction(ClientTransaction):
    """A request that offers C{oc}."""

    __slots__ = ("downstreams",)

    downstreams: Downstreams

    def feed_response(self, response: Response) -> None:
        self.downstreams.heard(self.flow.remote, response)
        super().feed_response(response)

    def _carry_out(self, effects: Sequence[object]) -> None:
        # silence on another request says nothing: its final response may be one that is never sent (RFC 4320 section 4.2)
        signs = (PassTimeout, PassFailure) if self.key[1] == "INVITE" else PassFailure
        if any(isinstance(effect, signs) for effect in effects):
            self.downstreams.silent(self.flow.remote)
        super()._carry_out(effects)
