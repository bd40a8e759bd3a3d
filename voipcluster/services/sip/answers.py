"""Responses on their way back: what is learned of the other party, and what the relay makes of their bodies."""

from __future__ import annotations

from twisted.logger import Logger

from voipcluster.address import Hop
from voipcluster.errors import PeerError
from voipcluster.media.offer_answer import Side
from voipcluster.services.media.relay import CallKey, MediaService
from voipcluster.services.sip.calls import CallTable
from voipcluster.services.sip.core import SipCore
from voipcluster.services.sip.dialogs import Dialogs
from voipcluster.sip.message import Response
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.session_timer import REFRESHING, Session, agreed

_NOWHERE = Hop("UDP", "0.0.0.0", 0)  # noqa: S104 - an address that no packet comes from


class Answers:
    """Told of each response to a request of a call, before it goes up."""

    _log = Logger()

    def __init__(self, core: SipCore, dialogs: Dialogs, media: MediaService, calls: CallTable) -> None:
        self._core = core
        self._dialogs = dialogs
        self._media = media
        self._relays = media.relays
        self._calls = calls

    def answered(
        self,
        key: CallKey,
        cseq: int,
        method: str,
        sender: Side,
        session: Session | None,
        recorded: int,
        proved: bool,
        target: Target,
        response: Response,
    ) -> bytes | None:
        """
        The body of a response to forward: an answer, or an offer in it, is translated by the relay.

        @param recorded: how many Record-Route values the request came with; -1: nothing is learned from those of the response.
        @param proved: whether none but a user of ours, or whom we chose in his place, can have answered.
        """
        if response.status == 100:
            return None
        call = self._calls.get(key)
        if call is not None:
            if "contact" in response.layout.at:
                call.learn_contact(sender is Side.CALLER, response.contact_uri, proved)
            if recorded >= 0:
                proxies = self._dialogs.proxies_behind_us(response, recorded)
                if proxies:
                    call.learn_proxies(False, proxies, proved)
            if method == "INVITE" and sender is Side.CALLEE:
                if 200 <= response.status < 300:
                    call.leg_up(response.to_tag or "")
                elif not call.rang and response.status < 200:
                    call.rang = self._core.wall()
        if 200 <= response.status < 300 and method in REFRESHING:
            interval = agreed(session, response)
            if call is not None and (interval or call.expires):
                call.lasts_until(self._core.wall() + interval if interval else 0.0)
            if call is not None and call.answered:
                self._calls.settled(key)
        if not self._relays:
            return None
        flow = target.party.flow if target.party is not None else target.flow
        source = flow.hop if flow is not None else _NOWHERE
        try:
            return self._media.message_passes(
                key,
                sender=sender,
                method=method,
                status=response.status,
                cseq=cseq,
                to_tag=response.to_tag,
                content_type=response.get("content-type"),
                body=response.body,
                source=source,
            )
        except PeerError as error:
            self._log.warn(
                "call {call}: an answer cannot be relayed: {error}", call=key.call_id, error=str(error)
            )
            return None
