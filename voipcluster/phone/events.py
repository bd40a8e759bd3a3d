"""What the phone's user agent is told (events) and what it orders (effects), beside the timers of L{voipcluster.machine}."""

from __future__ import annotations

from typing import NamedTuple

from voipcluster.address import Flow, Hop
from voipcluster.phone.sdp import Audio
from voipcluster.sip.message import Request, Response
from voipcluster.sip.transaction.matching import ServerKey


class Received(NamedTuple):
    """Event: a message came in; answers to it go back on its flow."""

    message: Request | Response
    flow: Flow


class SendFailed(NamedTuple):
    """Event: nothing can be sent to that hop."""

    hop: Hop
    reason: str


class Send(NamedTuple):
    """Effect: these bytes go to that hop, or (answers) back on a flow."""

    wire: bytes
    to: Hop | Flow


class Answered(NamedTuple):
    """
    Effect of the transactions, for the user agent: a response to the request of that branch.

    @ivar response: L{None} when none came in time or the request could not be sent; C{status} is 408 or 503 then.
    """

    branch: str
    status: int
    reason: str
    response: Response | None


class Asked(NamedTuple):
    """Effect of the transactions, for the user agent: a request that is new; C{key} answers it."""

    key: ServerKey
    request: Request


class Closed(NamedTuple):
    """Effect of the transactions, for the user agent: no further answer to the request of that branch."""

    branch: str


class Registered(NamedTuple):
    """Effect: the registrar holds our contact for that many seconds."""

    expires: int


class RegistrationFailed(NamedTuple):
    """Effect: the registrar refused, or was not there (408, 503)."""

    status: int
    reason: str


class Incoming(NamedTuple):
    """Effect: somebody calls; the phone answers with C{Accept} or C{Reject}."""

    call_id: str
    caller: str


class Ringing(NamedTuple):
    """Effect: the far end of our call rings."""

    call_id: str


class Up(NamedTuple):
    """Effect: the call is established; from now on C{Ended} follows once."""

    call_id: str


class MediaAt(NamedTuple):
    """Effect: the far end takes audio at this place, or (L{None}) none."""

    call_id: str
    audio: Audio | None


class Ended(NamedTuple):
    """Effect: the call is over, or never came about: the status of the refusal, 200 after a BYE of either side."""

    call_id: str
    status: int
    reason: str
