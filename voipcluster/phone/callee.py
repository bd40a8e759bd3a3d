"""Calls that come in, and all requests within calls (RFC 3261 sections 9.2, 12.2.2, 13.3, 14.2 and 15.1.2)."""

from __future__ import annotations

from voipcluster.errors import ParseError
from voipcluster.machine import CancelTimer, SetTimer
from voipcluster.phone.call import Call, CallState
from voipcluster.phone.dialog import ALLOW, Dialog, first_contact
from voipcluster.phone.ending import answer_timer, bye, end
from voipcluster.phone.events import Asked, Incoming, MediaAt, Up
from voipcluster.phone.requests import Effect, Requests
from voipcluster.phone.sdp import Audio, describe, read_audio
from voipcluster.sip.message import Request, Response
from voipcluster.sip.outgoing import reply
from voipcluster.sip.transaction.matching import server_key
from voipcluster.sip.values import parse_name_addr


class Callee:
    """@param calls: those of the phone by Call-ID, also those that it made."""

    def __init__(self, requests: Requests, calls: dict[str, Call]) -> None:
        self._requests, self._line, self._calls = requests, requests.line, calls

    def asked(self, asked: Asked) -> list[Effect]:
        """Take a new request."""
        request = asked.request
        call = self._calls.get(request.call_id)
        if call is not None and not _belongs(call, request):
            call = None
        try:
            match request.method:
                case "ACK":
                    return self._acknowledged(call, request.body)
                case "CANCEL":
                    return self._cancelled(asked)
                case "OPTIONS":
                    return self._reply(asked, 200, [("Allow", ALLOW)])
                case "INVITE" if request.to_tag is None:
                    return self._called(asked)
                case "INVITE" | "UPDATE" | "BYE" | "INFO":
                    return self._within(call, asked)
                case _:
                    return self._reply(asked, 405, [("Allow", ALLOW)])
        except ParseError as error:
            return self._reply(asked, error.status_hint)

    def _reply(
        self, asked: Asked, status: int, headers: list[tuple[str, str]] | None = None, body: bytes = b""
    ) -> list[Effect]:
        named = list(headers or [])
        if status == 200 and asked.request.method in ("INVITE", "UPDATE"):
            named.append(("Contact", self._line.contact_value))
        if body:
            named.append(("Content-Type", "application/sdp"))
        return self._requests.respond(
            asked, reply(asked.request, status, None, self._line.fresh(), named, body)
        )

    # up to the answer

    def _called(self, asked: Asked) -> list[Effect]:
        request = asked.request
        if request.call_id in self._calls:
            return self._reply(asked, 482)  # the same call over another way (8.2.2.2)
        if request.body and read_audio(request.body) is None:
            return self._reply(asked, 488)
        call = Call(
            Dialog.incoming(request, self._line.fresh()), ("", 0), False, CallState.RINGING, asked, request
        )
        self._calls[call.call_id] = call
        ringing = self._requests.respond(asked, self._answer(call, 180))
        return [*ringing, Incoming(call.call_id, parse_name_addr(call.dialog.remote).uri)]

    def _answer(self, call: Call, status: int, body: bytes = b"") -> Response:
        """An answer to the INVITE of a call, with the tag of its dialog and, where due, its route (12.1.1)."""
        assert call.invite is not None, "an INVITE that is open"
        headers = []
        if status < 300:
            headers = [("Record-Route", route) for route in call.dialog.routes]
            headers += [("Contact", self._line.contact_value), ("Allow", ALLOW)]
        if body:
            headers.append(("Content-Type", "application/sdp"))
        return reply(call.invite, status, None, call.dialog.local_tag, headers, body)

    def accept(self, call: Call, media: tuple[str, int]) -> list[Effect]:
        """Answer a call; nothing when the caller has gone already."""
        if call.state is not CallState.RINGING or call.asked is None or call.invite is None:
            return []
        call.media = media
        offer = call.invite.body
        call.answer = self._answer(call, 200, describe(*media, call.version))
        call.state, call.waited, call.repeat_after = CallState.ANSWERED, 0.0, self._requests.durations.t1
        effects = [
            *self._requests.respond(call.asked, call.answer),
            SetTimer(answer_timer(call), call.repeat_after),
        ]
        # without an offer our 200 made one, and the ACK brings the answer (13.2.1)
        return [*effects, MediaAt(call.call_id, read_audio(offer))] if offer else effects

    def reject(self, call: Call, status: int) -> list[Effect]:
        """Refuse a call that came in, with a status from 300 on; nothing when it is answered or over."""
        if call.state is not CallState.RINGING or call.asked is None:
            return []
        response = self._answer(call, status)
        sent = self._requests.respond(call.asked, response)
        return [*sent, *end(self._calls, call, status, response.reason)]

    def repeat_answer(self, call: Call) -> list[Effect]:
        """Send the 200 again until its ACK comes, over any transport; give up after 64*T1 (13.3.1.4)."""
        if call.state is not CallState.ANSWERED or call.asked is None or call.answer is None:
            return []
        durations = self._requests.durations
        call.waited += call.repeat_after
        left = 64 * durations.t1 - call.waited
        if left <= 0:
            return bye(self._requests, self._calls, call)
        call.repeat_after = min(2 * call.repeat_after, durations.t2, left)
        sent = self._requests.respond(call.asked, call.answer)
        return [*sent, SetTimer(answer_timer(call), call.repeat_after)]

    def _acknowledged(self, call: Call | None, answer: bytes) -> list[Effect]:
        if call is None or call.state is not CallState.ANSWERED:
            return []
        call.state = CallState.UP
        call.answer = call.invite = None
        media = [MediaAt(call.call_id, read_audio(answer))] if answer else []
        return [CancelTimer(answer_timer(call)), *media, Up(call.call_id)]

    def _cancelled(self, asked: Asked) -> list[Effect]:
        """9.2: the CANCEL is answered for itself, then the INVITE with 487 unless it has its answer."""
        invite = server_key(asked.request, "INVITE")
        for call in self._calls.values():
            if call.asked is not None and call.asked.key == invite:
                return [*self._reply(asked, 200), *self.reject(call, 487)]
        return self._reply(asked, 481)

    # within a call

    def _within(self, call: Call | None, asked: Asked) -> list[Effect]:
        request = asked.request
        if call is None:
            return self._reply(asked, 481)
        number, _ = request.cseq
        if number <= call.dialog.remote_seq:
            return self._reply(asked, 500)  # out of order (12.2.2)
        call.dialog.remote_seq = number
        if request.method == "BYE":
            # what is still open is answered too (15.1.2)
            pending = self.reject(call, 487)
            return [*self._reply(asked, 200), *pending, *end(self._calls, call, 200, "BYE received")]
        if request.method == "INFO":
            return self._reply(asked, 200)
        call.dialog.target = first_contact(request) or call.dialog.target
        return self._changed(call, asked)

    def _changed(self, call: Call, asked: Asked) -> list[Effect]:
        """A re-INVITE, or an UPDATE (RFC 3311): answered at once with what we had."""
        request = asked.request
        if not request.body:
            if request.method == "UPDATE":
                return self._reply(asked, 200)
            call.version += 1
            return self._reply(asked, 200, body=describe(*call.media, call.version))
        audio = read_audio(request.body)
        if audio is None:
            return self._reply(asked, 488)
        call.version += 1
        answer = describe(*call.media, call.version, _direction(audio))
        return [*self._reply(asked, 200, body=answer), MediaAt(call.call_id, audio)]


def _direction(audio: Audio) -> str:
    """What answers an offer's direction (RFC 3264 section 6.1)."""
    if audio.receiving:
        return "sendrecv" if audio.sending else "sendonly"
    return "recvonly" if audio.sending else "inactive"


def _belongs(call: Call, request: Request) -> bool:
    """Whether the tags of a request are those of the call's dialog (12.2.2)."""
    theirs = parse_name_addr(call.dialog.remote).param("tag")
    return request.to_tag in (None, call.dialog.local_tag) and theirs in (None, request.from_tag)
