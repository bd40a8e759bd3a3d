"""One call of a phone as its user sees it, and the ways in which the phone says no."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from voipcluster.errors import VoipclusterError
from voipcluster.phone.call import Call
from voipcluster.phone.media import AudioStream


class RegistrationRefused(VoipclusterError):
    """@ivar status: what the registrar answered, 408 when it did not, 503 when it could not be reached."""

    def __init__(self, status: int, reason: str, answered: bool = True) -> None:
        super().__init__(
            f"registration refused: {status} {reason}" if answered else f"cannot register: {reason}"
        )
        self.status = status


class CallFailed(VoipclusterError):
    """@ivar status: the final answer to the INVITE, 408 when there was none, 487 after hanging up first."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"call failed: {status} {reason}")
        self.status = status


class PhoneCall:
    """
    One call of a phone.

    @ivar status: how it ended: 200 after a BYE, else that of the refusal; 0 while it lasts.
    @ivar caller: the URI of who calls; empty for a call of our own.
    @ivar up: whether it was established, also after its end; C{ringing}: whether the far end rang.
    @ivar call: what the user agent knows of it; C{stream}: its audio.
    """

    def __init__(
        self, call: Call, stream: AudioStream, hang_up: Callable[[PhoneCall], None], caller: str = ""
    ) -> None:
        self.call, self.stream, self._hang_up = call, stream, hang_up
        self._ended: list[Deferred[PhoneCall]] = []
        self.caller = caller
        self.status = 0
        self.reason = ""
        self.up = False
        self.ringing = False

    @property
    def call_id(self) -> str:
        return self.call.call_id

    @property
    def outgoing(self) -> bool:
        return self.call.outgoing

    @property
    def over(self) -> bool:
        return self.status != 0

    @property
    def heard_hz(self) -> int | None:
        """The tone of the far end as heard last, to within 10 Hz; L{None} before, and for what is no tone."""
        return self.stream.heard_hz

    @property
    def packets_received(self) -> int:
        return self.stream.packets_received

    @property
    def packets_sent(self) -> int:
        return self.stream.packets_sent

    @property
    def remote_media(self) -> tuple[str, int] | None:
        """Where the far end, or the relay in between, takes our audio."""
        return self.stream.remote

    @property
    def remote_target(self) -> str:
        """The URI that requests of this call are for (RFC 3261 section 12)."""
        return self.call.dialog.target

    @property
    def remote_route_set(self) -> tuple[str, ...]:
        """The values of Route that our requests carry."""
        return self.call.dialog.routes

    @property
    def redirects(self) -> int:
        """How many 3xx were followed."""
        return self.call.redirected

    def when_ended(self) -> Deferred[PhoneCall]:
        """Fires with the call once it is over, however it ended."""
        waiting: Deferred[PhoneCall] = Deferred()
        if self.over:
            waiting.callback(self)
        else:
            self._ended.append(waiting)
        return waiting

    def hang_up(self) -> Deferred[PhoneCall]:
        """CANCEL, refuse or BYE, whatever fits; fires when the call is over, at once when it is."""
        self._hang_up(self)
        return self.when_ended()

    def finish(self, status: int, reason: str) -> None:
        """To be called by the phone alone."""
        self.status, self.reason = status, reason
        self.stream.close()
        waiting, self._ended = self._ended, []
        for deferred in waiting:
            deferred.callback(self)
