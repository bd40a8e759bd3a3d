"""
Which requests are kept out last: calls for help (RFC 5031), and those of callers who have to be heard first (RFC 4412).

The one definition, for requests that are looked at unread (L{is_emergency}) and for those that were parsed (L{is_urgent}):

  - the Request-URI is C{urn:service:sos} or one of its sub-services, whoever sends it; or a number for help of this place, as a
    tel or SIP URI, however it is written;
  - or Resource-Priority names a value of the namespaces C{esnet}, C{ets} or C{wps}, and who sends it is known to us: another
    node, one of C{limits.trusted}, or who proved a password (RFC 4412 section 4.7). Other namespaces mean nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from voipcluster.errors import ParseError
from voipcluster.sip.message import Request

_SOS: Final = "urn:service:sos"
_URI: Final = re.compile(rb"[A-Z]+ (?i:urn:service:sos)(?=[. ])")
_LINE: Final = re.compile(
    rb"\r\nresource-priority[ \t]*:[^\r\n]*(?<![a-z0-9_.-])(?:esnet|ets|wps)\.", re.IGNORECASE
)
_VALUE: Final = re.compile(r"\s*(?:esnet|ets|wps)\.", re.IGNORECASE)


def pattern_of(numbers: Iterable[str]) -> re.Pattern[bytes] | None:
    """What the start line of a request for one of these numbers looks like; L{None} for no numbers."""
    found = [rb"[\-.()]?".join(number) for number in _octets(numbers)]
    if not found:
        return None
    return re.compile(rb"[A-Z]+ (?i:sips?|tel):(?:%b)(?=[;@ ])" % b"|".join(found))


def _octets(numbers: Iterable[str]) -> list[list[bytes]]:
    return [[digit.encode("ascii") for digit in number] for number in numbers]


def is_emergency(data: bytes, known: bool, numbers: re.Pattern[bytes] | None = None) -> bool:
    """
    The same of the octets of a request without folded lines; nothing else of it is checked.

    @param known: whether who sent it is known to us.
    @param numbers: see L{pattern_of}.
    """
    if _URI.match(data) is not None or (numbers is not None and numbers.match(data) is not None):
        return True
    return (
        known
        and data.find(b"esource-") >= 0
        and _LINE.search(data, 0, data.find(b"\r\n\r\n") + 2) is not None
    )


def is_urgent(request: Request, known: bool, numbers: re.Pattern[bytes] | None = None) -> bool:
    """
    @param known: whether who sent the request is known to us.
    @param numbers: see L{pattern_of}.
    """
    uri = request.uri.lower()
    if uri == _SOS or uri.startswith(_SOS + "."):
        return True
    if numbers is not None and numbers.match(request.start) is not None:
        return True
    if not known or not request.has("resource-priority"):
        return False
    try:
        return any(_VALUE.match(value) for value in request.values("resource-priority"))
    except ParseError:
        return False
