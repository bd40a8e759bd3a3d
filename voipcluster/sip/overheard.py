"""
What is known of a message from its octets alone, for those who look on: of which call it is, and what.

Nothing here is checked as the parser does it: what passes may be anything, and who looks on must not care.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 256  # characters of a Call-ID; a longer one is somebody who wants to fill our memory

_USUAL: Final = b"\r\nCall-ID: "
_CALL_ID: Final = re.compile(
    rb"\n(?:call-id|i)[ \t]*:[ \t]*(?:\r?\n[ \t]+)?([^\r\n]*)(?=\r|\n)", re.IGNORECASE
)
_USUAL_CSEQ: Final = re.compile(rb"\nCSeq: ([0-9]{1,10}) ([A-Z]{1,32})\r")
_CSEQ: Final = re.compile(
    rb"\ncseq[ \t]*:[ \t]*(?:\r?\n[ \t]+)?([0-9]{1,10})[ \t]+([!%'*+.0-9A-Z_`a-z~-]{1,32})", re.IGNORECASE
)
_STATUS: Final = re.compile(rb"SIP/2\.0 ([1-6][0-9][0-9])(?![0-9])")


def head_of(data: bytes) -> bytes:
    """Start line and headers, up to and with the end of the last one."""
    end = data.find(b"\r\n\r\n")
    return data if end < 0 else data[: end + 2]


def call_id_of(data: bytes) -> str:
    """The Call-ID as L{voipcluster.sip.message} reads it; empty when there is none, or it is longer than L{LONGEST}."""
    at = data.find(_USUAL)
    if at >= 0:
        at += len(_USUAL)
        found = data[at : data.find(b"\r", at)].strip()
    else:
        match = _CALL_ID.search(head_of(data))
        found = b"" if match is None else match[1].strip()
    return found.decode("utf-8", "surrogateescape") if len(found) <= LONGEST else ""


def cseq_of(data: bytes) -> tuple[int, str]:
    """The number and the method of CSeq; 0 and an empty text when there is none that can be read."""
    match = _USUAL_CSEQ.search(data) or _CSEQ.search(head_of(data))
    return (0, "") if match is None else (int(match[1]), match[2].decode("ascii"))


def status_of(data: bytes) -> int:
    """The status of a response, 0 for a request."""
    match = _STATUS.match(data)
    return 0 if match is None else int(match[1])
