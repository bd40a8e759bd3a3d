"""Where an application that embeds the node takes part in a call."""

from __future__ import annotations

from attrs import frozen
from twisted.internet.defer import Deferred
from zope.interface import Interface


@frozen
class CallOffer:
    """
    A new call, before anything was sent on.

    @ivar caller: the From URI; C{callee}: the Request-URI; C{user}: who authenticated, C{name@domain}, or L{None}.
    @ivar source: the client's true address, C{udp:192.0.2.1:5060}; C{headers}: (name, value) as received.
    """

    call_id: str
    caller: str
    callee: str
    user: str | None
    source: str
    headers: tuple[tuple[str, str], ...]


@frozen
class Refuse:
    """Verdict: answer C{status} (400 to 699); an empty C{reason} is the usual phrase."""

    status: int
    reason: str = ""


@frozen
class Retarget:
    """Verdict: bring the call to another URI (RFC 3261 section 16.5); one of our users, or any SIP URI."""

    uri: str


Verdict = Refuse | Retarget | None


class ICallHook(Interface):
    """May refuse or retarget a call on the node that serves it."""

    def call_offered(offer: CallOffer) -> Verdict | Deferred[Verdict]:
        """
        Decide about a call; L{None} lets it pass. A L{Deferred} holds the caller at 100 Trying until it fires.

        An exception or a failure is logged and the caller gets 500: a hook that refuses calls must not fail open.
        """
