"""Two user agents on one fake clock, their messages carried by hand: no socket, no reactor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from voipcluster.address import Flow, Hop
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.phone.agent import UserAgent
from voipcluster.phone.dialog import Line
from voipcluster.phone.events import Received, Send
from voipcluster.sip.message import Request, Response, parse
from voipcluster.sip.outgoing import reply

PROXY = Hop("UDP", "192.0.2.1", 5060)
ALICE, BOB = ("192.0.2.10", 5060), ("192.0.2.20", 5060)
MEDIA_A, MEDIA_B = ("192.0.2.10", 40000), ("192.0.2.20", 50000)
BOB_URI = "sip:bob@192.0.2.20"


def line(user: str, contact: tuple[str, int], proxy: Hop = PROXY, transport: str = "UDP") -> Line:
    """An account whose random texts are C{USER1}, C{USER2} ..."""
    count = iter(range(1, 1000))
    return Line(user, "example.com", "secret", proxy, contact, transport, lambda: f"{user}{next(count)}")


class Party:
    """
    A user agent, its timers and what it sends.

    @ivar sent: (message, where to), oldest first, until C{take} or the network takes it; C{told}: the other effects.
    """

    def __init__(self, clock: Clock, agent: UserAgent) -> None:
        self.clock, self.agent = clock, agent
        self.sent: list[tuple[Request | Response, Hop]] = []
        self.told: list[Any] = []
        self.timers: dict[str, IDelayedCall] = {}

    def obey(self, effects: Iterable[Any]) -> None:
        for effect in effects:
            match effect:
                case Send(wire, to):
                    self.sent.append((parse(wire), to.hop if isinstance(to, Flow) else to))
                case SetTimer(name, delay):
                    self._cancel(name)
                    self.timers[name] = self.clock.callLater(delay, self._fired, name)
                case CancelTimer(name):
                    self._cancel(name)
                case _:
                    self.told.append(effect)

    def _cancel(self, name: str) -> None:
        call = self.timers.pop(name, None)
        if call is not None:
            call.cancel()

    def _fired(self, name: str) -> None:
        del self.timers[name]
        self.obey(self.agent.feed(TimerFired(name)))

    def receive(self, message: Request | Response, source: Hop = PROXY) -> None:
        flow = Flow(source.transport, self.agent.line.contact, (source.host, source.port))
        self.obey(self.agent.feed(Received(parse(message.to_bytes()), flow)))

    def take(self) -> tuple[Any, Hop]:
        """The oldest message that it sent."""
        return self.sent.pop(0)

    def take_all(self) -> list[Any]:
        taken, self.sent = [message for message, _ in self.sent], []
        return taken

    def answer(self, request: Request, status: int, **options: Any) -> None:
        """Let it receive an answer to a request of its own."""
        self.receive(reply(request, status, None, options.pop("tag", "far"), **options))


class Pair:
    """
    Alice and Bob, directly connected.

    @ivar lose: asked for each message; what it says yes to is lost on the way.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.alice = Party(self.clock, UserAgent(line("alice", ALICE, Hop("UDP", *BOB))))
        self.bob = Party(self.clock, UserAgent(line("bob", BOB, Hop("UDP", *ALICE))))
        self.lose: Callable[[Request | Response], bool] = lambda message: False

    def settle(self) -> None:
        """Carry messages until nobody has one left."""
        while self.alice.sent or self.bob.sent:
            for party, other, source in ((self.alice, self.bob, ALICE), (self.bob, self.alice, BOB)):
                while party.sent:
                    message, _ = party.take()
                    if not self.lose(message):
                        other.receive(message, Hop("UDP", *source))

    def advance(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass, and messages travel at once."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            self.settle()

    def call(self) -> tuple[Any, Any]:
        """A call of Alice's that Bob answered; both views of it."""
        ours, effects = self.alice.agent.call(BOB_URI, MEDIA_A)
        self.alice.obey(effects)
        self.settle()
        theirs = self.bob.agent.calls[ours.call_id]
        self.bob.obey(self.bob.agent.accept(theirs, MEDIA_B))
        self.settle()
        return ours, theirs
