"""
Who a caller is said to be among those who trust each other (RFC 3325), and what he wants kept private (RFC 3323).

P-Asserted-Identity is said by us, or by a peer of our trust domain; what anybody else says of himself is at most a wish
(P-Preferred-Identity). From, Diversion and History-Info are passed as they came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from voipcluster.errors import ParseError
from voipcluster.sip.message import Request
from voipcluster.sip.uri import parse_uri, scheme_of
from voipcluster.sip.values import parse_name_addr

ASSERTED: Final = "p-asserted-identity"
PREFERRED: Final = "p-preferred-identity"
PRIVACY: Final = "privacy"


class Identity(NamedTuple):
    """
    What of a request changes on its way to one target.

    @ivar drop: indexes of header lines that are left out; C{add}: (key, value) of headers that are appended.
    """

    drop: tuple[int, ...] = ()
    add: tuple[tuple[str, str], ...] = ()


def privacy_of(request: Request) -> frozenset[str]:
    """The priv-values that a request asks for, in lower case (RFC 3323 section 4.2: separated by semicolons)."""
    return frozenset(
        word.strip().lower()
        for value in request.get_all(PRIVACY)
        for word in value.split(";")
        if word.strip()
    )


def asserted_uris(request: Request) -> list[str]:
    """The URIs of P-Asserted-Identity, two at most count: a SIP one and a tel one (RFC 3325 section 9.1)."""
    try:
        return [parse_name_addr(value).uri for value in request.values(ASSERTED)][:2]
    except ParseError:
        return []


def preferred(request: Request, own: Sequence[str]) -> str:
    """
    Which of a user's identities is asserted: the one that he prefers, if it is his, else the first (RFC 3325 section 6).

    @param own: URIs of all identities that the caller is known to have.
    """
    if PREFERRED in request.layout.at:
        try:
            wishes = [parse_name_addr(value).uri for value in request.values(PREFERRED)]
        except ParseError:
            wishes = []
        for uri in own:
            if any(_same(uri, wish) for wish in wishes):
                return uri
    return own[0] if own else ""


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    if {scheme_of(one), scheme_of(other)} - {"sip", "sips"}:
        return False
    try:
        return parse_uri(one).equivalent(parse_uri(other))
    except ParseError:
        return False


def identity_towards(
    request: Request, *, heard_from_trusted: bool, goes_to_trusted: bool, own: Sequence[str] = ()
) -> Identity:
    """
    What is said of the caller's identity to one target (RFC 3325 section 5).

    @param heard_from_trusted: whether who sent the request is in the trust domain; then what it asserts stands.
    @param goes_to_trusted: whether the target is.
    @param own: URIs that the caller is known to have, the best first; asserted where nobody has asserted one before.
    """
    layout = request.layout
    said = layout.indexes(ASSERTED)
    drop = [*layout.indexes(PREFERRED)]  # it is said to the first proxy that trusts, and to no one behind it
    add: list[tuple[str, str]] = []
    if said and not heard_from_trusted:
        drop += said
        said = ()
    if not goes_to_trusted:
        # without the wish for privacy it is ours to say; "none" is the wish to be known (RFC 3325 section 7)
        if "none" not in privacy_of(request):
            drop += said
    elif not said:
        uri = preferred(request, own)
        if uri:
            add.append((ASSERTED, f"<{uri}>"))
    return Identity(tuple(sorted(set(drop))), tuple(add))
