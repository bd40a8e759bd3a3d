"""Requests of the phone until their answer: challenged ones are made again with credentials (RFC 3261 section 22)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import define, evolve, field

from voipcluster.address import Hop
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.phone.dialog import Dialog, Line
from voipcluster.phone.events import (
    Answered,
    Asked,
    Closed,
    Ended,
    Incoming,
    Key,
    MediaAt,
    Received,
    Registered,
    RegistrationFailed,
    Ringing,
    Send,
    SendFailed,
    Up,
)
from voipcluster.phone.transactions import Transactions, client_key
from voipcluster.sip.challenges import Challenged, Identity
from voipcluster.sip.message import Request, Response
from voipcluster.sip.transaction.events import STANDARD, Durations

Event = Received | SendFailed | TimerFired
Effect = (
    Send
    | SetTimer
    | CancelTimer
    | Registered
    | RegistrationFailed
    | Incoming
    | Ringing
    | Up
    | MediaAt
    | Ended
)
Taker = Callable[[Answered], list[Effect]]


@define
class Opened:
    """
    A request that is to be sent, or waits for its answer.

    @ivar headers: (name, value) beside those of the dialog; C{hop}: where to, L{None}: where the dialog leads.
    @ivar taker: gets each answer but the challenges that are met; C{sent}: gets the request each time it is made.
    @ivar challenged: what was met, L{None} before the first challenge.
    """

    dialog: Dialog
    method: str
    taker: Taker
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    hop: Hop | None = None
    sent: Callable[[Request], object] = lambda request: None
    challenged: Challenged | None = field(default=None, eq=False)


class Requests:
    """
    What the phone asks of others, over its transactions; what others ask of it goes to C{asked}.

    @ivar asked: takes each new request; to be set by its owner.
    """

    def __init__(self, line: Line, durations: Durations = STANDARD) -> None:
        self.line, self.durations = line, durations
        self.transactions = Transactions(durations)
        self.asked: Callable[[Asked], list[Effect]] = lambda asked: []
        self._open: dict[Key, Opened] = {}

    def __len__(self) -> int:
        return len(self._open)

    def feed(self, event: Event) -> list[Effect]:
        match event:
            case Received(message, flow):
                return self._sort(self.transactions.received(message, flow))
            case TimerFired(name):
                return self._sort(self.transactions.timer_fired(name))
            case SendFailed(hop, reason):
                return self._sort(self.transactions.send_failed(hop, reason))

    def ask(self, opened: Opened) -> list[Effect]:
        """Make the request and send it."""
        request = opened.dialog.request(
            self.line, opened.method, branch=self.line.fresh(), headers=opened.headers, body=opened.body
        )
        self._open[client_key(request)] = opened
        opened.sent(request)
        return self.send(request, opened.hop or opened.dialog.next_hop(self.line))

    def send(self, request: Request, hop: Hop) -> list[Effect]:
        """Send a request whose answer makes no difference, such as a CANCEL."""
        return self._sort(self.transactions.request(request, hop))

    def respond(self, asked: Asked, response: Response) -> list[Effect]:
        return self._sort(self.transactions.respond(asked.key, response))

    def _sort(self, found: Iterable[Any]) -> list[Effect]:
        """Take what the transactions pass up, hand on the rest."""
        effects: list[Effect] = []
        for effect in found:
            if isinstance(effect, Answered):
                effects += self._answered(effect)
            elif isinstance(effect, Asked):
                effects += self.asked(effect)
            elif isinstance(effect, Closed):
                self._open.pop(effect.key, None)
            else:
                effects.append(effect)
        return effects

    def _answered(self, answered: Answered) -> list[Effect]:
        opened = self._open.get(answered.key)
        if opened is None:
            return []
        if answered.status in (401, 407) and answered.response is not None:
            again = self._with_credentials(opened, answered.response)
            if again is not None:
                return self.ask(again)
        return opened.taker(answered)

    def _with_credentials(self, opened: Opened, response: Response) -> Opened | None:
        """The request once more with an answer to the challenge (22.2, 22.3), or L{None} when there is no use in it."""
        challenged = opened.challenged or Challenged(Identity(self.line.user, self.line.password))
        if not challenged.meets(
            response, opened.method, opened.dialog.target, self.line.fresh(), opened.body
        ):
            return None
        names = {name for name, _ in challenged.headers}
        kept = tuple(header for header in opened.headers if header[0] not in names)
        return evolve(opened, headers=(*kept, *challenged.headers), challenged=challenged)
