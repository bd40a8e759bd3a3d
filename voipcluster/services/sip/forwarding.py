"""One request on its way through this node: the proxy core's orders carried out over client transactions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import TYPE_CHECKING

from zope.interface import implementer

from voipcluster.errors import ParseError, Throttled, TransportError, Unusable
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.net.timers import NamedTimers
from voipcluster.services.sip.attempts import Attempts
from voipcluster.services.sip.copies import Copy
from voipcluster.services.sip.next_hop import (
    LARGEST_DATAGRAM,
    NameToResolve,
    TooLargeForUdp,
)
from voipcluster.services.transaction.transactions import ClientTransaction, IClientUser, ServerTransaction
from voipcluster.sip.message import Response
from voipcluster.sip.outgoing import forward_response
from voipcluster.sip.proxy.context import ProxyContext
from voipcluster.sip.proxy.events import (
    Answer,
    BranchAnswered,
    BranchFailed,
    BranchTimedOut,
    BranchUnusable,
    CancelBranch,
    Cancelled,
    Effect,
    Ended,
    Event,
    ForwardResponse,
    Located,
    LocateTargets,
    StartBranch,
    Target,
)
from voipcluster.sip.resolution import Server

if TYPE_CHECKING:
    from voipcluster.services.sip.core import SipCore


_ADDED = 250  # octets that a copy has more than its request: Via and Record-Route, about


_TIMER_C = "C:0"
REQUEST_TERMINATED = 487
_NO_CLIENTS: dict[int, ClientTransaction | Attempts] = {}


def _nothing(forwarding: Forwarding, failed: tuple[Target, ...], status: int) -> None:
    forwarding.located(())


@implementer(IClientUser)
class Forwarding(NamedTimers):
    """
    One server transaction, its response context and its client transactions.

    @ivar locate: asked for targets, first with nothing, then with those that took nothing and what came of the last ones;
        answers by C{located}.
    @param on_response: sees each response before it goes up, and gives the body to forward (L{None}: as it came), or raises
        L{Unusable} for a 1xx: then that goes nowhere, and its branch is cancelled.
    @param on_end: told once with the final status, 0 when there is none.
    @param on_heard: told of the status of every response, and of the response when there is one, before anything is done with it.
    """

    __slots__ = (
        "_clients",
        "_context",
        "_copy",
        "_core",
        "_heard_at",
        "_incoming",
        "_on_end",
        "_on_heard",
        "_on_response",
        "_target",
        "locate",
    )

    def __init__(
        self,
        core: SipCore,
        incoming: ServerTransaction,
        context: ProxyContext,
        copy: Copy,
        locate: Callable[[Forwarding, tuple[Target, ...], int], object] = _nothing,
        on_response: Callable[[Target, Response], bytes | None] | None = None,
        on_end: Callable[[int], object] | None = None,
        on_heard: Callable[[Target, int, Response | None], object] | None = None,
    ) -> None:
        self._core = core
        self._incoming = incoming
        self._context: ProxyContext | None = context
        self._copy: Copy | None = copy
        self.locate = locate
        self._on_response = on_response
        self._on_end = on_end
        self._on_heard = on_heard
        self._clients: dict[int, ClientTransaction | Attempts] = {}
        self._wheel = core.wheel
        self._timer = self._more_timers = None
        self._target: Target | None = None  # who gave the final response, when that was the only branch
        self._heard_at = 0.0  # when Timer C of the only branch was to be started anew
        incoming.user = self

    @property
    def incoming(self) -> ServerTransaction:
        return self._incoming

    def tell(
        self, heard: Callable[[Target, int, Response | None], object], ended: Callable[[int], object]
    ) -> None:
        """Tell somebody else as well, before it starts: see C{on_heard} and C{on_end}; he hears of the end first."""
        assert self._on_heard is None, "nobody else hears of it"
        self._on_heard, before = heard, self._on_end

        def both(status: int) -> None:
            ended(status)
            if before is not None:
                before(status)

        self._on_end = both

    def start(self) -> None:
        self._take_breadth()
        assert self._context is not None
        self._carry_out(self._context.start())

    def _take_breadth(self) -> None:
        context, copy, most = self._context, self._copy, self._core.max_breadth
        assert context is not None and copy is not None
        context.breadth = context.share = most if copy.breadth is None else min(copy.breadth, most)

    def start_at(self, *targets: Target) -> None:
        """The same with targets that are known."""
        context = self._context
        assert context is not None
        if len(targets) == 1 and context.starts(targets[0]):
            if self._copy is not None and self._copy.breadth is not None:
                self._take_breadth()  # for the other ways to that phone, if it needs them
            if context.invite:
                self._set_timer(_TIMER_C, context.timer_c)
            self._start(0, targets[0])
        else:
            self._take_breadth()
            self._carry_out(context.feed(Located(targets)))

    def located(self, targets: Sequence[Target]) -> None:
        self._feed(Located(targets))

    def cancel(self) -> None:
        self._feed(Cancelled())
        for client in list(self._clients.values()):
            if isinstance(client, Attempts):
                client.caller_gave_up()

    def abandon(self) -> None:
        """Somebody else answers this request from now on; what is still under way is cancelled, and nothing comes of it."""
        self.let_go()
        self.give_up()

    def let_go(self) -> None:
        """Somebody else answers this request from now on, and can L{take_over} what is under way before L{give_up} ends it."""
        self._cancel_timers()
        self._incoming.user = None
        self._release()

    def give_up(self) -> None:
        """What is under way is cancelled, and nobody can take it over any more."""
        for client in self._clients.values():
            client.give_up()
        self._context, self._clients = None, _NO_CLIENTS

    def take_over(self, other: Forwarding, elsewhere: Callable[[int], object]) -> None:
        """
        Nodes that were passed over there, and may bring the request to its targets all the same, are branches here, too.

        Before it starts, and before the other one gives up (as it has when a hook takes its time). What they answer is the
        caller's as it came: the request was served by them then, and not here.

        @param elsewhere: told of the end in place of C{on_end} when it was one of them that has answered.
        """
        context, theirs = self._context, other._context
        assert context is not None, "it has not started"
        taken = [] if theirs is None else context.take_over(theirs)
        for number, known_as in enumerate(taken):
            client = other._clients.pop(known_as, None)
            if client is not None:
                client.move_to(self, number)
                self._clients[number] = client
                if context.invite:
                    self._set_timer(f"C:{number}", context.timer_c)
        if not taken:
            return
        on_response, on_end, last = self._on_response, self._on_end, ("", 0)

        def seen(target: Target, response: Response) -> bytes | None:
            nonlocal last
            last = target.node, response.status
            return None if target.node or on_response is None else on_response(target, response)

        def ended(status: int) -> None:
            node, said = last
            told = elsewhere if node and status in (said, REQUEST_TERMINATED) else on_end
            if told is not None:
                told(status)

        self._on_response, self._on_end = seen, ended

    # -- IClientUser

    def response_received(self, branch: int, response: Response) -> None:
        context, status = self._context, response.status
        if context is None:
            if 200 <= status < 300:
                self._forward(response, branch)  # another fork, or a copy (section 16.7 step 5)
            return
        if self._on_heard is not None:
            self._on_heard(context.target(branch), status, response)
        if not context.passes(status):
            self._carry_out(context.feed(BranchAnswered(branch, response)))
        elif status < 200:
            if context.invite:
                self._heard_at = self._wheel.seconds()  # starting Timer C anew for each 1xx would cost more
                self._forward(response, branch)
        else:
            timer = self._timer
            if timer is not None:
                if self._more_timers is None:
                    self._timer = None
                    timer.cancel()
                else:
                    self._cancel_timers()
            if self._on_heard is None:
                # what lingers for 32 s needs no more: it passes on each 2xx that comes yet
                self._target = None if self._on_response is None else self._target_of(context, branch)
                self._context, self._clients = None, _NO_CLIENTS
            if not self._forward(response, branch):
                status = 502
            self._end(status)

    def timed_out(self, branch: int) -> None:
        self._feed(BranchTimedOut(branch))

    def send_failed(self, branch: int, error: TransportError) -> None:
        self._feed(BranchFailed(branch, error))

    # -- orders

    def _feed(self, event: Event) -> None:
        if self._context is not None:
            self._carry_out(self._context.feed(event))

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        passed = True
        for effect in effects:
            kind = type(effect)  # mypy narrows nothing by it, hence what it ignores below
            if kind is ForwardResponse:
                passed = self._forward(effect.response, effect.branch)  # type: ignore[union-attr]
            elif kind is StartBranch:
                if self._copy is not None and self._context is not None:
                    self._copy.breadth = self._context.share
                self._start(effect.branch, effect.target)  # type: ignore[union-attr]
            elif kind is SetTimer:
                self._set_timer(effect.name, effect.delay)  # type: ignore[union-attr]
            elif kind is CancelTimer:
                self._cancel_timer(effect.name)  # type: ignore[union-attr]
            elif kind is Ended:
                self._end(effect.status if passed else 502)  # type: ignore[union-attr]
            elif kind is LocateTargets:
                self.locate(self, effect.failed, effect.status)  # type: ignore[union-attr]
            elif kind is CancelBranch:
                client = self._clients.get(effect.branch)  # type: ignore[union-attr]
                if client is not None:
                    client.cancel()
            elif kind is Answer:
                self._incoming.answer(effect.status)  # type: ignore[union-attr]

    def _start(self, number: int, target: Target, server: Server | None = None) -> None:
        copy = self._copy
        assert copy is not None, "no branch starts behind the final response"
        user = self if copy.challenges is None else copy.challenges.user(self, target)
        try:
            client = copy.send(self._core, target, user, number, server)
        except NameToResolve as name:
            attempts = self._attempts(number, target, name, user)
            if attempts is not None:
                attempts.begin(name.uri, copy.request.call_id)
        except TooLargeForUdp as large:
            server = Server(large.hop, large.hop.host)
            if self._core.resolving is None:
                self._start(number, target, server)  # the one server that this branch can have: over UDP
                return
            attempts = self._attempts(number, target, large, user)
            if attempts is not None:
                attempts.begin_at(server)
        except TransportError as error:
            if self._on_heard is not None and isinstance(error, Throttled):
                self._on_heard(target, 503, None)
            self._feed(BranchFailed(number, error))
        except ParseError as error:
            self._feed(BranchFailed(number, TransportError(str(error))))
        else:
            if client is not None:
                self._clients[number] = client

    def again(self, number: int, target: Target, user: IClientUser) -> None:
        """A branch was challenged, and goes once more, with credentials, to the server that has challenged it."""
        client, copy = self._clients.get(number), self._copy
        flow = None if client is None else client.flow
        assert copy is not None and flow is not None, "whoever answers was asked"
        try:
            made = copy.send(self._core, target, user, number, Server(flow.hop, flow.name or flow.hop.host))
        except (TransportError, ParseError) as error:
            self._feed(BranchFailed(number, TransportError(str(error))))
        else:
            if made is not None:
                self._clients[number] = made

    def is_wanted(self, number: int) -> bool:
        """Whether a branch may be sent once more."""
        return self._context is not None and self._copy is not None and self._context.is_wanted(number)

    def _attempts(
        self, number: int, target: Target, why: TransportError, user: IClientUser
    ) -> Attempts | None:
        """What brings the copy to one server after the other; L{None} ends the branch."""
        core, copy, context = self._core, self._copy, self._context
        assert copy is not None and context is not None
        if core.resolving is None:
            self._feed(BranchFailed(number, why))
            return None

        def send(user: IClientUser, attempt: int, server: Server) -> ClientTransaction | None:
            return copy.send(core, target, user, attempt, server)

        def wanted() -> bool:
            return context is self._context and self._copy is not None and context.is_wanted(number)

        large = type(why) is TooLargeForUdp or copy.request.wire_size + _ADDED > LARGEST_DATAGRAM
        # a node of ours has to have the request over UDP, too, before it is given up
        patience = target.answer_within / 2 or core.resolving.next_after
        attempts = Attempts(
            user, number, context.invite, send, wanted, core.resolving, core.wheel, large, patience
        )
        self._clients[number] = attempts
        return attempts

    def _forward(self, response: Response, branch: int) -> bool:
        """@return: whether it is as good as passed on; else the request has ended with 502."""
        body = None
        if response.layout.vias < 2 and len(response.values("via")) < 2:
            # no Via is left behind ours: it is not to be forwarded (section 16.7 step 3), but the caller waits for an end
            if response.status < 200 or self._copy is None:  # behind the end there is nobody to tell
                return True
            self._incoming.answer(502)
            return False
        if self._on_response is not None:
            target = self._target if self._context is None else self._target_of(self._context, branch)
            if target is not None:
                try:
                    body = self._on_response(target, response)
                except Unusable as error:
                    self._feed(BranchUnusable(branch, error.status_hint))
                    return True
        self._incoming.respond(response.status, forward_response(response, body))
        return True

    def _target_of(self, context: ProxyContext, branch: int) -> Target:
        """Who answers on a branch, and where from."""
        target = context.target(branch)
        if target.flow is None and target.party is None:
            # found by its name: where it was found is where it is
            client = self._clients.get(branch)
            return target if client is None else target._replace(flow=client.flow)
        return target

    def timer_fired(self, name: str) -> None:
        self._cancel_timer(name)
        if name == _TIMER_C and self._heard_at and self._context is not None:
            left = self._heard_at + self._context.timer_c - self._wheel.seconds()
            if left > 0.0:
                # whole seconds, for each duration has a queue of its own
                self._set_timer(name, float(ceil(left)))
                return
        self._feed(TimerFired(name))

    def _end(self, status: int) -> None:
        on_end, self._on_end = self._on_end, None
        if status >= 300 or status == 0:
            self._on_response = None
        self._release()
        if status == 0:
            self._incoming.drop()
        if on_end is not None:
            on_end(status)

    def _release(self) -> None:
        """What lingers for 32 s must not hold the request (memory per call)."""
        self._copy = None
        self._incoming.user = None
        self._incoming.release_request()
        self.locate = _nothing
