"""The calls of the demo: who calls whom, and whether both ends hear the other one's tone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from voipcluster.address import Hop
from voipcluster.errors import ParseError
from voipcluster.net.timers import TimerWheel
from voipcluster.phone import CallFailed, Phone, PhoneCall
from voipcluster.phone.media import AudioClock
from voipcluster.sip.values import parse_name_addr

CALLS_A_PHONE = 8  # at once
NEAR = 20  # Hz between a tone and what was heard of it
EAR_TIME = 6.0  # seconds until the tone of an established call must have been heard
DOMAIN = "example.com"


@define(eq=False)
class Conversation:
    """
    One call with both of its ends.

    @ivar serving: the address of the node that its route names, or an empty string.
    @ivar failure: why it did not come about, or was cut.
    """

    caller: Phone
    callee: Phone
    began: float
    ours: PhoneCall | None = None
    theirs: PhoneCall | None = None
    serving: str = ""
    failure: str = ""
    over: bool = False
    heard_back: bool = field(default=False)
    heard_there: bool = field(default=False)

    @property
    def heard(self) -> bool:
        """Whether each end has heard the tone of the other one."""
        return self.heard_back and self.heard_there

    def listen(self) -> None:
        """Note what is heard now: it is gone with the call."""
        self.heard_back = self.heard_back or _near(self.ours, self.callee.tone)
        self.heard_there = self.heard_there or _near(self.theirs, self.caller.tone)


def _near(call: PhoneCall | None, tone: int) -> bool:
    return call is not None and call.heard_hz is not None and abs(call.heard_hz - tone) <= NEAR


def serving_node(call: PhoneCall) -> str:
    """The address of the first hop of a call's route: the node that serves it."""
    try:
        return parse_name_addr(call.remote_route_set[0]).sip_uri().host if call.remote_route_set else ""
    except ParseError:
        return ""


class Load:
    """
    Phones that call each other through one proxy.

    @param proxy: the only address that they know.
    @ivar conversations: all that were begun, in their order.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, proxy: Hop, local_host: str, names: Iterable[str], password: dict[str, str]
    ) -> None:
        self._reactor = reactor
        wheel, audio = TimerWheel(reactor), AudioClock(reactor)
        self.phones: list[Phone] = []
        self.conversations: list[Conversation] = []
        self._awaited: dict[str, Conversation] = {}
        for number, name in enumerate(names):
            phone = Phone(
                reactor,
                name,
                DOMAIN,
                password[name],
                proxy,
                local_host,
                tone=400 + 100 * number,
                capacity=2 * CALLS_A_PHONE,
                follow_service_route=False,  # all calls are to be offered to the primary
                rtcp=True,
                timers=wheel,
                audio=audio,
            )
            phone.incoming = self._incoming
            self.phones.append(phone)

    async def register(self) -> None:
        """Fails with L{RegistrationRefused} of the first phone that is refused."""
        await DeferredList([phone.register() for phone in self.phones], fireOnOneErrback=True)

    async def stop(self) -> None:
        await DeferredList([phone.stop() for phone in self.phones])

    @property
    def in_progress(self) -> list[Conversation]:
        return [each for each in self.conversations if not each.over]

    def totals(self) -> tuple[int, int]:
        """Calls whose two ends heard each other, and all that were begun."""
        return sum(each.heard for each in self.conversations), len(self.conversations)

    def served_by(self) -> Counter[str]:
        """Calls since the start by the address of the node that serves them."""
        return Counter(each.serving for each in self.conversations if each.serving)

    def begin(self, seconds: float) -> None:
        """Begin a call between two phones that have few, to be hung up that long after it is established."""
        free = [phone for phone in self.phones if len(phone.calls) < CALLS_A_PHONE]
        least = sorted(free, key=lambda phone: (len(phone.calls), random.random()))
        if len(least) < 2:
            return
        caller, callee = least[:2]
        conversation = Conversation(caller, callee, self._reactor.seconds())
        self.conversations.append(conversation)
        calling = caller.call(callee.aor)
        call_id = next(reversed(caller.calls))
        self._awaited[call_id] = conversation
        calling.addCallbacks(self._up, self._failed, (conversation, seconds), {}, (conversation,))
        calling.addErrback(lambda failure: self._log.failure("a call of the demo", failure))

    def _incoming(self, call: PhoneCall) -> None:
        conversation = self._awaited.pop(call.call_id, None)
        if conversation is not None:
            conversation.theirs = call

    def _up(self, call: PhoneCall, conversation: Conversation, seconds: float) -> None:
        conversation.ours = call
        conversation.serving = serving_node(call)
        call.when_ended().addCallback(self._ended, conversation)
        self._reactor.callLater(seconds, self.finish, conversation)

    def _failed(self, failure: Any, conversation: Conversation) -> None:
        failure.trap(CallFailed)
        conversation.failure, conversation.over = str(failure.value), True

    def _ended(self, call: PhoneCall, conversation: Conversation) -> None:
        conversation.listen()
        conversation.over = True
        if call.status != 200:
            conversation.failure = f"the call was cut: {call.status} {call.reason}"

    def listen(self) -> None:
        """Look at what is heard in all calls; to be called about every second."""
        for conversation in self.in_progress:
            conversation.listen()

    def finish(self, conversation: Conversation) -> Deferred[PhoneCall] | None:
        """Hang up, but not before both have heard each other or had their time to."""
        if conversation.over or conversation.ours is None:
            return None
        conversation.listen()
        age = self._reactor.seconds() - conversation.began
        if not conversation.heard and age < EAR_TIME:
            self._reactor.callLater(0.5, self.finish, conversation)
            return None
        return conversation.ours.hang_up()
