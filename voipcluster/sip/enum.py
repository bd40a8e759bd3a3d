"""
From a telephone number to the SIP URIs that its owner has put into the DNS (ENUM: RFC 6116, enumservice "sip": RFC 3764).

The expressions in those records come from anybody, so they are taken only as far as they are simple: RFC 6116 section 3.5 has no
need for more, and none of them can take long to match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from voipcluster.errors import ParseError
from voipcluster.sip.dns import NAPTR, Naptr, Question, Record
from voipcluster.sip.uri import parse_uri

MAX_URIS: Final = 8  # of one number that are tried
_MOST_REPEATED: Final = (
    3  # characters or classes with *, + or ? in one expression; each doubles the work, or worse
)
_LONGEST: Final = 255  # octets, as the DNS has it for one string
_E2U: Final = re.compile(r"e2u((?:\+[a-z0-9\-]+(?::[a-z0-9\-]+)*)+)", re.ASCII | re.IGNORECASE)
# what an expression may be made of: a character, an escaped one, a dot or a class, perhaps repeated; groups are not repeated
_ATOM: Final = r"(?:\\[.+*?^$()|\[\]{}\\]|\[\^?[0-9+*#-]+\]|[0-9+#.])"
_SIMPLE: Final = re.compile(rf"\^?(?:{_ATOM}[*+?]?|\((?!\?)|\)(?![*+?{{]))*\$?", re.ASCII)
_REPEATED: Final = re.compile(rf"{_ATOM}[*+?]", re.ASCII)


def enum_question(number: str, apex: str) -> Question:
    """
    What the DNS is asked for a number (RFC 6116 section 3.2).

    @param number: C{+} and digits; C{apex}: such as C{e164.arpa}.
    """
    return Question(".".join([*reversed(number.removeprefix("+")), apex]), NAPTR)


def enum_uris(number: str, records: Iterable[Record]) -> list[str]:
    """
    The SIP URIs that the answer gives for a number, the preferred one first.

    Passed over is what is not for SIP, what is not understood, and what points to other records (an empty flag): those behind
    the first one could lead on for ever, and registries have none.
    """
    uris: list[str] = []
    for record in sorted(r for r in records if isinstance(r, Naptr)):
        if record.flags.lower() == "u" and _is_sip(record.service):
            uri = _rewritten(record.regexp, number)
            if uri and uri not in uris:
                uris.append(uri)
    return uris[:MAX_URIS]


def _is_sip(service: str) -> bool:
    match = _E2U.fullmatch(service)
    return match is not None and any(
        part.partition(":")[0].lower() == "sip" for part in match[1][1:].split("+")
    )


def _rewritten(regexp: str, number: str) -> str:
    """The URI that a substitution expression makes of a number (RFC 3402 section 3.2), or an empty string."""
    if not 5 <= len(regexp) <= _LONGEST or regexp[0].isdigit() or regexp[0] in "\\i":
        return ""
    parts = regexp[1:].split(regexp[0])
    if len(parts) != 3 or parts[2].lower() not in ("", "i"):
        return ""
    expression, replacement, _ = parts
    if _SIMPLE.fullmatch(expression) is None or len(_REPEATED.findall(expression)) > _MOST_REPEATED:
        return ""
    try:
        match = re.compile(expression, re.ASCII).search(number)
        if match is None:
            return ""
        uri = re.sub(r"\\([1-9])", lambda back: match[int(back[1])] or "", replacement)
        parse_uri(uri)
    except (
        re.error,
        IndexError,
        ParseError,
    ):  # parentheses that do not pair, a group that is not there, another URI
        return ""
    return uri
