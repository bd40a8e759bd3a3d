"""Calls that the phone makes, up to their ACK (RFC 3261 sections 8.1.3.4, 9.1 and 13.2)."""

from __future__ import annotations

from functools import partial

from attrs import evolve

from voipcluster.machine import SetTimer
from voipcluster.phone.call import Call, CallState
from voipcluster.phone.dialog import ALLOW, Dialog, first_contact
from voipcluster.phone.ending import bye, cancel_timer, end
from voipcluster.phone.events import Answered, MediaAt, Ringing, Send, Up
from voipcluster.phone.requests import Effect, Opened, Requests
from voipcluster.phone.sdp import describe, read_audio
from voipcluster.sip.message import Request, Response, parse
from voipcluster.sip.transaction.hop_by_hop import build_cancel

MAX_REDIRECTS = 5


class Caller:
    """@param calls: those of the phone by Call-ID, also those that came in."""

    def __init__(self, requests: Requests, calls: dict[str, Call]) -> None:
        self._requests, self._line, self._calls = requests, requests.line, calls

    def call(self, to: str, media: tuple[str, int]) -> tuple[Call, list[Effect]]:
        """
        Call an address.

        @param to: a SIP URI; C{media}: where our audio is taken.
        """
        dialog = Dialog.outgoing(self._line, to, self._line.service_route)
        call = Call(dialog, media, True, CallState.CALLING)
        self._calls[call.call_id] = call
        return call, self._invite(call)

    def _invite(self, call: Call) -> list[Effect]:
        def sent(request: Request) -> None:
            call.invite, call.seq = request, call.dialog.local_seq

        headers = (
            ("Contact", self._line.contact_value),
            ("Allow", ALLOW),
            ("Content-Type", "application/sdp"),
        )
        body = describe(*call.media, call.version)
        taker = partial(self._answered, call)
        return self._requests.ask(Opened(call.dialog, "INVITE", taker, headers, body, sent=sent))

    def _answered(self, call: Call, answered: Answered) -> list[Effect]:
        response = answered.response
        if answered.status < 200:
            if call.state is CallState.CALLING:
                call.state = CallState.PROCEEDING
            if call.wanted_gone and call.state is CallState.PROCEEDING:
                return self.cancel(call)
            rings = answered.status in (180, 183) and call.state is CallState.PROCEEDING
            return [Ringing(call.call_id)] if rings else []
        if 200 <= answered.status < 300 and response is not None:
            return self._accepted(call, response)
        if 300 <= answered.status < 400 and response is not None and not call.over and not call.wanted_gone:
            contact = first_contact(response)
            if contact is not None and call.redirected < MAX_REDIRECTS:
                # the target set replaces the route too: what sent us away is not asked again (8.1.3.4)
                call.redirected += 1
                call.dialog.target, call.dialog.routes, call.dialog.direct = contact, (), True
                call.state = CallState.CALLING
                return self._invite(call)
        return end(self._calls, call, answered.status, answered.reason)

    def _accepted(self, call: Call, response: Response) -> list[Effect]:
        tag = response.to_tag or ""
        if not call.ack and call.state is not CallState.ENDED:
            unwanted = call.state is CallState.ENDING or call.wanted_gone
            call.dialog.confirm(response)
            sent = self._ack(call, call.dialog)
            call.ack, call.invite = sent.wire, None
            if unwanted:
                # the answer and our CANCEL crossed (9.1)
                return [sent, *bye(self._requests, self._calls, call)]
            call.state = CallState.UP
            return [sent, MediaAt(call.call_id, read_audio(response.body)), Up(call.call_id)]
        if call.ack and f"tag={tag}" in call.dialog.remote:
            return [Send(call.ack, call.dialog.next_hop(self._line))]
        # one call has room for one far end: another fork's is hung up (13.2.2.4)
        fork = evolve(call.dialog)
        fork.confirm(response)
        sent = self._ack(call, fork)
        if tag in call.elsewhere:
            return [sent]
        call.elsewhere.add(tag)
        return [sent, *self._requests.ask(Opened(fork, "BYE", lambda answered: []))]

    def _ack(self, call: Call, dialog: Dialog) -> Send:
        """The ACK of a 2xx: number of the INVITE, a branch of its own, no transaction (13.2.2.4)."""
        ack = dialog.request(self._line, "ACK", branch=self._line.fresh(), seq=call.seq)
        return Send(ack.to_bytes(), dialog.next_hop(self._line))

    def cancel(self, call: Call) -> list[Effect]:
        """CANCEL an INVITE that has a provisional answer (9.1)."""
        assert call.invite is not None, "an INVITE that was sent and is open"
        cancel = parse(build_cancel(call.invite.to_bytes()))
        assert isinstance(cancel, Request), "a request that we built"
        call.state = CallState.ENDING
        sent = self._requests.send(cancel, call.dialog.next_hop(self._line))
        # one that forgets to answer the INVITE is not waited for (9.1)
        return [*sent, SetTimer(cancel_timer(call), 64 * self._requests.durations.t1)]

    def give_up(self, call: Call) -> list[Effect]:
        """The wait for the answer to a cancelled INVITE is over."""
        return end(self._calls, call, 487, "no answer to CANCEL")
