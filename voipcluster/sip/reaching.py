"""
How a user is reached who has preferences: one attempt after the other, by what came of the last one (RFC 5359 2.7 to 2.13).

A user whose calls are forwarded to another one is followed by the preferences of that one; whose attempts have all failed is
left, and the one who forwarded to him goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field, frozen

from voipcluster.errors import ParseError
from voipcluster.sip.diversion import MOST_DIVERSIONS, Diversion, Past, Why
from voipcluster.sip.preferences import VOICEMAIL, Place, Preferences
from voipcluster.sip.screening import no_number, parties_of, verdict

UNREACHED = 0  # what came of an attempt for which there was no phone, or none that answered at all

_REFUSALS = {"deny": 403, "decline": 603}
_WHY = {486: Why.BUSY, 408: Why.NO_ANSWER, 480: Why.NO_ANSWER, 487: Why.NO_ANSWER,
        UNREACHED: Why.UNAVAILABLE, 430: Why.UNAVAILABLE, 500: Why.UNAVAILABLE, 503: Why.UNAVAILABLE}  # fmt: skip


@frozen
class Attempt:
    """
    Bring the call to C{uri} now.

    @ivar seconds: how long it may ring; 0: until the caller or Timer C has had enough.
    @ivar diversions: how it came to go there; C{payer}: the user who sent it there, C{user@domain}, or empty: the caller.
    @ivar silent: whether the caller is not told.
    """

    uri: str
    seconds: float = 0.0
    diversions: tuple[Diversion, ...] = ()
    payer: str = ""
    silent: bool = False


@frozen
class Turned:
    """The call ends here: nobody was tried."""

    status: int


@define
class _Followed:
    """One user on the way: what is left of his places, and of what may still be done for him."""

    aor: str
    uri: str
    preferences: Preferences
    diversions: tuple[Diversion, ...]
    limit: float  # seconds that whoever forwarded to him gives each attempt; 0: any number
    left: list[tuple[Place, Why]] = field(factory=list)
    last: bool = False  # what comes now is the last one
    places: int = 0

    def next(self, status: int) -> tuple[Place, Why] | None:
        """Where to go now that an attempt has ended with a status."""
        if self.left:
            return self.left.pop(0)
        why = _WHY.get(status)
        if self.last or why is None:
            return None
        self.last = True
        wishes = self.preferences
        late = wishes.no_answer if not self.limit or self.limit > wishes.no_answer_after else None
        place = {
            Why.BUSY: wishes.busy,
            Why.NO_ANSWER: late,
            Why.UNAVAILABLE: wishes.unregistered or late,
        }[why]
        return None if place is None else (place, why)


class Reaching:
    """
    @param preferences_of: gives those of an address of record, or L{None}; C{aor_of}: the address of record that a URI means
        here, or L{None}.
    @param caller: what the caller is called, each as L{party_of} gives it; what he has proved comes first.
    @param before: the diversions that the request has behind it.
    @param number_of: gives the number that a URI is here, as E.164 has it, or an empty text.
    @param stays: whether it is to reach the phones of the user and nobody else: no call, or a dialog of one phone is meant.
    """

    def __init__(
        self,
        preferences_of: Callable[[str], Preferences | None],
        aor_of: Callable[[str], str | None],
        caller: Sequence[str] = (),
        before: Past = Past((), 0),  # noqa: B008 - a tuple
        stays: bool = False,
        number_of: Callable[[str], str] = no_number,
    ) -> None:
        self._preferences_of, self._aor_of = preferences_of, aor_of
        self._caller, self._before, self._stays = tuple(caller), before, stays
        self._number_of = number_of
        self._way: list[_Followed] = []
        self._tried = False

    def start(self, uri: str) -> Attempt | Turned:
        """Somebody calls C{uri}."""
        step = self._enter(uri, (), "", 0.0, False)
        if isinstance(step, Turned) and self._way:
            return self.failed(step.status) or step
        return step

    def failed(self, status: int) -> Attempt | Turned | None:
        """
        The last attempt has ended with a status, or L{UNREACHED}.

        @return: L{None} when nothing is left to be tried.
        """
        while self._way:
            user = self._way[-1]
            following = user.next(status)
            if following is None:
                self._way.pop()
                continue
            step = self._go(user, *following)
            if isinstance(step, Attempt):
                return step
            status = step.status
        return None if self._tried else Turned(status)

    def _enter(
        self, uri: str, diversions: tuple[Diversion, ...], payer: str, limit: float, silent: bool
    ) -> Attempt | Turned:
        aor = self._aor_of(uri)
        wishes = None if aor is None else self._preferences_of(aor)
        if aor is None or wishes is None:
            return self._attempt(uri, limit, diversions, payer, silent)
        screened = verdict(wishes.incoming, *self._caller)
        if screened in _REFUSALS:
            return Turned(_REFUSALS[screened])
        if self._stays:
            return self._attempt(uri, 0.0, diversions, payer, silent)
        if aor in (user.aor for user in self._way):
            return Turned(482)
        user = _Followed(aor, uri, wishes, diversions, limit)
        self._way.append(user)
        if screened == VOICEMAIL and wishes.voicemail is not None:
            user.left, user.last = [(wishes.voicemail, Why.DEFLECTION)], True
        elif wishes.always is not None:
            user.left, user.last = [(wishes.always, Why.UNCONDITIONAL)], True
        elif wishes.find_me:
            user.left = [(place, Why.FOLLOW_ME) for place in wishes.find_me]
        else:
            user.left = [(Place("", wishes.no_answer_after if wishes.no_answer else 0.0), Why.FOLLOW_ME)]
        return self._go(user, *user.left.pop(0))

    def _go(self, user: _Followed, place: Place, why: Why) -> Attempt | Turned:
        seconds = min(filter(None, (place.seconds, user.limit)), default=0.0)
        silent = user.preferences.silent
        if not place.uri:
            return self._attempt(user.uri, seconds, user.diversions, "", silent)
        if verdict(user.preferences.outgoing, *parties_of(place.uri, self._number_of)) == "deny":
            return Turned(403)
        user.places += 1
        diversions = (*user.diversions, Diversion(user.uri, why, place.uri, user.places))
        if user.aor in map(self._aor_before, self._before.by):
            return Turned(482)
        if len(diversions) + self._before.times > MOST_DIVERSIONS:
            return Turned(480)
        return self._enter(place.uri, diversions, user.aor, seconds, silent)

    def _aor_before(self, uri: str) -> str | None:
        try:
            return self._aor_of(uri)
        except ParseError:
            return None  # a tel URI, or what it may be: nobody of ours

    def _attempt(
        self, uri: str, seconds: float, diversions: tuple[Diversion, ...], payer: str, silent: bool
    ) -> Attempt:
        self._tried = True
        return Attempt(uri, seconds, diversions, payer, silent)
