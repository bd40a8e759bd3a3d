"""How long a registrar keeps a binding of ours, as its 200 says (RFC 3261 sections 10.2.4 and 10.3 step 8)."""

from __future__ import annotations

from voipcluster.errors import ParseError
from voipcluster.sip.message import Response
from voipcluster.sip.values import parse_name_addr

_MOST = 1 << 31  # RFC 3261 section 20.19: what is greater, or no number, counts as not given


def granted_seconds(response: Response, contact: str, asked: int) -> int:
    """
    The seconds that a 200 to REGISTER gives our contact; 0 when it does not name it.

    @param contact: our Contact value; C{asked}: what counts where it names it without saying how long.
    """
    ours = parse_name_addr(contact).sip_uri()
    for value in response.values("contact"):
        try:
            address = parse_name_addr(value)
            same = address.sip_uri().equivalent(ours)
        except ParseError:
            continue  # another phone of the same user may have a tel: URI
        if same:
            return seconds_of(address.param("expires") or response.get("expires"), asked)
    return 0


def seconds_of(text: str | None, otherwise: int) -> int:
    """Delta-seconds, C{otherwise} where it is none."""
    if text and text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < _MOST:
        return int(text)
    return otherwise


def min_expires(response: Response) -> int:
    """What a 423 wants to be asked for at least (section 20.23); 0 when it does not say."""
    return seconds_of(response.get("min-expires"), 0)
