"""
Why a call over a gateway came to nothing: SIP statuses and ISUP causes (RFC 3398), and who is asked next.

The status says what the caller hears. Whether another gateway could do better is a different question: a gateway that maps its
network's causes by RFC 3398 answers 503 when its circuits are taken and 404 when nobody has that number, and says so in Reason
(RFC 3326) where the status alone is too coarse. A cause there is the network's own word, and counts more than the status.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from voipcluster.errors import ParseError
from voipcluster.sip.message import Response
from voipcluster.sip.values import parse_params, quote, split_list

NORMAL_CLEARING: Final = 16
NO_CIRCUIT: Final = 34

# RFC 3398 section 7.2.4.1; 22 and 23 as without a diagnostic, since nobody tells us the new number
_STATUS: Final = {
    1: 404, 2: 404, 3: 404, 17: 486, 18: 408, 19: 480, 20: 480, 21: 403, 22: 410, 23: 410, 26: 404, 27: 502, 28: 484, 29: 501,
    31: 480, 34: 503, 38: 503, 41: 503, 42: 503, 47: 503, 55: 403, 57: 403, 58: 503, 65: 488, 70: 488, 79: 501, 87: 403,
    88: 503, 102: 504, 111: 500, 127: 500,
}  # fmt: skip

# RFC 3398 section 8.2.6.1; 487 has none, for it was the caller who gave up
_CAUSE: Final = {
    400: 41, 401: 21, 402: 21, 403: 21, 404: 1, 405: 63, 406: 79, 407: 21, 408: 102, 410: 22, 413: 127, 414: 127, 415: 79,
    416: 127, 420: 127, 421: 127, 423: 127, 480: 18, 481: 41, 482: 25, 483: 25, 484: 28, 485: 1, 486: 17, 488: 65, 500: 41,
    501: 79, 502: 38, 503: 41, 504: 102, 505: 127, 513: 127, 600: 17, 603: 21, 604: 1, 606: 65,
}  # fmt: skip

_NAMES: Final = {
    1: "unallocated number", 2: "no route to network", 3: "no route to destination", 16: "normal call clearing",
    17: "user busy", 18: "no user responding", 19: "no answer from the user", 20: "subscriber absent", 21: "call rejected",
    22: "number changed", 23: "redirection to new destination", 25: "exchange routing error",
    26: "non-selected user clearing", 27: "destination out of order", 28: "address incomplete", 29: "facility rejected",
    31: "normal unspecified", 34: "no circuit available", 38: "network out of order", 41: "temporary failure",
    42: "switching equipment congestion", 44: "requested channel not available", 47: "resource unavailable",
    55: "incoming calls barred within CUG", 57: "bearer capability not authorized",
    58: "bearer capability not presently available", 63: "service or option not available",
    65: "bearer capability not implemented", 70: "only restricted digital information", 79: "service or option not implemented",
    87: "user not member of CUG", 88: "incompatible destination", 102: "recovery on timer expiry", 111: "protocol error",
    127: "interworking unspecified",
}  # fmt: skip

# what one network cannot do now and another one may: its circuits, its exchanges, its way there (ITU-T Q.850, classes 0 and 2)
_OF_THE_NETWORK: Final = frozenset({2, 3, 25, 34, 38, 39, 41, 42, 43, 44, 47, 49, 58})
_SAY_NOTHING: Final = frozenset({0, 16, 31})  # "normal", which is said of everything
_OF_THE_CALL: Final = frozenset({*range(1, 32), 55, 57, 87, 88}) - _OF_THE_NETWORK - _SAY_NOTHING
_NUMBER: Final = re.compile(r"[0-9]{1,3}")


class Reason(NamedTuple):
    """
    One value of Reason (RFC 3326 section 2).

    @ivar protocol: in upper case, such as C{Q.850} or C{SIP}; C{cause}: 0 when there is none; C{text}: without quotes.
    """

    protocol: str
    cause: int
    text: str = ""

    def __str__(self) -> str:
        text = f";text={quote(self.text)}" if self.text else ""
        return f"{self.protocol};cause={self.cause}{text}"


def reasons(values: Sequence[str]) -> list[Reason]:
    """What the Reason lines of a message say; what cannot be read is left out, since none of it has to be there."""
    found = []
    for line in values:
        try:
            parts = split_list(line)
        except ParseError:
            continue
        for part in parts:
            protocol, _, rest = part.partition(";")
            try:
                params = dict(parse_params(f";{rest}")) if rest else {}
            except ParseError:
                continue
            cause = params.get("cause") or ""
            number = int(cause) if _NUMBER.fullmatch(cause) else 0
            found.append(Reason(protocol.strip().upper(), number, params.get("text") or ""))
    return found


def q850_cause(response: Response) -> int:
    """The Q.850 cause that a response names, 0 when it names none."""
    if "reason" not in response.layout.at:
        return 0
    return next((one.cause for one in reasons(response.get_all("reason")) if one.protocol == "Q.850"), 0)


def cause_of_status(status: int) -> int:
    """
    The ISUP cause for a final SIP status (RFC 3398 section 8.2.6.1), of one not in its table that of the x00 of its class (RFC
    3261 section 8.1.3.2); 0: there is none.
    """
    if status < 300 or status == 487:
        return 0
    return _CAUSE.get(status) or _CAUSE.get(status // 100 * 100, 0)


def status_of_cause(cause: int) -> int:
    """The SIP status for an ISUP cause (RFC 3398 section 7.2.4.1), of one not in its table 500."""
    return _STATUS.get(cause, 500)


def name_of_cause(cause: int) -> str:
    """For logs and records."""
    return _NAMES.get(cause, f"cause {cause}")


def reason_of(cause: int, text: str = "") -> str:
    """The value of Reason that tells a cause (RFC 3326)."""
    return str(Reason("Q.850", cause, text or _NAMES.get(cause, "")))


def fails_over(status: int, cause: int = 0, also: Collection[int] = ()) -> bool:
    """
    Whether the next gateway is asked behind this final response, rather than the caller told.

    Another gateway is asked when this one, or the network behind it, could not do it: 503, every other 5xx, and 408. What is
    said of the number or of whoever was called (4xx, 6xx) is the caller's to hear, since each gateway would say the same, and a
    call that is refused by one and put through by another is a surprise to both (RFC 3666 section 2.6).

    @param status: 408 also stands for a time-out, 503 for no transport.
    @param cause: the Q.850 one, 0 when there is none; it decides where the status is too coarse: C{480} with "no circuit
        available" is the network, C{500} with "user busy" is the user.
    @param also: statuses for which the operator wants the next gateway asked, such as 403.
    """
    if status < 300 or status >= 600:
        return False
    if status in also:
        return True
    if cause in _OF_THE_NETWORK:
        return status != 487
    if cause in _OF_THE_CALL:
        return False
    return status == 408 or status >= 500
