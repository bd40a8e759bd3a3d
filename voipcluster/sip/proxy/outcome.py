"""What came of a request, when all of its branches have ended (RFC 3261 sections 16.7 step 6, 16.8 and 16.9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from voipcluster.sip.message import Response
from voipcluster.sip.proxy.branch import Branch, State
from voipcluster.sip.proxy.events import Answer, ForwardResponse
from voipcluster.sip.proxy.responses import best_response

MERGED: Final = 482  # section 8.2.2.2: the request is there already, over another way


def outcome(branches: Sequence[Branch]) -> int:
    """The status of some of the branches, for who decides where the request goes next: 0 when none was reached."""
    best = best_response(_finals(branches))
    if best is not None:
        return best.status
    unusable = [branch.unusable for branch in branches if branch.unusable]
    if unusable:
        return unusable[0]
    return 408 if any(branch.rang_out or branch.heard for branch in branches) else 0


def last_word(
    branches: Sequence[Branch], invite: bool, cancelled: bool, asked_before: bool
) -> ForwardResponse | Answer | None:
    """
    The final response for the caller.

    @param cancelled: by the caller; C{asked_before}: see L{voipcluster.sip.proxy.context.ProxyContext}.
    @return: L{None} when silence is better.
    """
    finals = _finals(branches)
    if cancelled and not any(final.status >= 600 for final in finals):
        return Answer(487)
    best = best_response(finals)
    if best is None:
        return _without_answer(branches, invite)
    if best.status == 503:
        # our other requests may well be served: 503 would make the caller avoid this proxy (section 16.7 step 6)
        return Answer(500)
    if best.status == MERGED and (asked_before or _is_of_ours(branches)):
        # the caller's request was sent once, and that is what he may be told of (section 8.2.2.2)
        for number, branch in enumerate(branches):
            if branch.given_up and branch.final is not None:
                return ForwardResponse(branch.final, number)
        return Answer(500)
    if best.status == 430:
        # the flow of a phone is gone; to the caller that is a phone which cannot be reached (RFC 5626 section 5.3.1)
        return Answer(480)
    return ForwardResponse(best, _number_of(best, branches))


def _finals(branches: Sequence[Branch]) -> list[Response]:
    return [branch.final for branch in branches if branch.final is not None and not branch.given_up]


def _is_of_ours(branches: Sequence[Branch]) -> bool:
    """Whether a 482 may come of it that the request was placed more than once: nobody knows what became of one copy."""
    return any(
        branch.target.node and (branch.given_up or (branch.final is None and branch.state is State.ENDED))
        for branch in branches
    )


def _number_of(best: Response, branches: Sequence[Branch]) -> int:
    for number, branch in enumerate(branches):
        if branch.final is not None and branch.final.start == best.start:
            return number
    return 0


def _without_answer(branches: Sequence[Branch], invite: bool) -> Answer | None:
    """No branch brought a response: nobody there (480), all unreachable (480 or 500), or silence (408)."""
    if not branches:
        return Answer(480)
    for branch in branches:
        if branch.unusable:
            return Answer(branch.unusable)
    asked = [
        branch for branch in branches if not branch.stands_by
    ] or branches  # of the others nobody knows anything
    if all(branch.unreachable for branch in asked):
        if any(branch.throttled for branch in asked):
            # RFC 7339 section 5.10: who holds a request back says so as the server would, without Retry-After
            return Answer(503)
        # section 16.9: as if each had answered 503; a registered phone that is gone is "unavailable" to its caller
        phones = all(branch.target.party is not None or branch.target.flow is not None for branch in asked)
        return Answer(480 if phones else 500)
    # RFC 4320 section 4.2: no 408 to a non-INVITE, the client has timed out by now itself
    return Answer(408) if invite else None
