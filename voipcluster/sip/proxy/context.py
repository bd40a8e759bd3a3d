"""
The response context of one proxied request (RFC 3261 sections 16.5 to 16.10).

Targets in groups by q, forks, CANCEL, Timer C, and the best response.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from voipcluster.errors import Throttled
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.sip.message import Response
from voipcluster.sip.proxy.branch import Branch, State
from voipcluster.sip.proxy.breadth import RECOMMENDED
from voipcluster.sip.proxy.events import (
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
from voipcluster.sip.proxy.outcome import MERGED, last_word, outcome

_FLOW_DEAD = frozenset({408, 430})  # RFC 5626 section 7
# by a node that was given up: nothing of the phone that it was to bring the request to
_SAYS_NOTHING = frozenset({MERGED, 487, 503})
_CALLING, _PROCEEDING, _ENDED = State.CALLING, State.PROCEEDING, State.ENDED


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
        self._branches: list[Branch] = []
        self._waiting: list[Target] = []
        self._final_sent = False
        self._cancelled = False
        self._stop = False  # a 6xx came: no new branch (section 16.7 step 5)

    def start(self) -> list[Effect]:
        return [LocateTargets(())]

    def take_over(self, other: ProxyContext) -> list[int]:
        """
        The nodes that stand by there do so here from now on: the first branches, before there is any other one.

        @return: the numbers that they have there.
        """
        assert not self._branches, "take_over() comes before start()"
        kept = [
            number
            for number, branch in enumerate(other._branches)
            if branch.stands_by and (branch.state is not _ENDED or branch.final is not None)
        ]
        self._branches = [other._branches[number] for number in kept]
        self._located_from = len(kept)
        return kept

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
        self._branches.append(Branch(target))
        return True

    def passes(self, status: int) -> bool:
        """
        The arrows of nearly every response on branch 0, as C{feed(BranchAnswered(0, response))} takes them.

        @return: whether it was one: with a 1xx Timer C of an INVITE is to be started anew, with a 2xx cancelled; the response
            goes upstream, a 1xx that of an INVITE alone; and with a 2xx all has ended.
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
        # two phones at home may have one and the same private Contact: their flows tell them apart (RFC 5626 section 7)
        seen = {(target.uri, target.routes, target.flow, target.node) for target in used}
        for target in targets:
            key = (target.uri, target.routes, target.flow, target.node)
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
            self._branches.append(Branch(target))
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
        if branch.state is State.ENDED:
            return effects
        cancelling = branch.state is State.CANCELLING
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

    def _forget_others(self, branch: Branch) -> None:
        """What those before it could not do is of no interest to the caller: this one's answer is that of the number."""
        for other in self._branches:
            if other is not branch:
                other.final = None

    def _provisional(self, number: int, branch: Branch, response: Response) -> list[Effect]:
        effects: list[Effect] = []
        if branch.state is State.CALLING:
            branch.state = State.PROCEEDING
        elif branch.state is State.CANCELLING and not branch.final:
            # CANCEL had to wait for this (section 9.1); the transaction layer sends one CANCEL a branch at most
            effects += [CancelBranch(number), SetTimer(f"X:{number}", self.timer_cancel)]
        if response.status > 100 and branch.stands_by and not (self._final_sent or self._cancelled):
            effects += self._take_back(branch)
        if response.status > 100 and not (self._final_sent or branch.given_up):
            if len(self._branches) > 1:
                effects += self._withdraw(lambda other: other.stands_by)
            if (
                self.invite
            ):  # to other requests there is none but a 100 of each hop's own (RFC 4320 section 4.1)
                if branch.state is State.PROCEEDING:
                    effects.append(SetTimer(f"C:{number}", self.timer_c))
                effects.append(ForwardResponse(response, number))
        return effects

    def _take_back(self, branch: Branch) -> list[Effect]:
        """
        A node that was given up is the first by whom a phone rings: the copy of the node that was asked after it is merged.

        A gateway that rings late may fail yet, so that those which were not asked still wait behind it.
        """
        branch.given_up = branch.stands_by = False
        return self._withdraw(lambda other: other is not branch)

    def _withdraw(self, whom: Callable[[Branch], bool]) -> list[Effect]:
        """These are asked no more, now that another one rings: CANCEL as soon as that may be sent (section 9.1)."""
        effects: list[Effect] = []
        for number, branch in enumerate(self._branches):
            if branch.state in (_CALLING, _PROCEEDING) and whom(branch):
                if self.invite and branch.state is _PROCEEDING:
                    effects += [CancelBranch(number), SetTimer(f"X:{number}", self.timer_cancel)]
                branch.state, branch.given_up, branch.stands_by = State.CANCELLING, True, False
        return effects

    def _waits_on(self) -> bool:
        """Whether the phone has it already (482, section 8.2.2.2), over a node that was given up: that one is waited for then."""
        if (
            self._cancelled
            or self._stop
            or not any(b.final is not None and b.final.status == MERGED for b in self._branches)
        ):
            return False
        first = [b for b in self._branches if b.stands_by and b.state is not _ENDED]
        for branch in first:
            branch.given_up = branch.stands_by = False
        return bool(first)

    def _end(self, number: int, branch: Branch) -> list[Effect]:
        branch.state = State.ENDED
        if not self.invite:
            return []
        effects: list[Effect] = [CancelTimer(f"C:{number}"), CancelTimer(f"X:{number}")]
        if branch.target.ring:
            effects.append(CancelTimer(f"ring:{number}"))
        return effects

    def _branch_ended(self, number: int) -> list[Effect]:
        """A branch ended without a response: it counts as a 408 or 503 that says nothing (sections 16.8, 16.9)."""
        branch = self._branches[number]
        if branch.state is State.ENDED:
            return []
        silent = branch.state is State.CALLING or (branch.unreachable and branch.state is State.PROCEEDING)
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
        branch.state = State.CANCELLING
        return [CancelBranch(number), SetTimer(f"X:{number}", self.timer_cancel)]

    def _another_way(self, branch: Branch) -> bool:
        return bool(branch.target.alternatives) and not (self._final_sent or self._cancelled or self._stop)

    def _take_other_way(self, branch: Branch) -> list[Effect]:
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
            if branch.state is State.PROCEEDING:
                effects += [CancelBranch(number), SetTimer(f"X:{number}", self.timer_cancel)]
                branch.state = State.CANCELLING
            elif branch.state is State.CALLING:
                branch.state = State.CANCELLING
        return effects

    def _timer(self, name: str) -> list[Effect]:
        kind, _, index = name.partition(":")
        number = int(index)
        branch = self._branches[number]
        if branch.state is State.ENDED:
            return []
        match kind, branch.state:
            case "C", State.PROCEEDING:
                branch.state = State.CANCELLING
                return [CancelBranch(number), SetTimer(f"X:{number}", self.timer_cancel)]
            case ("C", State.CALLING) | ("X", _):
                return self._branch_ended(number)
            case "ring", State.PROCEEDING:
                branch.state, branch.rang_out = State.CANCELLING, True
                return [CancelBranch(number), SetTimer(f"X:{number}", self.timer_cancel)]
            case "ring", State.CALLING:
                # nobody is waited for who has said nothing; should he answer yet, CANCEL goes out then (section 9.1)
                branch.state, branch.rang_out, branch.given_up = State.CANCELLING, True, True
                return self._finish_when_done()
            case "answer", State.CALLING:
                # the node may be alive and slow: it gets CANCEL as soon as a phone rings over another one
                branch.given_up = branch.stands_by = True
                return self._finish_when_done()
        return []

    def _finish_when_done(self) -> list[Effect]:
        if self._final_sent:
            return []
        pending = [b for b in self._branches if b.state is not State.ENDED and not b.given_up]
        if pending:
            return []
        if self._waits_on():
            return []
        if self._waiting:
            return self._next_group()
        failed = tuple(
            b.target for b in self._branches if b.final is None or b.given_up or b.final.status == 503
        )
        if self.relocate and not (self._cancelled or self._stop) and len(failed) == len(self._branches):
            return [LocateTargets(failed)]
        if self.diverts and not (self._cancelled or self._stop):
            status = outcome(self._branches[self._located_from :])
            self._located_from = len(self._branches)
            return [LocateTargets(failed, status)]
        word = last_word(self._branches, self.invite, self._cancelled, self.asked_before)
        if word is None:
            return self._final(0)
        return [
            word,
            *self._final(word.response.status if isinstance(word, ForwardResponse) else word.status),
        ]

    def _final(self, status: int) -> list[Effect]:
        self._final_sent = True
        self._waiting.clear()
        for branch in self._branches:
            branch.final = None  # what lingers for 32 s holds no response
        return [*self._cancel_pending(), Ended(status)]
