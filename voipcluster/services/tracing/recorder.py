"""
The messages of calls while somebody wants to see them, in a bounded part of the memory.

It is on demand, for to keep each message of each call would cost every call some percent. While it is on, what nobody has asked
for yet is held for a moment: often only a later message shows that a call is wanted, or another node says so.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from attrs import define
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from voipcluster.address import Flow, join_host_port
from voipcluster.errors import UsageError
from voipcluster.services.tracing.wanted import Wanted
from voipcluster.services.transaction.tap import Tap
from voipcluster.sip.masking import masked
from voipcluster.sip.overheard import call_id_of, cseq_of

RECENT = 2 << 20  # octets of messages that nobody asked for yet
MOST_OF_ONE = 400  # messages of one call: a phone registers for ever with one Call-ID
MOST_WANTED = 32  # at the same time
GATHER = 0.02  # seconds in which calls gather that the others are to follow
AT_ONCE = 64  # of them in one question
MOST_TOLD = 256 << 10  # octets of messages in one answer: the link takes no larger ones
OVERHEAD = 300  # octets that a kept message takes besides its own
OF_CALL = 1000  # octets that a call takes, even one of which another node tells and no message passes here

Row = dict[str, Any]


class _Message(NamedTuple):
    at: float
    sent: bool
    flow: Flow
    data: bytes


@define
class _Order:
    """What somebody asked for, and until when, by the reactor's clock."""

    wanted: Wanted
    until: float


