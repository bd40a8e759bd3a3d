"""One call that is over, as a row of C{acc_cdrs}."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from typing import Any

from voipcluster.media.offer_answer import Side
from voipcluster.services.media.listening import opinion_of
from voipcluster.services.media.snapshots import MediaSnapshot
from voipcluster.services.node.quality import stream_rows
from voipcluster.services.node.records import CallRecord
from voipcluster.services.sip.calls import Call, Tried
from voipcluster.sip.masking import without_password
from voipcluster.sip.message import REASONS

Row = dict[str, Any]

_STATUS = re.compile(r"(?:failed|refused) ([1-6][0-9][0-9])")
_MISSED = frozenset({408, 480, 486, 487, 600, 603})  # the callee was there to be called, and nobody answered
_REQUEST_TERMINATED = 487
_TIMED_OUT = 408
# of call_id, from_tag, to_tag, caller, callee, user, gateway_in, gateway_out, number, cause, target, as their columns have it
_LONGEST = (512, 128, 128, 1024, 1024, 512, 64, 64, 64, 128, 1024)
UNSENT = "not sent: "  # how the cause of an attempt begins of which nobody has heard
_SHORTEST = min(_LONGEST)


def uid_of(call: Call) -> str:
    """What makes a record the same one, also when the call ends a second time because its node was killed meanwhile."""
    text = f"{call.key.call_id}\0{call.key.from_tag}"
    # the time first: calls of one moment are together in the index, so that a batch of them dirties few pages
    return f"{int(1000 * call.started):x}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:24]}"


def status_of(call: Call, reason: str) -> int:
    """The final status of the INVITE; 487 for a call that ended before it had one."""
    if call.answered:
        return 200
    found = _STATUS.match(reason)
    return int(found[1]) if found else _REQUEST_TERMINATED


def ended_by(call: Call, reason: str, status: int) -> str:
    """Who has ended a call: C{caller}, C{callee} or C{node}."""
    if call.ended_by:
        return call.ended_by
    if not call.answered and reason.startswith("failed "):
        return "caller" if status == _REQUEST_TERMINATED else "node" if status == _TIMED_OUT else "callee"
    return "node"


def row_of(record: CallRecord, node: str, to_user: bool) -> Row:
    """
    @param node: which has served it; C{to_user}: whether the callee is a user of ours, who may have missed it.
    """
    call, ended, why = record.call, record.ended, record.reason
    status, answered = status_of(call, why), call.answered
    unsent = not answered and bool(call.tried) and all(one.cause.startswith(UNSENT) for one in call.tried)
    if unsent:
        why = call.tried[-1].cause
    reached = call.tried[0].target if call.tried else call.reached
    caller, callee, target = map(without_password, (call.caller, call.callee, reached))
    texts: tuple[str, ...] = (
        call.key.call_id, call.key.from_tag, call.legs[0] if call.legs else call.last_leg, caller, callee, call.user,
        call.gateway_in, call.gateway_out, call.number, why, target,
    )  # fmt: skip
    if not _fits_anywhere(texts):
        texts = tuple(map(_clean, texts, _LONGEST))
    call_id, from_tag, to_tag, caller, callee, user, gateway_in, gateway_out, number, cause, target = texts
    by = "node" if unsent else ended_by(call, record.reason, status)
    row: Row = {
        "uid": uid_of(call),
        "callid": call_id,
        "from_tag": from_tag,
        "to_tag": to_tag,
        "start_time": call.started,
        "answer_time": answered or None,
        "end_time": ended,
        "duration": round(max(0.0, ended - answered), 3) if answered else 0.0,
        "setup": round(max(0.0, (answered or ended) - call.started), 3),
        "caller": caller,
        "callee": callee,
        "src_user": user,
        "src_ip": call.source,
        "transport": call.transport,
        "node": node,
        "ingress": call.ingress,
        "visited": " ".join(call.visited),
        "gateway_in": gateway_in,
        "gateway_out": gateway_out,
        "number": number,
        "sip_code": f"{status}",
        "sip_reason": REASONS.get(status, ""),
        "cause": cause,
        "missed": to_user and status in _MISSED,
        "target": target,
        "attempts": len(call.tried) or int(bool(call.reached)),
        "ended_by": by,
        **_heard(record.media),
    }
    if len(call.tried) > 1:
        row["tried"] = [_tried(number, one, record, by) for number, one in enumerate(call.tried, 1)]
    return row


def _tried(number: int, one: Tried, record: CallRecord, ended: str) -> Row:
    """One attempt of several; the one that was answered lasts as long as the call."""
    row: Row = {
        "attempt": number,
        "target": _clean(without_password(one.target), 1024),
        "gateway": _clean(one.gateway, 64),
        "start_time": one.started,
    }
    if 200 <= one.status < 300:
        outcome = (record.ended, one.status, record.reason, ended)
    elif not one.status and record.call.answered:
        # it has not said a word until somebody else had the call
        outcome = (record.call.answered, _REQUEST_TERMINATED, "answered elsewhere", "node")
    else:
        status = one.status or _REQUEST_TERMINATED
        outcome = (one.ended or record.ended, status, one.cause or f"failed {status}", one.by or "node")
    end, status, cause, by = outcome
    return row | {"end_time": end, "sip_code": f"{status}", "cause": _clean(cause, 128), "ended_by": by}


def _heard(media: MediaSnapshot | None) -> dict[str, Any]:
    if media is None:
        return {"mos_caller": None, "mos_callee": None, "quality": "[]"}
    streams = stream_rows(media)
    for row in streams:
        for direction in row["directions"]:
            direction.pop("course", None)  # the plot of a call is for those who look at it now
    return {
        "mos_caller": _mos(media, Side.CALLER),
        "mos_callee": _mos(media, Side.CALLEE),
        "quality": json.dumps(streams, separators=(",", ":")),
    }


def _mos(media: MediaSnapshot, listener: Side) -> float | None:
    heard = (opinion_of(stream, listener) for stream in media.streams if stream.kind == "audio")
    worst = min((one.mos for one in heard if one is not None), default=None)
    return None if worst is None else round(worst, 2)


def _fits_anywhere(texts: Collection[str]) -> bool:
    """Whether texts are as those of nearly every call: then any database takes them, and L{_clean} changes none of them."""
    together = "".join(texts)
    return together.isascii() and "\0" not in together and max(map(len, texts)) <= _SHORTEST


def _clean(text: str, longest: int) -> str:
    """What came from the network, as any database takes it: no NUL, no lone surrogates, not longer than its column."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8", "replace")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:longest]
