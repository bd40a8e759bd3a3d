"""Telephone numbers in URIs: C{tel:} (RFC 3966) and C{sip:...;user=phone} (RFC 3261 section 19.1.6)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from voipcluster.errors import ParseError
from voipcluster.sip.uri import Params, SipUri, parse_uri_params

_LONGEST: Final = 64  # characters of a subscriber number with its separators
_NUMBER: Final = re.compile(
    r"\+[0-9\-.()]*[0-9][0-9\-.()]*|[0-9A-Fa-f*#\-.()]*[0-9A-Fa-f*#][0-9A-Fa-f*#\-.()]*", re.ASCII
)
_PARAMS: Final = re.compile(r"(?:;[A-Za-z0-9\-]+(?:=[A-Za-z0-9\-_.!~*'()\[\]/:&+$%]+)?)*", re.ASCII)
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")


class Phone(NamedTuple):
    """
    A telephone-subscriber (RFC 3966 section 3).

    @ivar number: with its separators, escapes decoded; C{context}: phone-context in lower case, or empty.
    @ivar params: all parameters, names in lower case, C{phone-context} too.
    """

    number: str
    context: str = ""
    params: Params = ()


def _phone(text: str) -> Phone | None:
    number, _, rest = text.partition(";")
    number = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), number)
    rest = f";{rest}" if rest else ""
    if len(number) > _LONGEST or _NUMBER.fullmatch(number) is None or _PARAMS.fullmatch(rest) is None:
        return None
    params = parse_uri_params(rest)
    context = next((value or "" for name, value in params if name == "phone-context"), "")
    return Phone(number, context.lower(), params)


def parse_tel(text: str) -> Phone:
    """
    Parse a tel URI.

    @raise ParseError: 400, it is none; also a local number without a phone-context is taken, since phones send it.
    """
    scheme, colon, rest = text.partition(":")
    phone = _phone(rest) if colon and scheme.lower() == "tel" else None
    if phone is None:
        raise ParseError(f"not a tel URI: {text[:80]!r}")
    return phone


def phone_of(uri: SipUri) -> Phone | None:
    """
    The number that the user part of a SIP URI may be: with C{user=phone} it is one (19.1.1), without it may be a name as well.

    @return: L{None} when it cannot be a number.
    """
    return None if not uri.user else _phone(uri.user)


def sip_of_tel(phone: Phone, host: str) -> SipUri:
    """
    A number as a SIP URI (19.1.6): what RFC 3966 says in parameters goes into the user part, in one order whoever wrote it.

    @param host: the domain that knows what to do with it.
    """
    params = sorted(phone.params)
    # isub and ext in front of phone-context, and that in front of the rest (RFC 3966 section 3)
    first = {"isub": 0, "ext": 0, "phone-context": 1}
    params.sort(key=lambda param: first.get(param[0], 2))
    user = _in_user(phone.number) + "".join(f";{n}" if v is None else f";{n}={v.lower()}" for n, v in params)
    return SipUri("sip", host, user, params=(("user", "phone"),))


def _in_user(number: str) -> str:
    """The characters of a number that a user part may have (25.1: # and the like only escaped)."""
    return "".join(f"%{ord(c):02X}" if c == "#" else c for c in number if c not in "-.()")


def sip_of_number(number: str, host: str, port: int | None = None, params: Params = ()) -> SipUri:
    """@param number: C{+4930...} or local digits; C{params}: of the URI, behind C{user=phone}."""
    return SipUri("sip", host, _in_user(number), port=port, params=(("user", "phone"), *params))
