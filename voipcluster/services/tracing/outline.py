"""
What is known of any call in outline, without a message of it: what the placement decided, when it rang, was answered and ended.

A node has all of this at hand anyway; all that it costs a call is to be remembered when it is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from attrs import define, field, frozen

from voipcluster.balance.explain import LONGEST, Explanation
from voipcluster.services.sip.calls import Call
from voipcluster.sip.masking import without_password

LARGEST = 2048  # characters of the parties of a call that is remembered; more is somebody who wants to fill our memory
_REASONS = {
    "bye": "ended by BYE",
    "no answer": "no answer",
    "media time-out": "ended: no media any more",
    "session expired": "ended: its session timer was not refreshed",
    "too long": "ended: nobody ended it",
    "not relayed": "ended by the node with BYE to both: what was answered cannot be relayed",
}

Row = dict[str, Any]


@frozen
class Over:
    """A call that is over: when in seconds since 1970, and why."""

    call: Call
    ended: float
    reason: str


@define
class Outlines:
    """
    The calls that were over last, answered or not, in two generations, as in L{voipcluster.balance.explain.ExplainLog}.

    @ivar most: calls that are kept.
    @ivar depth: of them with one Call-ID.
    """

    most: int = 1000
    depth: int = 4
    _kept: dict[str, tuple[Over, ...]] = field(factory=dict)
    _kept_before: dict[str, tuple[Over, ...]] = field(factory=dict)

    def add(self, call: Call, ended: float, reason: str) -> None:
        """A call is over."""
        call_id, most = call.key.call_id, self.most
        if (
            not most
            or len(call_id) > LONGEST
            or len(call.caller) + len(call.callee) + len(call.called) > LARGEST
        ):
            return
        kept = self._kept
        earlier = kept.get(call_id) or self._kept_before.pop(call_id, ())
        if len(kept) >= (most + 1) // 2 and call_id not in kept:
            self._kept_before, kept = kept, {}
            self._kept = kept
        kept[call_id] = (*earlier, Over(call, ended, reason))[-self.depth :]

    def find(self, call_id: str) -> tuple[Over, ...]:
        """Those with that Call-ID, the oldest first."""
        return self._kept.get(call_id) or self._kept_before.get(call_id, ())

    def __len__(self) -> int:
        return len(self._kept) + len(self._kept_before)


def events(
    node: str, explanations: Iterable[Explanation], running: Iterable[Call], over: Iterable[Over]
) -> list[Row]:
    """What one node knows of one call: C{node}, C{at} in seconds since 1970, and C{text}; in their order."""
    rows = [_row(node, one.time, _placed(one)) for one in explanations]
    for call in running:
        rows += _of_call(node, call)
    for one in over:
        rows += _of_call(node, one.call)
        rows.append(_row(node, one.ended, _ended(one)))
    return sorted(rows, key=lambda row: row["at"])


def _row(node: str, at: float, text: str) -> Row:
    return {"node": node, "at": at, "text": text}


def _placed(one: Explanation) -> str:
    target = f" to {one.chosen}" if one.chosen and one.chosen != one.node else ""
    return f"{one.outcome}{target}: {one.reason}"


def _of_call(node: str, call: Call) -> Iterator[Row]:
    who = f", user {call.user}" if call.user else f", gateway {call.gateway_in}" if call.gateway_in else ""
    came = f" by way of {', '.join(call.visited)}" if call.visited else ""
    caller, callee = without_password(call.caller) or "nobody named", without_password(call.callee)
    yield _row(
        node,
        call.started,
        f"INVITE from {caller} to {callee} over {call.transport} from {call.source}{who}{came}",
    )
    for one in call.tried:
        by = f" by gateway {one.gateway}" if one.gateway else ""
        target = without_password(one.target)
        yield _row(node, one.started, f"tries {target}{by}")
        if one.status:
            why = f", {one.cause}" if one.cause else ""
            yield _row(node, one.ended, f"{one.status} of {target}{why}")
    if call.rang:
        yield _row(node, call.rang, "ringing or early media")
    if call.answered:
        over = f" by gateway {call.gateway_out}" if call.gateway_out else ""
        yield _row(node, call.answered, f"answered{over}")


def _ended(one: Over) -> str:
    reason, opened, why = one.reason.partition(" (")
    return _REASONS.get(reason, f"ended: {reason}") + opened + why
