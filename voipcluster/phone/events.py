"""
What the phone's user agent is told (events) and what it orders (effects), beside the timers of L{voipcluster.machine}.

No tuples: two of different kinds with the same content are not equal.
"""

from __future__ import annotations

from attrs import frozen

from voipcluster.address import Flow, Hop
from voipcluster.phone.sdp import Audio
from voipcluster.sip.message import Request, Response

Key = tuple[str, ...]


@frozen
class Received:
    """Event: a message came in; answers to it go back on its flow."""

    message: Request | Response
    flow: Flow


@frozen
class SendFailed:
    """Event: nothing can be sent to that hop."""

    hop: Hop
    reason: str


@frozen
class Send:
    """Effect: these bytes go to that hop, or (answers) back on a flow."""

    wire: bytes
    to: Hop | Flow


@frozen
class Answered:
    """
    Effect of the transactions, for the user agent: a response to a request of ours.

    @ivar key: that of the request's transaction: branch and method, as a CANCEL has the branch of its INVITE.
    @ivar response: L{None} when none came in time or the request could not be sent; C{status} is 408 or 503 then.
    """

    key: Key
    status: int
    reason: str
    response: Response | None


@frozen
class Asked:
    """Effect of the transactions, for the user agent: a request that is new; C{key} answers it."""

    key: Key
    request: Request


@frozen
class Closed:
    """Effect of the transactions, for the user agent: no further answer to the request of that transaction."""

    key: Key


@frozen
class Registered:
    """Effect: the registrar holds our contact for that many seconds."""

    expires: int


@frozen
class RegistrationFailed:
    """
    Effect: the registrar refused (C{answered}), or was not there (408, 503).

    @ivar again: seconds until it is asked anew; L{None}: it is not.
    """

    status: int
    reason: str
    answered: bool = True
    again: float | None = None


@frozen
class Incoming:
    """Effect: somebody calls; the phone answers with C{Accept} or C{Reject}."""

    call_id: str
    caller: str


@frozen
class Ringing:
    """Effect: the far end of our call rings."""

    call_id: str


@frozen
class Up:
    """Effect: the call is established; from now on C{Ended} follows once."""

    call_id: str


@frozen
class MediaAt:
    """Effect: the far end takes audio at this place, or (L{None}) none."""

    call_id: str
    audio: Audio | None


@frozen
class Ended:
    """Effect: the call is over, or never came about: the status of the refusal, 200 after a BYE of either side."""

    call_id: str
    status: int
    reason: str
