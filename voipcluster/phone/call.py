"""One call of the phone, as its caller or its callee: what it is waiting for, and its media (RFC 3261 sections 13 to 15)."""

from __future__ import annotations

from enum import Enum, auto

from attrs import define, field

from voipcluster.phone.dialog import Dialog
from voipcluster.sip.message import Request
from voipcluster.sip.transaction.matching import ServerKey


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
    @ivar key: of the INVITE that is to be answered; C{invite} the INVITE itself, ours or theirs, while it is open.
    @ivar ack: (wire, its hop) of our ACK, to be sent again for each copy of the 200 (13.2.2.4).
    @ivar wanted_gone: hung up before a provisional answer came: the CANCEL has to wait for one (9.1).
    @ivar seq: the number of the INVITE that made the call.
    @ivar redirected: how many 3xx were followed.
    """

    dialog: Dialog
    media: tuple[str, int]
    outgoing: bool
    state: CallState
    key: ServerKey | None = None
    invite: Request | None = None
    seq: int = 0
    ack: bytes = b""
    wanted_gone: bool = False
    redirected: int = 0
    version: int = 1
    answer: bytes = b""
    repeat_after: float = 0.0
    waited: float = 0.0
    elsewhere: set[str] = field(factory=set)  # tags of further forks that were answered and hung up

    @property
    def call_id(self) -> str:
        return self.dialog.call_id

    @property
    def over(self) -> bool:
        return self.state in (CallState.ENDING, CallState.ENDED)
