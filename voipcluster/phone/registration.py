"""The registration of the phone: asked for, refreshed, taken back (RFC 3261 section 10.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from voipcluster.machine import CancelTimer, SetTimer
from voipcluster.phone.dialog import ALLOW, Dialog
from voipcluster.phone.events import Answered, Registered, RegistrationFailed
from voipcluster.phone.requests import Effect, Opened, Requests
from voipcluster.sip.granted import granted_seconds, min_expires

REFRESH = "refresh"  # name of the timer
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 1800.0  # s, base-time and max-time of RFC 5626 section 4.5


class Registration:
    """
    @param expires: seconds that it asks for.
    @param follow_service_route: whether later calls take the way that the registrar names (RFC 3608).
    @param draw: a random number from 0 to 1, so that the phones of a node that was down do not come back in the same moment.
    """

    def __init__(
        self, requests: Requests, expires: int, follow_service_route: bool, draw: Callable[[], float]
    ) -> None:
        self._requests, self._line = requests, requests.line
        self._expires, self._follow = expires, follow_service_route
        self._draw = draw
        self._dialog: Dialog | None = None
        self._wanted = False  # it was granted, and not taken back since
        self._failed = 0  # how often in a row it was not granted again

    def register(self, expires: int | None = None) -> list[Effect]:
        """Register, or refresh; with C{expires=0} take the contact back."""
        if self._dialog is None:
            # one Call-ID for all, so that the registrar knows the order of requests (10.2.4)
            self._dialog = Dialog.outgoing(self._line, self._line.aor, ())
            self._dialog.target = f"sip:{self._line.domain}"
        asked = self._expires if expires is None else expires
        if not asked:
            self._wanted = False
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
            return self._refused(answered)
        if self._follow:
            self._line.service_route = tuple(response.values("service-route"))
        granted = granted_seconds(response, self._line.contact_value, asked)
        effects: list[Effect] = [Registered(granted)]
        self._failed = 0
        if granted:
            self._wanted = True
            effects.append(SetTimer(REFRESH, max(granted * 0.9 - 1, granted / 2)))
        return effects

    def _refused(self, answered: Answered) -> list[Effect]:
        """A first registration fails; one that was granted before is asked for again, after pauses that grow (RFC 5626, 4.5)."""
        again, effects = None, []
        if self._wanted:
            longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failed, 9))
            again = longest * (0.5 + 0.5 * self._draw())
            self._failed += 1
            effects = [SetTimer(REFRESH, again)]
        failed = RegistrationFailed(answered.status, answered.reason, answered.response is not None, again)
        return [failed, *effects]
