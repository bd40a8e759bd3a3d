"""Where an application that embeds the node takes part in a call."""

from __future__ import annotations

from attrs import field, frozen
from twisted.internet.defer import Deferred
from zope.interface import Interface

from voipcluster.sip.uri import parse_uri, scheme_of

REFUSALS = range(400, 700)


@frozen
class CallOffer:
    """
    A new call, before anything was sent on.

    @ivar caller: the From URI; C{callee}: the Request-URI; C{user}: who authenticated, C{name@domain}, or C{None}.
    @ivar source: the client's true address, C{udp:192.0.2.1:5060}; C{headers}: (name, value) as received.
    @ivar gateway_in: the gateway that it comes from, or empty; C{number}: what is called, as the number plan reads it, or empty.
    """

    call_id: str
    caller: str
    callee: str
    user: str | None
    source: str
    headers: tuple[tuple[str, str], ...]
    gateway_in: str = ""
    number: str = ""


def _is_refusal(_: object, __: object, status: int) -> None:
    if status not in REFUSALS:
        raise ValueError(f"a call is refused with a status of 400 to 699, not {status!r}")


def _is_sip_uri(_: object, __: object, uri: str) -> None:
    if scheme_of(uri) not in ("sip", "sips"):
        raise ValueError(f"a call is retargeted to a SIP URI, not {uri!r}")
    parse_uri(uri)


@frozen
class Refuse:
    """
    Verdict: answer C{status} (400 to 699); an empty C{reason} is the usual phrase.

    @raise ValueError: another status.
    """

    status: int = field(validator=_is_refusal)
    reason: str = ""


@frozen
class Retarget:
    """
    Verdict: bring the call to another URI (RFC 3261 section 16.5); one of our users, or any SIP URI.

    @raise ValueError: another URI; L{ParseError <voipcluster.errors.ParseError>}: none at all.
    """

    uri: str = field(validator=_is_sip_uri)


Verdict = Refuse | Retarget | None


class ICallHook(Interface):
    """May refuse or retarget a call on the node that serves it."""

    def call_offered(offer: CallOffer) -> Verdict | Deferred[Verdict]:
        """
        Decide about a call; C{None} lets it pass. A C{Deferred} holds the caller at 100 Trying until it fires.

        An exception or a failure is logged and the caller gets 500: a hook that refuses calls must not fail open.
        """
