"""
Overload control of one node: the control function of L{voipcluster.balance} with a clock, sockets and messages.

While there is no overload nothing of this is on the path of a message, but for those whose Via says C{oc}. With overload
L{OverloadService.received} stands in front of the transaction layer, and goes away again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from voipcluster.address import Flow
from voipcluster.balance.admission import DEPTH, Priority
from voipcluster.balance.feedback import OverloadServer, Upstream
from voipcluster.balance.overload import OverloadController, OverloadSettings
from voipcluster.balance.rate import Bucket
from voipcluster.balance.thinning import Thinning
from voipcluster.balance.throttle import Feedback
from voipcluster.errors import ParseError
from voipcluster.services.notices import Notices
from voipcluster.services.transaction.limiting import AMPLIFICATION, Limiting
from voipcluster.services.transaction.transactions import TransactionService
from voipcluster.services.transaction.transport import TransportService
from voipcluster.services.transaction.wakeups import Arrange, WakeUps
from voipcluster.sip.emergency import is_emergency
from voipcluster.sip.message import Request
from voipcluster.sip.overload import offered, written
from voipcluster.sip.shedding import (
    NEW_METHODS,
    Glance,
    call_token,
    glance,
    handover_token,
    has_credentials,
    is_ack_of,
    is_marked,
    refusal,
    takes_state_away,
)
from voipcluster.sip.values import Via, parse_via, split_list

UNSEEN: Final = (
    1.0  # of what strangers send and only the parser can take apart, for each new request that is let in
)
T1: Final = 0.5  # s, RFC 3261 section 17.1.1.1
LEAST_UNSEEN: Final = 20.0  # a second
AT_ONCE: Final = 0.2  # s of the refusals that may be made at once
SILENT: Final = ""  # the algorithm of an upstream that is told nothing


class OverloadService:
    """
    @param mark: the begin of the tag in our refusals; such as nobody can guess, so that no other ACK is taken for theirs.
    @param nodes: the addresses of the cluster's nodes.
    @param is_handover: whether a hand-over token is one of ours for that Call-ID; C{is_call}: whether the token of a dialog is.
    @param thin: lets the kernel throw away new INVITEs but for a share of them; L{None}: it does not, and none is here.
    @param arrange: has the datagrams of each wake-up arranged so, or as usual again.
    @param lost: datagrams that the kernel threw away so far.
    @param enabled: whether anything is refused here; upstreams that take part are told all the same.
    @ivar server: how much is let in, and what others are told.
    @ivar for_help: start lines of requests that call for help, see L{voipcluster.sip.emergency.pattern_of}.
    """

    _log = Logger()

    def __init__(
        self,
        settings: OverloadSettings,
        seconds: Callable[[], float],
        wall: Callable[[], float],
        transactions: TransactionService,
        transport: TransportService,
        limiting: Limiting,
        mark: str,
        nodes: Callable[[], tuple[str, ...]] = tuple,
        enabled: bool = True,
        thin: Callable[[float], object] | None = None,
        is_handover: Callable[[str, str], bool] = lambda token, call_id: False,
        is_call: Callable[[str], bool] = lambda token: False,
        lost: Callable[[], int] = lambda: 0,
        arrange: Callable[[Arrange | None], object] = lambda order: None,
    ) -> None:
        self._enabled, self._seconds, self._wall = enabled, seconds, wall
        self._arrange = arrange
        self._transactions, self._transport, self._limiting = transactions, transport, limiting
        self._mark, self._nodes = mark.encode("ascii"), nodes
        self._silent = Upstream(SILENT, Feedback(SILENT, 0.0, 0.0, 0.0))
        self._is_handover, self._is_call, self._lost = is_handover, is_call, lost
        self._unseen = Bucket(LEAST_UNSEEN, LEAST_UNSEEN)
        self._notices = Notices(seconds, self._log)
        self.server = OverloadServer(OverloadController(settings))
        self.server.sequence = round(wall(), 3)
        self.server.anybody.release(self.server.sequence)
        self._pass = transactions.bytes_received
        self._is_guarding = False
        self._thin, self._thinning = thin, Thinning()
        self._seen = self._invites = self._counted = self._dropped = self._left_out = 0
        self._refusing = Bucket(1.0, 1.0)  # how many are answered, where others are thrown away
        self._late = False
        self._wake_ups = WakeUps(self._room, self._leaves_out_of_many)
        self._known: set[Flow] = set()  # those that were known in this tick
        self.for_help: re.Pattern[bytes] | None = None

    @property
    def active(self) -> bool:
        """Whether new requests are limited now."""
        return self._is_guarding

    @property
    def passing(self) -> float:
        """The share of new INVITEs that the kernel lets through."""
        return self._thinning.passing

    @property
    def refused(self) -> int:
        """New requests that were refused unread since the start."""
        return sum(self.server.refused.values())

    def sampled(self, elapsed: float, busy: float, delay: float) -> None:
        """
        Decide anew, ten times a second.

        @param elapsed: seconds since the last time; C{busy}: CPU seconds in them; C{delay}: seconds, see
            L{voipcluster.balance.overload.Sample}.
        """
        received = self._transactions.received
        count = sum([received[method] for method in NEW_METHODS])
        admitted, self._counted = count - self._counted, count
        hidden = self._thinning.passing < 1.0 or self._left_out > 0
        self.server.tick(elapsed, busy, delay, admitted, self._wall(), hidden)
        self._late = delay > T1
        self._known.clear()
        guards = self.server.active and self._enabled
        if self._is_guarding is not guards:
            self._turn(delay)
        if guards:
            rate = self._unseen.rate = max(LEAST_UNSEEN, UNSEEN * self.server.controller.allowed)
            self._unseen.size = max(LEAST_UNSEEN, DEPTH * rate)
        if self._thin is not None:
            self._let_through(self._thin, elapsed, delay, admitted)

    def _let_through(self, thin: Callable[[float], object], elapsed: float, delay: float, count: int) -> None:
        """Say how many of the new INVITEs the kernel lets through, by those of known clients; C{count}: requests let in."""
        invites = self._transactions.received["INVITE"]
        admitted, self._invites = invites - self._invites, invites
        seen, self._seen = self._seen, 0
        lost, thinning = self._lost(), self._thinning
        dropped, self._dropped = lost - self._dropped, lost
        changed = (
            thinning.feed(
                elapsed,
                seen,
                dropped,
                delay,
                self.server.controller.allowed,
                max(0, count - admitted),
            )
            if self._is_guarding
            else thinning.release()
        )
        if changed:
            thin(thinning.passing)
        self._left_out = 0
        rate = self._refusing.rate = max(1.0, thinning.refusals * self.server.controller.allowed)
        self._refusing.size = max(1.0, AT_ONCE * rate)

    def _turn(self, delay: float) -> None:
        self._is_guarding = not self._is_guarding
        if self._is_guarding:
            self._transactions.guard(self.received)
            self._arrange(self._wake_ups.arrange)
            self._notices.warn(
                "overload",
                "overload: messages wait for {delay:.3f} s; {allowed:.0f} new requests a second are let in",
                delay=delay,
                allowed=self.server.controller.allowed,
            )
        else:
            self._transactions.guard(None)
            self._arrange(None)
            self._notices.warn(
                "end", "the overload is over; {refused} requests were refused so far", refused=self.refused
            )

    # -- what comes while there is overload

    def received(self, data: bytes, flow: Flow) -> None:
        """Stands in for L{TransactionService.bytes_received}."""
        kind = data[:4]
        if kind == b"SIP/" or (kind == b"INVI" and self._needs_no_look(data, flow)):
            self._pass(data, flow)
            return
        if kind == b"INVI" and self._leaves_out(data, flow):
            return
        seen = glance(data)
        if seen is None:
            if not is_ack_of(data, self._mark) and self._reads(data, flow):
                self._pass(data, flow)
            return
        key = seen.key
        if key in self._transactions.servers:
            self._pass(data, flow)
            return
        now = self._seconds()
        upstream = None
        if seen.lines[seen.via].find(b";oc") >= 0:
            upstream = self._meet(seen, flow)
        refusals = self._transactions.refusals
        if not refusals.some or key not in refusals:
            priority = self._priority(data, seen, flow)
            if self.server.admits(flow.remote, priority, now, seen.method == "INVITE"):
                if seen.method == "INVITE" and priority is not Priority.STRANGER:
                    self._seen += 1
                self._pass(data, flow)
                return
            if flow.reliable or not self._late:
                refusals.note(key)
                refusals.note(data)
            if upstream is self.server.anybody:
                upstream.refused += 1
        self._refuse(data, seen, flow, now, upstream)

    def _needs_no_look(self, data: bytes, flow: Flow) -> bool:
        """
        Whether it is an INVITE that is let in whatever its class is, since there is room for a call.

        Most of those that are let in are such ones, and to look at all of an INVITE takes a fortieth of serving it. A copy is the
        same octet for octet (RFC 3261 section 17.1.1.2), so one of what was refused is known without a look.
        """
        server = self.server
        if flow.remote in server.upstreams or self._is_stranger(flow):
            return False
        refusals = self._transactions.refusals
        if (refusals.some and data in refusals) or not server.takes_call(self._seconds()):
            return False
        self._seen += 1
        return True

    def _leaves_out(self, data: bytes, flow: Flow) -> bool:
        """
        Whether a new INVITE is thrown away unread, as the kernel does with most: there is no room, and enough are refused.

        Its caller sends it again, and so it is nothing that was refused.
        """
        now = self._seconds()
        if self._thin is None or self.server.room(now) >= 1.0 or not self._may_go(data, flow):
            return False
        if not self._late and self._refusing.take(now) == 0.0:
            return False
        self._count_left_out()
        return True

    def _leaves_out_of_many(self, data: bytes, flow: Flow) -> bool:
        """The same of an INVITE for which neither room nor a refusal is left in its wake-up (L{_room})."""
        if not self._may_go(data, flow):
            return False
        self._count_left_out()
        return True

    def _may_go(self, data: bytes, flow: Flow) -> bool:
        """Whether an INVITE is of those that the kernel would throw away, too."""
        server = self.server
        return not (
            flow.reliable
            or server.calls_only
            or flow.remote in server.upstreams
            or self._is_stranger(flow)
            or is_marked(data)
            or (self.for_help is not None and self.for_help.match(data) is not None)
        )

    def _count_left_out(self) -> None:
        self._seen += 1
        self._left_out += 1
        self._limiting.refused["surplus"] += 1

    def _room(self) -> float:
        """How many INVITEs can be let in or refused; infinite: none is thrown away."""
        if self._thin is None:
            return math.inf
        now = self._seconds()
        return self.server.room(now) + (0.0 if self._late else self._refusing.level(now))

    def _reads(self, data: bytes, flow: Flow) -> bool:
        """
        Whether what cannot be refused unread is read: of strangers no more than some of it.

        Anybody can write a tag into To, make up a method or fold a line. So what a stranger sends has to carry a token of ours,
        and whatever else he sends has a limit; beyond that it is lost, as in a network, and he sends it again.
        """
        if flow in self._known or data.startswith(b"SIP/") or self.server.calls_only:
            return True
        if self._limiting.is_known(flow):
            self._known.add(flow)
            return True
        token = call_token(data)
        if (token and self._is_call(token)) or self._unseen.take(self._seconds()) == 0.0:
            return True
        self._limiting.refused["unread"] += 1
        return False

    def _meet(self, seen: Glance, flow: Flow) -> Upstream | None:
        """Who offers C{oc} is told what it may send even when this request is refused."""
        if not self._is_trusted(flow):
            return self.server.anybody
        known = self.server.upstreams.get(flow.remote)
        if known is not None:
            return known
        try:
            value = split_list(seen.lines[seen.via].partition(b":")[2].decode("latin-1"))[0]
            algorithms = offered(parse_via(value.strip()))
        except (ParseError, IndexError):
            return None
        return None if algorithms is None else self.server.upstream(flow.remote, algorithms, self._seconds())

    def _is_trusted(self, flow: Flow) -> bool:
        """
        Whether it is a node of the cluster, or of C{limits.trusted}: only these have a part of their own (RFC 7339 section 5.2).

        Whoever else says C{oc} would have as many parts as he has ports, and take them from users.
        """
        return self._limiting.is_trusted(flow.remote[0])

    def _priority(self, data: bytes, seen: Glance, flow: Flow) -> Priority:
        method = seen.method
        if is_emergency(data, known := self._limiting.is_known(flow), self.for_help):
            # of anybody, who may only say so, it is the last to be refused, but not let in without end
            return Priority.EMERGENCY if known else Priority.PAID
        if flow.remote[0] in self._nodes():
            token = handover_token(data)  # the address alone says nothing: that of a datagram can be forged
            if token and self._is_handover(token, seen.call_id):
                return Priority.PAID
        if method == "INVITE":
            limiting = self._limiting
            if limiting.is_proven(flow):
                # credentials count only where a password was proved before, or everybody would write some
                return Priority.PAID if has_credentials(data) else Priority.CALL
            return Priority.STRANGER if self._is_stranger(flow) else Priority.CALL
        if method == "REGISTER":
            known = self._limiting.is_proven(flow) or takes_state_away(data)
            return Priority.REFRESH if known else Priority.REGISTER
        return Priority.REFRESH if method == "SUBSCRIBE" and takes_state_away(data) else Priority.OTHER

    def _is_stranger(self, flow: Flow) -> bool:
        """
        Whether it is nobody that we know, though there are users whom we know.

        The kernel cannot tell one from the other, and whom it throws away waits for his next copy. So what strangers alone send
        too much is no reason for it to throw anything away: it is refused here, or emptied out unread (L{BacklogService}).
        """
        limiting = self._limiting
        return limiting.reserves and not (limiting.is_trusted(flow.remote[0]) or limiting.is_proven(flow))

    def _refuse(self, data: bytes, seen: Glance, flow: Flow, now: float, upstream: Upstream | None) -> None:
        """Answer with 503; over UDP nothing while all waits for so long that a copy of it waits already, which is answered."""
        if seen.method == "INVITE" and not self._is_stranger(flow):
            self._seen += 1
        if self._late and not flow.reliable:
            return
        limiting = self._limiting
        if (limiting.shunned and limiting.shuns(data, flow)) or limiting.check(flow.remote, now):
            return
        told = b"" if upstream is None else written(*upstream.told)
        answer = refusal(seen, flow.remote, self._mark, told)
        if len(answer.wire) > AMPLIFICATION * len(data):
            if told:
                answer = refusal(seen, flow.remote, self._mark)
            if len(answer.wire) > AMPLIFICATION * len(data):
                return  # the source may be forged
        self._transactions.count_answer(seen.method, 503)
        if not flow.reliable and answer.port != flow.remote[1]:
            flow = flow._replace(remote=(flow.remote[0], answer.port))
        self._transport.send(answer.wire, flow)

    # -- those who take part

    def taking_part(self, request: Request, via: Via, flow: Flow) -> Upstream | None:
        """The upstream that a request whose Via may say C{oc} comes from; L{None}: it does not take part."""
        algorithms = offered(via)
        if algorithms is None:
            return None
        upstream = (
            self.server.upstream(flow.remote, algorithms, self._seconds())
            if self._is_trusted(flow)
            else self.server.anybody
        )
        if request.method in NEW_METHODS and request.to_tag is None:
            upstream.fresh += 1
        else:
            upstream.others += 1
        return upstream

    def leaving_out(self, request: Request, via: Via, flow: Flow) -> Upstream | None:
        """
        In place of L{taking_part} where nobody is told anything: what an upstream says ends here all the same.

        Whoever is behind us would take it for ours (RFC 7339 section 5.6), and say to the upstream how much B{we} may send.
        """
        return None if offered(via) is None else self._silent