class Recorder(Service):
    """
    @param wall: seconds since 1970.
    @param memory: octets that messages may take; the oldest call goes first.
    @param mask: whether secrets are hidden before they are kept.
    @ivar tell: told which calls the other nodes are to follow, too.
    """

    name = "trace"

    def __init__(
        self, clock: IReactorTime, tap: Tap, wall: Callable[[], float], memory: int, mask: bool
    ) -> None:
        self._clock, self._tap, self._wall = clock, tap, wall
        self._memory, self._mask = memory, mask
        self._orders: list[_Order] = []
        self._kept: dict[str, deque[_Message]] = {}
        self._recent: deque[tuple[str, _Message]] = deque()
        self._octets = self._recent_octets = 0
        self._news: list[str] = []
        self._ending: IDelayedCall | None = None
        self._telling: IDelayedCall | None = None
        self.tell: Callable[[list[str]], object] = lambda call_ids: None
        self.forgotten = 0

    def stopService(self) -> None:
        super().stopService()
        self.switch_off()

    # -- what the operator says

    @property
    def on(self) -> bool:
        """Whether messages are looked at."""
        return bool(self._orders)

    def switch_on(self, wanted: Wanted, seconds: float) -> None:
        """
        Keep messages that are wanted from now on, for so long.

        @raise UsageError: too much is wanted already.
        """
        orders = [order for order in self._orders if order.wanted != wanted]
        if len(orders) >= MOST_WANTED:
            raise UsageError(f"{MOST_WANTED} things are traced already; voipctl trace off ends them")
        self._orders = [*orders, _Order(wanted, self._clock.seconds() + seconds)]
        self._tap.add(self.overheard)
        self._end_later()

    def switch_off(self, forget: bool = False) -> None:
        """No more; what was kept is still there unless it is to be forgotten."""
        self._orders.clear()
        self._pause()
        if forget:
            self._kept.clear()
            self._octets = 0

    def state(self) -> Row:
        """What is wanted and for how many seconds yet, and how much is kept."""
        now = self._clock.seconds()
        return {
            "wanted": [
                {"what": order.wanted.text, "left": round(max(0.0, order.until - now), 1)}
                for order in self._orders
            ],
            "calls": len(self._kept),
            "messages": sum(len(messages) for messages in self._kept.values()),
            "octets": self._octets,
            "most": self._memory,
            "forgotten": self.forgotten,
        }

    # -- messages

    def overheard(self, sent: bool, data: bytes, flow: Flow) -> None:
        """One message passes; L{Tap} calls this."""
        call_id = call_id_of(data)
        if not call_id:
            return
        message = _Message(self._wall(), sent, flow, data)
        if call_id not in self._kept:
            found = next((o.wanted for o in self._orders if o.wanted.takes(data, call_id, flow)), None)
            if found is None:
                self._hold(call_id, message)
                return
            self._begin(call_id)
            if not found.everywhere:
                self._tell_others(call_id)
        self._keep(call_id, message)

    def follow(self, call_ids: Iterable[str]) -> None:
        """Another node keeps these."""
        for call_id in call_ids:
            if self._orders and call_id not in self._kept:
                self._begin(call_id)

    def rows(self, call_id: str, texts: bool) -> list[Row]:
        """
        What is kept of a call, the oldest first.

        @param texts: with the messages themselves; then the latest ones that fit into one answer.
        """
        rows: list[Row] = []
        told = 0
        for message in reversed(self._kept.get(call_id, ())):
            told += len(message.data)
            if texts and told > MOST_TOLD:
                break
            rows.append(_row(message, texts))
        return rows[::-1]

    def _begin(self, call_id: str) -> None:
        self._kept[call_id] = deque()
        self._octets += OF_CALL
        self._make_room()
        mine = [message for of, message in self._recent if of == call_id]
        if mine:
            self._recent = deque(one for one in self._recent if one[0] != call_id)
            self._recent_octets = sum(OVERHEAD + len(message.data) for _, message in self._recent)
        for message in mine:
            self._keep(call_id, message)

    def _keep(self, call_id: str, message: _Message) -> None:
        if self._mask:
            message = message._replace(data=masked(message.data))
        messages = self._kept[call_id]
        if len(messages) >= MOST_OF_ONE:
            self._octets -= OVERHEAD + len(messages.popleft().data)
        messages.append(message)
        self._octets += OVERHEAD + len(message.data)
        self._make_room()
        while self._octets > self._memory and messages:
            self._octets -= OVERHEAD + len(messages.popleft().data)

    def _make_room(self) -> None:
        """The oldest calls go, but for the last one."""
        while self._octets > self._memory and len(self._kept) > 1:
            oldest = self._kept.pop(next(iter(self._kept)))
            self._octets -= OF_CALL + sum(OVERHEAD + len(message.data) for message in oldest)
            self.forgotten += 1

    def _hold(self, call_id: str, message: _Message) -> None:
        self._recent.append((call_id, message))
        self._recent_octets += OVERHEAD + len(message.data)
        while self._recent_octets > RECENT:
            self._recent_octets -= OVERHEAD + len(self._recent.popleft()[1].data)

    # -- time, and the others

    def _end_later(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        first = min(order.until for order in self._orders)
        self._ending = self._clock.callLater(max(0.0, first - self._clock.seconds()), self._end_some)

    def _end_some(self) -> None:
        self._ending = None
        now = self._clock.seconds()
        self._orders = [order for order in self._orders if order.until > now]
        if self._orders:
            self._end_later()
        else:
            self._pause()

    def _pause(self) -> None:
        self._tap.remove(self.overheard)
        self._recent.clear()
        self._recent_octets = 0
        self._news.clear()
        for later in (self._ending, self._telling):
            if later is not None:
                later.cancel()
        self._ending = self._telling = None

    def _tell_others(self, call_id: str) -> None:
        self._news.append(call_id)
        if self._telling is None:
            self._telling = self._clock.callLater(GATHER, self._tell_now)

    def _tell_now(self) -> None:
        self._telling = None
        news, self._news = self._news, []
        for at in range(0, len(news), AT_ONCE):
            self.tell(news[at : at + AT_ONCE])


def _row(message: _Message, texts: bool) -> Row:
    data = message.data
    number, method = cseq_of(data)
    row: Row = {
        "at": message.at,
        "sent": message.sent,
        "transport": message.flow.transport,
        "local": join_host_port(*message.flow.local),
        "remote": join_host_port(*message.flow.remote),
        "line": _text(data.partition(b"\r\n")[0][:512]),
        "cseq": f"{number} {method}" if method else "",
        "mark": hashlib.blake2s(data, digest_size=12).hexdigest(),
    }
    return row | {"text": _text(data)} if texts else row


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def call_ids_of(value: object) -> Sequence[str]:
    """What another node says: Call-IDs, not more than it would; nothing when it is something else."""
    if not isinstance(value, list | tuple) or len(value) > AT_ONCE:
        return ()
    return [one for one in value if isinstance(one, str) and 0 < len(one) <= 512]
