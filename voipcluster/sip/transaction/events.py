"""Facts and orders of the four transaction machines (RFC 3261 section 17), and their timers' durations."""

from __future__ import annotations

from typing import NamedTuple

from attrs import frozen

from voipcluster.errors import TransportError
from voipcluster.sip.message import Response


@frozen
class Durations:
    """Base durations in seconds (RFC 3261 table 4); tests pass shorter ones."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    d: float = 32.0
    c: float = 185.0  # Timer C: above three minutes (section 16.6 step 11)


STANDARD = Durations()


class RequestReceived(NamedTuple):
    """Event: the request came in again."""


class AckReceived(NamedTuple):
    """Event: an ACK that matches came in."""


class Respond(NamedTuple):
    """Event: our user answers; C{status} 100 to 699."""

    status: int
    wire: bytes


class ResponseReceived(NamedTuple):
    """Event: a response that matches came in."""

    response: Response


class CancelSent(NamedTuple):
    """Event: our user cancelled the INVITE (section 9.1)."""


class SendFailed(NamedTuple):
    """Event: the transport could not send, or the peer's host said that nobody listens (18.4)."""

    error: TransportError


class SendRequest(NamedTuple):
    """Effect: these bytes go to the next hop."""

    wire: bytes


class SendResponse(NamedTuple):
    """Effect: these bytes go to where the request came from."""

    wire: bytes


class SendTrying(NamedTuple):
    """Effect: a 100 is due, which our user has not sent (RFC 4320 section 4.1)."""


class PassResponse(NamedTuple):
    """Effect: our user gets this response."""

    response: Response


class PassAck(NamedTuple):
    """Effect: our user gets this ACK, it is one for a 2xx (RFC 6026 section 7.1)."""


class PassTimeout(NamedTuple):
    """Effect: our user learns that no final response came in time (Timer B or F, or none behind a CANCEL)."""


class PassFailure(NamedTuple):
    """Effect: our user learns that the request could not be sent."""

    error: TransportError


class Finished(NamedTuple):
    """Effect: forget the transaction."""
