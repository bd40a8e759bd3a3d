"""How a forwarded request says who forwarded it and why: Diversion (RFC 5806) and History-Info (RFC 7044)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from voipcluster.errors import ParseError
from voipcluster.sip.message import Request
from voipcluster.sip.uri import parse_uri
from voipcluster.sip.values import address_uri

DIVERSION, HISTORY = "diversion", "history-info"
MOST_DIVERSIONS = 5  # of one call, here and before us: as many as ISUP allows (RFC 5806 section 9.2)

_INDEX = re.compile(r";\s*index\s*=\s*([0-9]+(?:\.[0-9]+)*)\s*(?:;|$)", re.IGNORECASE)
_COUNTER = re.compile(r";\s*counter\s*=\s*([0-9]{1,2})\s*(?:;|$)", re.IGNORECASE)


class Why(Enum):
    """The reason of Diversion (RFC 5806 section 9.1) and the cause that goes with it (RFC 4458 section 6, RFC 7544 section 7)."""

    UNCONDITIONAL = "unconditional", 302
    BUSY = "user-busy", 486
    NO_ANSWER = "no-answer", 408
    UNAVAILABLE = "unavailable", 503
    FOLLOW_ME = "follow-me", 404
    DEFLECTION = "deflection", 480

    @property
    def reason(self) -> str:
        return self.value[0]

    @property
    def cause(self) -> int:
        return self.value[1]


class Diversion(NamedTuple):
    """
    One user had a call go elsewhere.

    @ivar by: the URI that was called; C{to}: the one that is called instead, C{place}: which one of his that is, from 1.
    """

    by: str
    why: Why
    to: str
    place: int


class Past(NamedTuple):
    """What a request says of its diversions before it came here: C{by}: who did it, C{times}: how many there were."""

    by: tuple[str, ...]
    times: int


def past(request: Request) -> Past:
    """
    The diversions that a request has behind it.

    @raise ParseError: a Diversion that is none.
    """
    if DIVERSION not in request.layout.at:
        return Past((), 0)
    by, times = [], 0
    for value in request.values(DIVERSION):
        by.append(address_uri(value))
        counter = _COUNTER.search(value)
        times += int(counter[1]) if counter else 1  # section 5.1.1: one that has no counter counts once
    return Past(tuple(by), times)


def diverted(request: Request, diversions: Sequence[Diversion]) -> tuple[list[int], list[tuple[str, str]]]:
    """
    What is changed in a copy of a request that goes elsewhere.

    @param diversions: in their order, at least one.
    @return: the lines to drop, and the headers to append in place of them.
    """
    at = request.layout.at
    dropped: list[int] = []
    added: list[tuple[str, str]] = []
    for one in reversed(diversions):  # the latest one is on top (RFC 5806 section 5.1)
        added.append((DIVERSION, f"<{one.by}>;reason={one.why.reason};counter=1"))
    if DIVERSION in at:
        dropped += request.layout.indexes(DIVERSION)
        added += [(DIVERSION, value) for value in request.values(DIVERSION)]
    history = list(_history(request, diversions))
    added += [(HISTORY, value) for value in history]
    return dropped, added


def _history(request: Request, diversions: Sequence[Diversion]) -> Iterator[str]:
    """The entries behind those that the request came with (RFC 7044 section 9.1); none when these cannot be read."""
    first, index, known = diversions[0], "1", False
    if HISTORY in request.layout.at:
        last = request.values(HISTORY)[-1]
        found = _INDEX.search(last.rpartition(">")[2])
        if found is None:
            return
        known = _same(address_uri(last), first.by)
        index = found[1] if known else f"{found[1]}.1"
    if not known:
        answered = first.why in (Why.BUSY, Why.NO_ANSWER)
        reason = f"?Reason=SIP%3Bcause%3D{first.why.cause}" if answered else ""
        yield f"<{first.by}{reason}>;index={index}"
    for one in diversions:
        parent, index = index, f"{index}.{one.place}"
        uri = parse_uri(one.to).with_param("cause", str(one.why.cause))
        yield f"<{uri}>;index={index};mp={parent}"


def _same(theirs: str, ours: str) -> bool:
    try:
        return parse_uri(theirs).aor() == parse_uri(ours).aor()
    except ParseError:
        return False
