"""OPTIONS for this node itself: it is the user agent server then, and says what it can do (RFC 3261 section 11.2)."""

from __future__ import annotations

from voipcluster.services.transaction.transactions import ServerTransaction
from voipcluster.sip.contact import clean
from voipcluster.sip.proxy.validation import Refused

# without spaces: to who did not prove to be there go at most three octets for each that came (docs/security.md)
ALLOW = "INVITE,ACK,CANCEL,BYE,REGISTER,OPTIONS,MESSAGE,SUBSCRIBE,NOTIFY,PUBLISH,REFER,UPDATE,PRACK,INFO"
_LONGEST = 256  # characters of option tags that are given back


def tell(incoming: ServerTransaction, supported: str) -> None:
    """
    @param supported: the option tags that we know, as a value of Supported.
    @raise Refused: 420, Require names others (section 8.2.2.3); L{ParseError}: it cannot be read.
    """
    request = incoming.request
    if "require" in request.layout.at:
        known = supported.lower().split(", ")
        unknown = [tag for tag in request.values("require") if tag.lower() not in known]
        if unknown:
            raise Refused("Require", 420, (("Unsupported", clean(", ".join(unknown), _LONGEST)),))
    incoming.refuse(
        200,
        None,
        [
            ("allow", ALLOW),
            ("accept", "application/sdp"),
            ("accept-encoding", "identity"),
            ("accept-language", "en"),
            ("supported", supported),
        ],
    )
