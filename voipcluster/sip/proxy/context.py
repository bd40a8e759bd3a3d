"""
The response context of one proxied request (RFC 3261 sections 16.5 to 16.10).

Targets in groups by q, forks, CANCEL, Timer C, and the best response.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto

from voipcluster.errors import Throttled
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.sip.message import Response
from voipcluster.sip.proxy.breadth import RECOMMENDED
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
from voipcluster.sip.proxy.responses import best_response


class _State(Enum):
    CALLING = auto()  # nothing heard
    PROCEEDING = auto()  # a provisional response came
    CANCELLING = auto()  # CANCEL is sent or waits for a provisional response
    ENDED = auto()


_FLOW_DEAD = frozenset({408, 430})  # RFC 5626 section 7
_MERGED = 482  # section 8.2.2.2: the request is there already, over another way
# by a node that was given up: nothing of the phone that it was to bring the request to
_SAYS_NOTHING = frozenset({_MERGED, 487, 503})
_CALLING, _PROCEEDING, _ENDED = _State.CALLING, _State.PROCEEDING, _State.ENDED


class _Branch:
    __slots__ = (
        "final", "given_up", "heard", "rang_out", "stands_by", "state", "target", "throttled", "unreachable", "unusable",
    )  # fmt: skip

    def __init__(self, target: Target) -> None:
        self.target = target
        self.state = _State.CALLING
        self.heard = False
        self.given_up = False  # the next node is asked instead; only a 2xx counts any more
        self.stands_by = (
            False  # a node that was given up, and may bring the request to the phone before the next one does
        )
        self.unreachable = self.throttled = self.rang_out = False
        self.unusable = 0  # a status of our own: what it had to say is of no use
        self.final: Response | None = None


class ProxyContext:
    """
    Bring one request to its targets and choose what the caller hears.

    @param invite: whether the request is an INVITE.
    @param timer_c: seconds, above three minutes (section 16.6 step 11); C{timer_cancel}: 64*T1 (section 9.1).
    @param relocate: whether more targets are asked for when all took nothing (hand-over to the next node).
    @param diverts: whether more targets are asked for whatever came of those before (forwarding, find-me), but for a 6xx.
    @param asked_before: whether another node was asked to serve this request, and may have brought it to its targets.
    @ivar breadth: how many branches may be open at the same time, here and behind our targets: the Incoming Max-Breadth (RFC
        5393 section 5.3.3); C{share}: what of it each of those gets that are started now.
    @ivar settles: whether a final response of 300 to 599 says all of where its target leads, so that those behind it and those
        before it are forgotten; or L{None}: each says something of itself alone.
    """

    __slots__ = (
        "_branches", "_cancelled", "_final_sent", "_located_from", "_stop", "_waiting", "asked_before", "breadth", "diverts",
        "invite", "relocate", "settles", "share", "timer_c", "timer_cancel",
    )  # fmt: skip

    def __init__(
        self,
        invite: bool,
        timer_c: float = 185.0,
        timer_cancel: float = 32.0,
        relocate: bool = False,
        diverts: bool = False,
        asked_before: bool = False,
    ) -> None:
        self.invite = invite
        self.timer_c = timer_c
        self.timer_cancel = timer_cancel
        self.relocate, self.diverts, self.asked_before = relocate, diverts, asked_before
        self._located_from = 0  # the first branch to what was located last
        self.breadth = self.share = RECOMMENDED
        self.settles: Callable[[Target, Response], bool] | None = None
        self._branches: list[_Branch] = []
        self._waiting: list[Target] = []
        self._final_sent = False
        self._cancelled = False
        self._stop = False  # a 6xx came: no new branch (section 16.7 step 5)

    def start(self) -> list[Effect]:
        return [LocateTargets(())]

    @property
    def ended(self) -> bool:
        """Whether the caller has its final response."""
        return self._final_sent

    def target(self, branch: int) -> Target:
        return self._branches[branch].target

    def is_wanted(self, branch: int) -> bool:
        """Whether a branch may go to one more server of its next hop (RFC 3263 section 4.3)."""
        found = self._branches[branch]
        return not (self._final_sent or found.given_up) and found.state in (_CALLING, _PROCEEDING)

    def is_given_up(self, branch: int) -> bool:
        """Whether only a 2xx of a branch counts any more, since another one was asked instead, or rings."""
        return self._branches[branch].given_up

    def feed(self, event: Event) -> list[Effect]:
        match event:
            case BranchAnswered(number, response):
                return self._branch_answered(number, response)
            case Located(targets):
                return self._located(targets)
            case BranchTimedOut(number):
                return self._branch_ended(number)
            case BranchFailed(number, error):
                self._branches[number].unreachable = True
                self._branches[number].throttled = isinstance(error, Throttled)
                return self._branch_ended(number)
            case BranchUnusable(number, status):
                return self._unusable(number, status)
            case Cancelled():
                return self._cancel()
            case TimerFired(name):
                return self._timer(name)

    def starts(self, target: Target) -> bool:
        """
        The arrow of nearly every request, as C{feed(Located([target]))} takes it but without events and effects.

        @return: whether it was that one: Timer C of branch 0 is to be started for an INVITE, then branch 0.
        """
        if self._branches or self._cancelled or self._final_sent or target.answer_within or target.ring:
            return False
        self._branches.append(_Branch(target))
        return True

    def passes(self, status: int) -> bool:
        """
        The arrows of nearly every response on branch 0, as C{feed(BranchAnswered(0, response))} takes them.

        @return: whether it was one: with a 1xx Timer C of an INVITE is to be started anew, with a 2xx cancelled; the response
            goes upstream; and with a 2xx all has ended.
        """
        if self._final_sent or self._cancelled or not 100 < status < 300 or len(self._branches) != 1:
            return False
        branch = self._branches[0]
        if branch.target.answer_within or (branch.state is not _CALLING and branch.state is not _PROCEEDING):
            return False
        branch.heard = True
        if status < 200:
            branch.state = _PROCEEDING
        else:
            branch.state = _ENDED
            self._final_sent = True
            self._waiting.clear()
        return True

    def _located(self, targets: Sequence[Target]) -> list[Effect]:
        if self._final_sent:
            return []
        if self._cancelled:
            return self._finish_when_done()
        used = [*(branch.target for branch in self._branches), *self._waiting]
        seen = {(target.uri, target.routes, target.node) for target in used}
        for target in targets:
            key = (target.uri, target.routes, target.node)
            if key not in seen:  # a target is used once in a context (section 16.5)
                seen.add(key)
                self._waiting.append(target)
        self._waiting.sort(key=lambda t: -t.q)
        if not targets:
            self.relocate = self.diverts = False
        return self._next_group() if self._waiting else self._finish_when_done()

    def _next_group(self) -> list[Effect]:
        """
        The targets of the highest q, together, but not more than Max-Breadth allows: the others come when these have ended.

        So nothing of it is in use by then. What has given no sign of life and is given up counts like what has timed out.
        """
        q = self._waiting[0].q
        group = [target for target in self._waiting if target.q == q][: self.breadth]
        del self._waiting[: len(group)]
        self.share = self.breadth // len(group)
        return self._start(group)

    def _start(self, targets: Sequence[Target]) -> list[Effect]:
        effects: list[Effect] = []
        for target in targets:
            number = len(self._branches)
            self._branches.append(_Branch(target))
            if target.answer_within:
                effects.append(SetTimer(f"answer:{number}", target.answer_within))
            if self.invite:
                effects.append(SetTimer(f"C:{number}", self.timer_c))
                if target.ring:
                    effects.append(SetTimer(f"ring:{number}", target.ring))
            effects.append(StartBranch(number, target))
        return effects

    def _branch_answered(self, number: int, response: Response) -> list[Effect]:
        branch = self._branches[number]
        status = response.status
        effects: list[Effect] = []
        if not branch.heard:
            branch.heard = True
            if branch.target.answer_within:
                effects.append(CancelTimer(f"answer:{number}"))
        if status < 200:
            return effects + self._provisional(number, branch, response)
        if self.invite and status < 300:
            # every 2xx goes up, at once, also behind another final one (section 16.7 step 5)
            effects += self._end(number, branch)
            effects.append(ForwardResponse(response, number))
            if not self._final_sent:
                effects += self._final(status)
            return effects
        if branch.state is _State.ENDED:
            return effects
        cancelling = branch.state is _State.CANCELLING
        if status >= 600 and not self._final_sent:
            # the user was asked and wants it nowhere, also where somebody else is asked by now (section 16.7 step 5)
            branch.given_up = branch.stands_by = False
        if branch.given_up:
            if branch.stands_by and status not in _SAYS_NOTHING:
                # it counts only where the next one's copy is merged (482), since the phone has answered to this one
                branch.final = response
        elif not ((branch.rang_out or branch.unusable) and status == 487):
            branch.final = response  # the 487 is our own doing, and says nothing of the callee
        effects += self._end(number, branch)
        if status in _FLOW_DEAD and not cancelling and self._another_way(branch):
            return effects + self._take_other_way(branch)
        if self._final_sent or (branch.given_up and status >= 300):
            return effects
        if status < 300:
            return [*effects, ForwardResponse(response, number), *self._final(status)]
        if status >= 600:
            self._stop = True
            self._waiting.clear()
            effects += self._cancel_pending()
        elif self.settles is not None and not self._stop and self.settles(branch.target, response):
            self._waiting.clear()
            effects += self._cancel_pending()
            self._forget_others(branch)
        return effects + self._finish_when_done()

    def _forget_others(self, branch: _Branch) -> None:
        """What those before it could not do is of no interest to the caller: this one's answer is that of the number."""
        for other in self._branches:
            if other is not branch:
                other.final = None

    def _provisional(self, number: int, branch: _Branch, response: Response) -> list[Effect]:
        effects: list[Effect] = []
        if branch.state is _State.CALLING:
            branch.state = _State.PROCEEDING
        elif branch.state is _State.CANCELLING and not branch.final:
            # CANCEL had to wait for this (section 9.1); the transaction layer sends one CANCEL a branch at most
            effects += [CancelBranch(number), SetTimer(f"X:{number}", self.timer_cancel)]
        if response.status > 100 and branch.stands_by and not (self._final_sent or self._cancelled):
            effects += self._take_back(branch)
        if response.status > 100 and not (self._final_sent or branch.given_up):
            if len(self._branches) > 1:
                effects += self._withdraw(lambda other: other.stands_by)
            if self.invite and branch.state is _State.PROCEEDING:
                effects.append(SetTimer(f"C:{number}", self.timer_c))
            effects.append(ForwardResponse(response, number))
        return effects

    def _take_back(self, branch: _Branch) -> list[Effect]:
        """
        A node that was given up is the first by whom a phone rings: the copy of the node that was asked after it is merged.

        A gateway that rings late may fail yet, so that those which were not asked still wait behind it.
        """
        branch.given_up = branch.stands_by = False
        return self._withdraw(lambda other: other is not branch)

    def _withdraw(self, whom: Callable[[_Branch], bool]) -> list[Effect]:
        """These are asked no more, now that another one rings: CANCEL as soon as that may be sent (section 9.1)."""
        effects: list[Effect] = []
        for number, branch in enumerate(self._branches):
            if branch.state in (_CALLING, _PROCEEDING) and whom(branch):
                if self.invite and branch.state is _PROCEEDING:
                    effects += [CancelBranch(number), SetTimer(f"X:{number}", self.timer_cancel)]
                branch.state, branch.given_up, branch.stands_by = _State.CANCELLING, True, False
        return effects

    def _waits_on(self) -> bool:
        """Whether the phone has it already (482, section 8.2.2.2), over a node that was given up: that one is waited for then."""
        if (
            self._cancelled
            or self._stop
            or not any(b.final is not None and b.final.status == _MERGED for b in self._branches)
        ):
            return False
        first = [b for b in self._branches if b.stands_by and b.state is not _ENDED]
        for branch in first:
            branch.given_up = branch.stands_by = False
        return bool(first)

    def _is_of_ours(self) -> bool:
        """Whether a 482 may come of it that the request was placed more than once: nobody knows what became of one copy."""
        return any(
            branch.target.node and (branch.given_up or (branch.final is None and branch.state is _ENDED))
            for branch in self._branches
        )

    def _end(self, number: int, branch: _Branch) -> list[Effect]:
        branch.state = _State.ENDED
        if not self.invite:
            return []
        effects: list[Effect] = [CancelTimer(f"C:{number}"), CancelTimer(f"X:{number}")]
        if branch.target.ring:
            effects.append(CancelTimer(f"ring:{number}"))
        return effects

    def _branch_ended(self, number: int) -> list[Effect]:
        """A branch ended without a response: it counts as a 408 or 503 that says nothing (sections 16.8, 16.9)."""
        branch = self._branches[number]
        if branch.state is _State.ENDED:
            return []
        silent = branch.state is _State.CALLING or (branch.unreachable and branch.state is _State.PROCEEDING)
        effects = self._end(number, branch)
        if branch.target.answer_within:
            effects.append(CancelTimer(f"answer:{number}"))
        if silent and self._another_way(branch):
            return effects + self._take_other_way(branch)
        return effects + self._finish_when_done()

    def _unusable(self, number: int, status: int) -> list[Effect]:
        """Its 1xx cannot go up, and so neither can what it agrees on: CANCEL, and its 487 says nothing of the callee."""
        branch = self._branches[number]
        branch.unusable = status
        if branch.state is not _PROCEEDING:
            return []
        branch.state = _State.CANCELLING
        return [CancelBranch(number), SetTimer(f"X:{number}", self.timer_cancel)]

    def _another_way(self, branch: _Branch) -> bool:
        return bool(branch.target.alternatives) and not (self._final_sent or self._cancelled or self._stop)

    def _take_other_way(self, branch: _Branch) -> list[Effect]:
        """The phone of a branch has other flows; what this one brought says nothing about the phone."""
        branch.final = None
        following, *others = branch.target.alternatives
        return self._start([following._replace(q=branch.target.q, alternatives=tuple(others))])

    def _cancel(self) -> list[Effect]:
        if self._final_sent or self._cancelled:
            return []
        self._cancelled = True
        self._waiting.clear()
        return self._cancel_pending() + self._finish_when_done()

    def _cancel_pending(self) -> list[Effect]:
        effects: list[Effect] = []
        if not self.invite:
            return effects  # only INVITE is cancelled (section 9.1)
        for number, branch in enumerate(self._branches):
            if branch.state is _State.PROCEEDING:
                effects += [CancelBranch(number), SetTimer(f"X:{number}", self.timer_cancel)]
                branch.state = _State.CANCELLING
            elif branch.state is _State.CALLING:
                branch.state = _State.CANCELLING
        return effects

    def _timer(self, name: str) -> list[Effect]:
        kind, _, index = name.partition(":")
        number = int(index)
        branch = self._branches[number]
        if branch.state is _State.ENDED:
            return []
        match kind, branch.state:
            case "C", _State.PROCEEDING:
                branch.state = _State.CANCELLING
                return [CancelBranch(number), SetTimer(f"X:{number}", self.timer_cancel)]
            case ("C", _State.CALLING) | ("X", _):
                return self._branch_ended(number)
            case "ring", _State.PROCEEDING:
                branch.state, branch.rang_out = _State.CANCELLING, True
                return [CancelBranch(number), SetTimer(f"X:{number}", self.timer_cancel)]
            case "ring", _State.CALLING:
                # nobody is waited for who has said nothing; should he answer yet, CANCEL goes out then (section 9.1)
                branch.state, branch.rang_out, branch.given_up = _State.CANCELLING, True, True
                return self._finish_when_done()
            case "answer", _State.CALLING:
                # the node may be alive and slow: it gets CANCEL as soon as a phone rings over another one
                branch.given_up = branch.stands_by = True
                return self._finish_when_done()
        return []

    def _finish_when_done(self) -> list[Effect]:
        if self._final_sent:
            return []
        pending = [b for b in self._branches if b.state is not _State.ENDED and not b.given_up]
        if pending:
            return []
        if self._waits_on():
            return []
        if self._waiting:
            return self._next_group()
        finals = [b.final for b in self._branches if b.final is not None and not b.given_up]
        failed = tuple(
            b.target for b in self._branches if b.final is None or b.given_up or b.final.status == 503
        )
        if self.relocate and not (self._cancelled or self._stop) and len(failed) == len(self._branches):
            return [LocateTargets(failed)]
        if self.diverts and not (self._cancelled or self._stop):
            status, self._located_from = self._outcome(), len(self._branches)
            return [LocateTargets(failed, status)]
        if self._cancelled and not any(f.status >= 600 for f in finals):
            return [Answer(487), *self._final(487)]
        best = best_response(finals)
        if best is None:
            return self._no_answer()
        if best.status == 503:
            # our other requests may well be served: 503 would make the caller avoid this proxy (section 16.7 step 6)
            return [Answer(500), *self._final(500)]
        if best.status == _MERGED and (self.asked_before or self._is_of_ours()):
            # the caller's request was sent once, and that is what he may be told of (section 8.2.2.2)
            for number, branch in enumerate(self._branches):
                if branch.given_up and branch.final is not None:
                    return [ForwardResponse(branch.final, number), *self._final(branch.final.status)]
            return [Answer(500), *self._final(500)]
        if best.status == 430:
            # the flow of a phone is gone; to the caller that is a phone which cannot be reached (RFC 5626 section 5.3.1)
            return [Answer(480), *self._final(480)]
        return [ForwardResponse(best, self._number_of(best)), *self._final(best.status)]

    def _outcome(self) -> int:
        """What came of the targets that were located last."""
        branches = self._branches[self._located_from :]
        best = best_response([b.final for b in branches if b.final is not None and not b.given_up])
        if best is not None:
            return best.status
        unusable = [b.unusable for b in branches if b.unusable]
        if unusable:
            return unusable[0]
        return 408 if any(b.rang_out or b.heard for b in branches) else 0

    def _number_of(self, best: Response) -> int:
        for number, branch in enumerate(self._branches):
            if branch.final is not None and branch.final.start == best.start:
                return number
        return 0

    def _no_answer(self) -> list[Effect]:
        """No branch brought a response: nobody there (480), all unreachable (480 or 500), or silence (408)."""
        if not self._branches:
            return [Answer(480), *self._final(480)]
        for branch in self._branches:
            if branch.unusable:
                return [Answer(branch.unusable), *self._final(branch.unusable)]
        if all(b.unreachable for b in self._branches):
            if any(b.throttled for b in self._branches):
                # RFC 7339 section 5.10: who holds a request back says so as the server would, without Retry-After
                return [Answer(503), *self._final(503)]
            # section 16.9: as if each had answered 503; a registered phone that is gone is "unavailable" to its caller
            phones = all(b.target.party is not None or b.target.flow is not None for b in self._branches)
            status = 480 if phones else 500
            return [Answer(status), *self._final(status)]
        if self.invite:
            return [Answer(408), *self._final(408)]
        # RFC 4320 section 4.2: no 408 to a non-INVITE, the client has timed out by now itself
        return self._final(0)

    def _final(self, status: int) -> list[Effect]:
        self._final_sent = True
        self._waiting.clear()
        for branch in self._branches:
            branch.final = None  # what lingers for 32 s holds no response
        return [*self._cancel_pending(), Ended(status)]
