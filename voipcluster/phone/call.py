"""One call of the phone, as its caller or its callee: what it is waiting for, and its media (RFC 3261 sections 13 to 15)."""

from __future__ import annotations

from enum import Enum, auto

from attrs import define, field

from voipcluster.phone.dialog import Dialog
from voipcluster.phone.events import Asked
from voipcluster.sip.message import Request, Response


class CallState(Enum):
    CALLING = auto()  # we sent an INVITE and have no answer
    PROCEEDING = auto()  # a provisional answer came
    RINGING = auto()  # we were sent an INVITE and have not answered
    ANSWERED = auto()  # we answered with 200 and wait for the ACK
    UP = auto()
    ENDING = auto()  # our BYE or CANCEL is on its way
    ENDED = auto()


@define(eq=False)
class Call:
    """
    @ivar media: (IP literal, port) where our own audio is taken.
    @ivar asked: the INVITE that came in, to be answered; C{invite} the INVITE itself, ours or theirs, while it is open.
    @ivar ack: our ACK as sent, to be sent again for each copy of the 200 (13.2.2.4).
    @ivar wanted_gone: hung up before a provisional answer came: the CANCEL has to wait for one (9.1).
    @ivar seq: the number of the INVITE that made the call.
    @ivar redirected: how many 3xx were followed; C{version} counts our session descriptions.
    @ivar answer: our 200 until its ACK comes; C{repeat_after}, C{waited}: seconds to its next copy, and since the first.
    @ivar elsewhere: tags of further forks that answered and were hung up.
    """

    dialog: Dialog
    media: tuple[str, int]
    outgoing: bool
    state: CallState
    asked: Asked | None = None
    invite: Request | None = None
    seq: int = 0
    ack: bytes = b""
    wanted_gone: bool = False
    redirected: int = 0
    version: int = 1
    answer: Response | None = None
    repeat_after: float = 0.0
    waited: float = 0.0
    elsewhere: set[str] = field(factory=set)

    @property
    def call_id(self) -> str:
        return self.dialog.call_id

    @property
    def over(self) -> bool:
        return self.state in (CallState.ENDING, CallState.ENDED)
