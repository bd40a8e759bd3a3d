"""
The user agent of the phone: one account, its registration and its calls, without I/O (RFC 3261 sections 8, 10, 12 to 15).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Protocol

from attrs import define, evolve

from voipcluster.address import Hop
from voipcluster.errors import ParseError
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.phone.call import Call, CallState
from voipcluster.phone.dialog import Dialog, Line, first_contact
from voipcluster.phone.events import (
    Answered,
    Asked,
    Closed,
    Ended,
    Incoming,
    MediaAt,
    Received,
    Registered,
    RegistrationFailed,
    Ringing,
    Send,
    SendFailed,
    Up,
)
from voipcluster.phone.sdp import describe, read_audio
from voipcluster.phone.transactions import Transactions
from voipcluster.sip.digest import answer, choose_challenge
from voipcluster.sip.message import Request, Response, parse, reply
from voipcluster.sip.transaction.events import STANDARD, Durations
from voipcluster.sip.transaction.hop_by_hop import build_cancel
from voipcluster.sip.transaction.matching import server_key
from voipcluster.sip.values import parse_name_addr

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO"
MAX_REDIRECTS = 5
MAX_CHALLENGES = 3  # a stale nonce costs one more; more than that is a wrong password

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
_REFRESH = "refresh"


class _Taker(Protocol):
    def __call__(self, answered: Answered) -> list[Effect]: ...


@define
class _Open:
    """A request of ours that waits for its answer: what makes it anew with credentials, and who takes the answer."""

    dialog: Dialog
    method: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    hop: Hop | None
    taker: _Taker
    challenges: int = 0


class UserAgent:
    """
    @param line: the account; its C{contact} must be known when the first request is made.
    @param expires: seconds that a registration is asked for.
    @ivar calls: by Call-ID, until they ended.
    """

    def __init__(
        self,
        line: Line,
        *,
        expires: int = 600,
        follow_service_route: bool = True,
        durations: Durations = STANDARD,
    ) -> None:
        self.line = line
        self.calls: dict[str, Call] = {}
        self.transactions = Transactions(durations)
        self._durations = durations
        self._expires = expires
        self._follow = follow_service_route
        self._registration: Dialog | None = None
        self._open: dict[str, _Open] = {}

    def feed(self, event: Event) -> list[Effect]:
        match event:
            case Received(message, flow):
                return self._sort(self.transactions.received(message, flow))
            case TimerFired(name) if name == _REFRESH:
                return self.register()
            case TimerFired(name) if name.startswith("200 "):
                return self._repeat_answer(name)
            case TimerFired(name):
                return self._sort(self.transactions.timer_fired(name))
            case SendFailed(hop, reason):
                return self._sort(self.transactions.send_failed(hop, reason))

    def _sort(self, found: Iterable[Any]) -> list[Effect]:
        """Take what the transactions pass up, hand on the rest."""
        effects: list[Effect] = []
        for effect in found:
            if isinstance(effect, Answered):
                effects += self._answered(effect)
            elif isinstance(effect, Asked):
                effects += self._asked(effect)
            elif isinstance(effect, Closed):
                self._open.pop(effect.branch, None)
            else:
                effects.append(effect)
        return effects

    # requests of ours

    def _ask(self, opened: _Open) -> list[Effect]:
        branch = self.line.fresh()
        request = opened.dialog.request(
            self.line, opened.method, branch=branch, headers=opened.headers, body=opened.body
        )
        self._open[request.top_via.branch] = opened
        if opened.method == "INVITE":
            call = self.calls[opened.dialog.call_id]
            call.invite, call.seq = request, opened.dialog.local_seq
        return self._sort(self.transactions.request(request, opened.hop or opened.dialog.next_hop(self.line)))

    def _answered(self, answered: Answered) -> list[Effect]:
        opened = self._open.get(answered.branch)
        if opened is None:
            return []
        if answered.status in (401, 407) and answered.response is not None:
            again = self._with_credentials(opened, answered.response)
            if again is not None:
                return self._ask(again)
        return opened.taker(answered)

    def _with_credentials(self, opened: _Open, response: Response) -> _Open | None:
        """The request once more with an answer to the challenge (22.2, 22.3), or L{None} when there is no use in it."""
        asking, name = (
            ("www-authenticate", "Authorization")
            if response.status == 401
            else ("proxy-authenticate", "Proxy-Authorization")
        )
        chosen = choose_challenge(response.get_all(asking))
        if chosen is None or opened.challenges >= MAX_CHALLENGES:
            return None
        value = answer(
            chosen,
            opened.method,
            opened.dialog.target,
            self.line.user,
            password=self.line.password,
            cnonce=self.line.fresh(),
            nc=1,
            body=opened.body,
        )
        kept = tuple(header for header in opened.headers if header[0] != name)
        return evolve(opened, headers=(*kept, (name, value)), challenges=opened.challenges + 1)

    # registration

    def register(self, expires: int | None = None) -> list[Effect]:
        """Register, or refresh; with C{expires=0} take the contact back."""
        if self._registration is None:
            self._registration = Dialog.outgoing(self.line, self.line.aor, ())
            self._registration.target = f"sip:{self.line.domain}"
        asked = self._expires if expires is None else expires
        headers = (("Contact", self.line.contact_value), ("Expires", str(asked)), ("Allow", ALLOW))
        taker = partial(self._registered, asked)
        return [
            CancelTimer(_REFRESH),
            *self._ask(_Open(self._registration, "REGISTER", headers, b"", self.line.proxy, taker)),
        ]

    def _registered(self, asked: int, answered: Answered) -> list[Effect]:
        response = answered.response
        if answered.status < 200:
            return []
        if answered.status == 423 and response is not None:
            least = response.get("min-expires") or ""
            if least.isascii() and least.isdigit() and asked < int(least) < 1 << 31:
                self._expires = int(least)
                return self.register()
        if response is None or answered.status >= 300:
            return [RegistrationFailed(answered.status, answered.reason)]
        if self._follow:
            self.line.service_route = tuple(response.values("service-route"))
        granted = _granted(response, self.line.contact_value, asked)
        effects: list[Effect] = [Registered(granted)]
        if granted:
            effects.append(SetTimer(_REFRESH, max(granted * 0.9 - 1, granted / 2)))
        return effects

    # calls that we make

    def call(self, to: str, media: tuple[str, int]) -> tuple[Call, list[Effect]]:
        """
        Call an address.

        @param to: a SIP URI; C{media}: where our audio is taken.
        """
        dialog = Dialog.outgoing(self.line, to, self.line.service_route)
        call = Call(dialog, media, True, CallState.CALLING)
        self.calls[call.call_id] = call
        return call, self._invite(call)

    def _invite(self, call: Call) -> list[Effect]:
        body = describe(*call.media, call.version)
        headers = (
            ("Contact", self.line.contact_value),
            ("Allow", ALLOW),
            ("Content-Type", "application/sdp"),
        )
        return self._ask(
            _Open(call.dialog, "INVITE", headers, body, None, partial(self._call_answered, call))
        )

    def _call_answered(self, call: Call, answered: Answered) -> list[Effect]:
        if answered.status < 200:
            if call.state is not CallState.CALLING:
                return []
            call.state = CallState.PROCEEDING
            if call.wanted_gone:
                return self._cancel(call)
            return [Ringing(call.call_id)] if answered.status in (180, 183) else []
        if 200 <= answered.status < 300 and answered.response is not None:
            return self._call_accepted(call, answered.response)
        if 300 <= answered.status < 400 and answered.response is not None and not call.over:
            contact = first_contact(answered.response)
            if contact is not None and call.redirected < MAX_REDIRECTS:
                # the target set replaces the route too: what sent us away is not asked again (8.1.3.4)
                call.redirected += 1
                call.dialog.target, call.dialog.routes, call.dialog.direct = contact, (), True
                call.state = CallState.CALLING
                return self._invite(call)
        return self._end(call, answered.status, answered.reason)

    def _call_accepted(self, call: Call, response: Response) -> list[Effect]:
        tag = response.to_tag or ""
        if call.state in (CallState.CALLING, CallState.PROCEEDING, CallState.ENDING) and not call.ack:
            hanging_up = call.state is CallState.ENDING or call.wanted_gone
            call.dialog.confirm(response)
            effects = self._ack(call, call.dialog)
            call.ack = effects[0].wire
            call.invite = None
            if hanging_up:
                return [*effects, *self._bye(call)]  # the answer and our CANCEL crossed (9.1)
            call.state = CallState.UP
            return [*effects, MediaAt(call.call_id, read_audio(response.body)), Up(call.call_id)]
        if call.ack and f"tag={tag}" in call.dialog.remote:
            return [Send(call.ack, call.dialog.next_hop(self.line))]
        fork = evolve(call.dialog)
        fork.confirm(response)
        effects = self._ack(call, fork)
        if tag in call.elsewhere:
            return [*effects]
        call.elsewhere.add(tag)  # one call has room for one far end: the other one is hung up (13.2.2.4)
        fork.local_seq = call.dialog.local_seq
        return [*effects, *self._ask(_Open(fork, "BYE", (), b"", None, _nobody))]

    def _ack(self, call: Call, dialog: Dialog) -> list[Send]:
        """The ACK of a 2xx: number and credentials of the INVITE, a branch of its own (13.2.2.4)."""
        ack = dialog.request(self.line, "ACK", branch=self.line.fresh(), seq=call.seq)
        return [Send(ack.to_bytes(), dialog.next_hop(self.line))]

    def _cancel(self, call: Call) -> list[Effect]:
        assert call.invite is not None, "an INVITE that was sent and is open"
        cancel = parse(build_cancel(call.invite.to_bytes()))
        assert isinstance(cancel, Request)
        call.state = CallState.ENDING
        return self._sort(self.transactions.request(cancel, call.dialog.next_hop(self.line)))

    # calls that we get

    def _asked(self, asked: Asked) -> list[Effect]:
        request = asked.request
        call = self.calls.get(request.call_id)
        if call is not None and not _belongs(call, request):
            call = None
        try:
            match request.method:
                case "ACK":
                    return self._acknowledged(call)
                case "CANCEL":
                    return self._cancelled(asked)
                case "OPTIONS":
                    return self._reply(asked, 200)
                case "INVITE" if request.to_tag is None:
                    return self._called(asked)
                case "INVITE" | "UPDATE" | "BYE" | "INFO":
                    return self._within(call, asked)
                case _:
                    return self._reply(asked, 405, headers=[("Allow", ALLOW)])
        except ParseError as error:
            return self._reply(asked, error.status_hint)

    def _reply(
        self, asked: Asked, status: int, *, headers: list[tuple[str, str]] | None = None, body: bytes = b""
    ) -> list[Effect]:
        headers = headers or []
        if status == 200 and asked.request.method in ("INVITE", "UPDATE"):
            headers += [("Contact", self.line.contact_value)]
        if body:
            headers += [("Content-Type", "application/sdp")]
        response = reply(asked.request, status, None, self.line.fresh(), headers, body)
        return self._sort(self.transactions.respond(asked.key, response))

    def _called(self, asked: Asked) -> list[Effect]:
        request = asked.request
        if request.call_id in self.calls:
            return self._reply(asked, 482)  # the same call over another way (8.2.2.2)
        if read_audio(request.body) is None:
            return self._reply(asked, 488)
        dialog = Dialog.incoming(request, self.line.fresh())
        call = Call(dialog, ("", 0), False, CallState.RINGING, asked.key, request)
        self.calls[call.call_id] = call
        return [
            *self._sort(self.transactions.respond(asked.key, self._call_reply(call, 180))),
            Incoming(call.call_id, parse_name_addr(dialog.remote).uri),
        ]

    def _call_reply(self, call: Call, status: int, body: bytes = b"") -> Response:
        """An answer to the INVITE of a call that came in, with the tag of its dialog and, where due, its route (12.1.1)."""
        assert call.invite is not None, "an INVITE that is open"
        headers = []
        if status < 300:
            headers = [("Record-Route", route) for route in call.dialog.routes]
            headers += [("Contact", self.line.contact_value), ("Allow", ALLOW)]
        if body:
            headers.append(("Content-Type", "application/sdp"))
        tag = call.dialog.local.rpartition(";tag=")[2]
        return reply(call.invite, status, None, tag, headers, body)

    def accept(self, call: Call, media: tuple[str, int]) -> list[Effect]:
        """Answer a call; nothing when the caller has gone already."""
        if call.state is not CallState.RINGING or call.key is None or call.invite is None:
            return []
        call.media = media
        audio = read_audio(call.invite.body)
        response = self._call_reply(call, 200, describe(*media, call.version))
        call.state, call.answer, call.repeat_after, call.waited = (
            CallState.ANSWERED,
            response.to_bytes(),
            0.0,
            0.0,
        )
        sent = self._sort(self.transactions.respond(call.key, response))
        call.repeat_after = self._durations.t1
        timer = SetTimer(f"200 {call.call_id}", call.repeat_after)
        return [*sent, timer, MediaAt(call.call_id, audio)]

    def reject(self, call: Call, status: int = 486) -> list[Effect]:
        """Refuse a call that came in, with a status from 300 on."""
        if call.state is not CallState.RINGING or call.key is None:
            return []
        response = self._call_reply(call, status)
        effects = self._sort(self.transactions.respond(call.key, response))
        return [*effects, *self._end(call, status, response.reason)]

    def _repeat_answer(self, timer: str) -> list[Effect]:
        """Send the 200 again until its ACK comes, over any transport; give up after 64*T1 (13.3.1.4)."""
        call = self.calls.get(timer.removeprefix("200 "))
        if call is None or call.state is not CallState.ANSWERED or call.key is None:
            return []
        call.waited += call.repeat_after
        if call.waited >= 64 * self._durations.t1:
            return self._bye(call)
        call.repeat_after = min(2 * call.repeat_after, self._durations.t2)
        response = parse(call.answer)
        assert isinstance(response, Response)
        sent = self._sort(self.transactions.respond(call.key, response))
        return [*sent, SetTimer(timer, call.repeat_after)]

    def _acknowledged(self, call: Call | None) -> list[Effect]:
        if call is None or call.state is not CallState.ANSWERED:
            return []
        call.state = CallState.UP
        call.answer, call.invite = b"", None
        return [CancelTimer(f"200 {call.call_id}"), Up(call.call_id)]

    def _cancelled(self, asked: Asked) -> list[Effect]:
        """9.2: the CANCEL is answered for itself, then the INVITE with 487 unless it has its answer."""
        invite = server_key(asked.request, "INVITE")
        for call in self.calls.values():
            if call.key == invite:
                return [*self._reply(asked, 200), *self.reject(call, 487)]
        return self._reply(asked, 481)

    def _within(self, call: Call | None, asked: Asked) -> list[Effect]:
        """A request within a dialog (12.2.2)."""
        request = asked.request
        if call is None or call.state is CallState.ENDED:
            return self._reply(asked, 481)
        number, _ = request.cseq
        if number <= call.dialog.remote_seq:
            return self._reply(asked, 500)
        call.dialog.remote_seq = number
        if request.method == "BYE":
            # what is still open is answered too (15.1.2)
            pending = self.reject(call, 487) if call.state is CallState.RINGING else []
            return [*self._reply(asked, 200), *pending, *self._end(call, 200, "BYE received")]
        call.dialog.target = first_contact(request) or call.dialog.target
        if request.method == "INFO":
            return self._reply(asked, 200)
        if not request.body:
            if request.method == "UPDATE":
                return self._reply(asked, 200)
            call.version += 1
            return self._reply(asked, 200, body=describe(*call.media, call.version))
        audio = read_audio(request.body)
        if audio is None:
            return self._reply(asked, 488)
        call.version += 1
        direction = {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly"}.get(
            (audio.receiving, audio.sending), "inactive"
        )
        answered = self._reply(asked, 200, body=describe(*call.media, call.version, direction))
        return [*answered, MediaAt(call.call_id, audio)]

    # the end

    def hang_up(self, call: Call) -> list[Effect]:
        """End a call in whatever state it is: CANCEL, a refusal or BYE; nothing when it is over."""
        match call.state:
            case CallState.CALLING:
                call.wanted_gone = True
                return []
            case CallState.PROCEEDING:
                return self._cancel(call)
            case CallState.RINGING:
                return self.reject(call, 603)
            case CallState.ANSWERED | CallState.UP:
                return self._bye(call)
            case _:
                return []

    def _bye(self, call: Call) -> list[Effect]:
        call.state = CallState.ENDING
        return [
            CancelTimer(f"200 {call.call_id}"),
            *self._ask(_Open(call.dialog, "BYE", (), b"", None, partial(self._bye_answered, call))),
        ]

    def _bye_answered(self, call: Call, answered: Answered) -> list[Effect]:
        if answered.status < 200:
            return []
        # 481 says that the other side has forgotten the call: over as well (15.1.1)
        return self._end(call, answered.status if answered.status != 481 else 200, answered.reason)

    def _end(self, call: Call, status: int, reason: str) -> list[Effect]:
        if call.state is CallState.ENDED:
            return []
        call.state = CallState.ENDED
        self.calls.pop(call.call_id, None)
        return [CancelTimer(f"200 {call.call_id}"), Ended(call.call_id, status, reason)]


def _nobody(answered: Answered) -> list[Effect]:
    """Takes answers that make no difference."""
    return []


def _belongs(call: Call, request: Request) -> bool:
    """Whether the tags of a request are those of the call's dialog (12.2.2)."""
    ours = call.dialog.local.rpartition(";tag=")[2]
    return request.to_tag in (None, ours) and parse_name_addr(call.dialog.remote).param("tag") in (
        None,
        request.from_tag,
    )


def _granted(response: Response, contact: str, asked: int) -> int:
    """The seconds that a 200 to REGISTER gives our contact (10.2.4)."""
    ours = parse_name_addr(contact).sip_uri()
    for value in response.values("contact"):
        address = parse_name_addr(value)
        try:
            same = address.sip_uri().equivalent(ours)
        except ParseError:
            continue  # another phone of the same user may have a tel: URI
        seconds = address.param("expires") or response.get("expires") or ""
        if same and seconds.isascii() and seconds.isdigit():
            return int(seconds)
    return asked
