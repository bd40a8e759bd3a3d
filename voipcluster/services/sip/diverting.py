"""Calls to users who have preferences: each attempt of L{voipcluster.sip.reaching} as targets of the response context."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from voipcluster.balance.handover import Handover
from voipcluster.errors import ParseError, PeerError
from voipcluster.services.sip.access import ASSERTED
from voipcluster.services.sip.forwarding import Forwarding
from voipcluster.services.transaction.transactions import ServerTransaction
from voipcluster.sip.diversion import past
from voipcluster.sip.message import Request
from voipcluster.sip.preferences import Preferences
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.proxy.routing import Names
from voipcluster.sip.proxy.validation import Refused
from voipcluster.sip.reaching import UNREACHED, Attempt, Reaching, Turned
from voipcluster.sip.screening import ANONYMOUS, no_number, parties_of, party_of, verdict
from voipcluster.sip.uri import parse_uri
from voipcluster.sip.values import address_uri

_SCREENED = frozenset({"INVITE", "MESSAGE"})
# who comes with one of these means a dialog that is up: it is at one phone, and nowhere else (RFC 3891, RFC 3911)
_MEANS_A_DIALOG = ("replaces", "join")


class Diverting:
    """
    One call on its way to a user who has preferences.

    @param locate: gives the targets of an attempt; L{PeerError}: there are none.
    @ivar targets: those of the first attempt.
    """

    def __init__(
        self,
        incoming: ServerTransaction,
        reaching: Reaching,
        uri: str,
        locate: Callable[[Attempt], Sequence[Target]],
    ) -> None:
        """@raise PeerError: nobody can be tried."""
        self._incoming, self._reaching, self._locate_attempt = incoming, reaching, locate
        self._attempt: Attempt | None = None
        self._error: PeerError | None = None
        self.targets = self._targets_of(reaching.start(uri))
        if not self.targets:
            raise self._error or PeerError("nobody was to be reached", 480)

    def begun(self) -> None:
        """The targets of this attempt are being tried: the caller is told when it is not whom he has called."""
        attempt = self._attempt
        if attempt is not None and attempt.diversions and not attempt.silent:
            self._incoming.answer(181)

    def locate(self, forwarding: Forwarding, failed: Sequence[Target], status: int) -> None:
        """The targets before have ended with a status (L{Forwarding})."""
        targets = self._targets_of(self._reaching.failed(status))
        if targets:
            self.begun()
        forwarding.located(targets)

    def _targets_of(self, step: Attempt | Turned | None) -> list[Target]:
        while isinstance(step, Attempt):
            try:
                located = self._locate_attempt(step)
            except PeerError as error:
                self._error = error
                step = self._reaching.failed(UNREACHED if error.status_hint == 480 else error.status_hint)
            else:
                self._attempt = step
                return [target._replace(ring=step.seconds, diversions=step.diversions) for target in located]
        if isinstance(step, Turned):
            self._error = PeerError("by the callee's preferences", step.status)
        return []


class Wishes:
    """
    What users want, asked for each new request once any of them wants something.

    @param preferences: by address of record, of all who have any.
    """

    def __init__(self, names: Callable[[], Names], preferences: Mapping[str, Preferences]) -> None:
        self._names = names
        self.preferences = preferences

    def check_caller(
        self, request: Request, client: Handover, uri: str, number_of: Callable[[str], str] = no_number
    ) -> None:
        """
        Whether a user lets calls go out to C{uri} (RFC 5359 section 2.14).

        @param number_of: gives the number that a URI of ours is, as E.164 has it, or an empty text.
        @raise PeerError: 403.
        """
        wishes = None if client.user is None else self.preferences.get(client.user)
        if wishes is None or not wishes.outgoing or request.method != "INVITE":
            return
        if verdict(wishes.outgoing, *parties_of(uri, number_of)) == "deny":
            warning = '399 voipcluster "Not allowed by the preferences of the caller"'
            raise Refused("by the caller's preferences", 403, (("Warning", warning),))

    def reaching(
        self,
        request: Request,
        client: Handover,
        uri: str,
        untrue: Sequence[int] = (),
        number_of: Callable[[str], str] = no_number,
    ) -> Reaching | None:
        """
        How the user is reached whom a request is for; L{None} when he has no preferences, or they do not concern it.

        @param untrue: header lines that nobody whom we trust has written; C{number_of}: see L{check_caller}.
        @raise ParseError: a Diversion, or a From that are none.
        """
        names = self._names()
        target, _, _, aor = names.meaning(uri)
        if aor is None or aor not in self.preferences or request.method not in _SCREENED:
            return None
        at = request.layout.at
        stays = (
            request.method != "INVITE"
            or target.has_param("gr")
            or any(name in at for name in _MEANS_A_DIALOG)
        )
        return Reaching(
            self.preferences.get,
            lambda text: names.meaning(text).aor,
            _names_of_caller(request, client, untrue),
            past(request),
            stays,
            number_of,
        )


def _names_of_caller(request: Request, client: Handover, untrue: Sequence[int]) -> list[str]:
    """Who calls: as he has proved, else as a peer asserts whom we trust, and as he says; and whether he hides it."""
    if client.user is not None:
        names = [client.user]
    else:
        asserted = [
            request.get_all(ASSERTED)[place]
            for place, index in enumerate(request.layout.indexes(ASSERTED))
            if index not in untrue
        ]
        names = [party for party in (*map(_party, asserted), _party_of_uri(request.from_uri)) if party]
    if "id" in (request.get("privacy") or "").lower().replace(" ", "").split(";"):
        names.append(f"{ANONYMOUS}@{ANONYMOUS}.invalid")
    return names


def _party(value: str) -> str:
    try:
        return _party_of_uri(address_uri(value))
    except ParseError:
        return ""


def _party_of_uri(text: str) -> str:
    try:
        return party_of(parse_uri(text))
    except ParseError:
        number = text.partition(";")[0]
        return f"{number[4:]}@" if number[:4].lower() == "tel:" else ""
