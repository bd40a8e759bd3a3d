"""Calls that were refused before anybody served them: a record of each, but of a flood only some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from voipcluster.errors import ParseError, PeerError
from voipcluster.services.media.relay import CallKey
from voipcluster.services.node.records import CallRecord
from voipcluster.services.sip.calls import Call

WINDOW = 60  # s
MOST = 60  # records in that time
MOST_OF_SOURCE = 5  # of one address
LONGEST = 110  # characters of a reason in words
REMEMBERED = 1000  # requests that have a record
CHALLENGES = frozenset({401, 407})
BUSY = 503


class RefusedCalls:
    """
    @param add: takes a record.
    @param wall: seconds since 1970.
    @param nodes: addresses of the other nodes: what one of them hears of a busy node is no news, since it asks the next.
    @ivar left_out: refusals without a record, since there were too many.
    """

    def __init__(
        self,
        add: Callable[[CallRecord], object],
        wall: Callable[[], float],
        node: str,
        nodes: Callable[[], Collection[str]],
    ) -> None:
        self._add, self._wall, self._node, self._nodes = add, wall, node, nodes
        self._window, self._count = -1.0, 0
        self._of_source: Counter[str] = Counter()
        self._seen: dict[Any, None] = {}  # copies of a request are one refusal
        self.left_out = 0

    def note(
        self,
        incoming: Any,
        status: int,
        headers: Iterable[tuple[str, str]],
        why: str = "",
        about: Mapping[str, str] = {},
    ) -> None:
        """
        A new INVITE, a server transaction, was answered without state.

        @param why: in words; C{about}: fields of its call, as far as they are known.
        """
        if status in CHALLENGES or status < 400 or incoming.key in self._seen:
            return
        now = self._wall()
        if now // WINDOW != self._window:
            self._window, self._count = now // WINDOW, 0
            self._of_source.clear()
        host = incoming.flow.remote[0]
        if self._count >= MOST or self._of_source[host] >= MOST_OF_SOURCE:
            self.left_out += 1
            return
        if status == BUSY and host in self._nodes():
            return
        try:
            call = self._call_of(incoming, now)
        except PeerError:
            self.left_out += 1  # it does not even say what call it would be
            return
        if call is None:
            return
        self._count += 1
        self._of_source[host] += 1
        self._seen[incoming.key] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        words = f" ({why[:LONGEST]})" if why else _why(headers)
        for name, value in about.items():
            setattr(call, name, value)
        self._add(CallRecord(call, now, f"refused {status}{words}", None))

    def _call_of(self, incoming: Any, now: float) -> Call | None:
        """@return: L{None} for a request within a dialog, which is of another call. @raise PeerError: it is malformed."""
        request = incoming.request
        if request.to_tag:
            return None
        host, port = incoming.flow.remote
        return Call(
            CallKey(request.call_id, request.from_tag or ""),
            _from_of(request),
            request.uri,
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            incoming.flow.transport,
            "",
            self._node,
            (),
            now,
        )


def _from_of(request: Any) -> str:
    try:
        return str(request.from_uri)
    except ParseError:
        return ""


def _why(headers: Iterable[tuple[str, str]]) -> str:
    """The text of a Warning (RFC 3261 section 20.43)."""
    for name, value in headers:
        if name == "Warning" and '"' in value:
            return f" ({value.partition(chr(34))[2].rstrip(chr(34))})"
    return ""
