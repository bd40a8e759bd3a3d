"""The registration of the phone: asked for, refreshed, taken back (RFC 3261 section 10.2)."""

from __future__ import annotations

from functools import partial

from voipcluster.machine import CancelTimer, SetTimer
from voipcluster.phone.dialog import ALLOW, Dialog
from voipcluster.phone.events import Answered, Registered, RegistrationFailed
from voipcluster.phone.requests import Effect, Opened, Requests
from voipcluster.sip.granted import granted_seconds, min_expires

REFRESH = "refresh"  # name of the timer


class Registration:
    """
    @param expires: seconds that it asks for.
    @param follow_service_route: whether later calls take the way that the registrar names (RFC 3608).
    """

    def __init__(self, requests: Requests, expires: int, follow_service_route: bool) -> None:
        self._requests, self._line = requests, requests.line
        self._expires, self._follow = expires, follow_service_route
        self._dialog: Dialog | None = None

    def register(self, expires: int | None = None) -> list[Effect]:
        """Register, or refresh; with C{expires=0} take the contact back."""
        if self._dialog is None:
            # one Call-ID for all, so that the registrar knows the order of requests (10.2.4)
            self._dialog = Dialog.outgoing(self._line, self._line.aor, ())
            self._dialog.target = f"sip:{self._line.domain}"
        asked = self._expires if expires is None else expires
        headers = (("Contact", self._line.contact_value), ("Expires", str(asked)), ("Allow", ALLOW))
        opened = Opened(
            self._dialog, "REGISTER", partial(self._answered, asked), headers, hop=self._line.proxy
        )
        return [CancelTimer(REFRESH), *self._requests.ask(opened)]

    def _answered(self, asked: int, answered: Answered) -> list[Effect]:
        response = answered.response
        if answered.status < 200:
            return []
        if answered.status == 423 and response is not None:
            least = min_expires(response)
            if 0 < asked < least:
                self._expires = least
                return self.register()
        if response is None or answered.status >= 300:
            return [RegistrationFailed(answered.status, answered.reason, response is not None)]
        if self._follow:
            self._line.service_route = tuple(response.values("service-route"))
        granted = granted_seconds(response, self._line.contact_value, asked)
        effects: list[Effect] = [Registered(granted)]
        if granted:
            effects.append(SetTimer(REFRESH, max(granted * 0.9 - 1, granted / 2)))
        return effects
