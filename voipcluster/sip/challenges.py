"""
A client that is challenged (RFC 3261 sections 22.2 and 22.3, RFC 7616 section 3.4): which challenges are met, and when that ends.

The phone, the registration of a trunk and a call over one all do it, so it is here, below them. What a request met is forgotten
with it: each one is challenged anew, since a nonce that is used again needs its server to see the counts in their order, and
calls over UDP overtake each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import field, frozen

from voipcluster.errors import ParseError
from voipcluster.sip.digest import Challenge, answer, choose_challenge, parse_challenge
from voipcluster.sip.message import Response

MOST_CHALLENGES: Final = (
    3  # for one request: a proxy's, its user agent's, and a nonce that went stale meanwhile
)

_HEADERS = {401: ("www-authenticate", "Authorization"), 407: ("proxy-authenticate", "Proxy-Authorization")}


@frozen
class Identity:
    """
    Who we are towards somebody.

    @ivar realm: the only one that is told anything made of the password; empty: any, as is usual where one server is asked.
    """

    username: str
    password: str = field(repr=False)
    realm: str = ""


class Challenged:
    """
    The challenges that one request has met, and the credentials that it is to be made again with.

    @ivar headers: (name, value) of the credentials, empty before the first challenge.
    @ivar count: how many responses were met; C{why_not}: why the last one was not, for logs.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._answered: dict[tuple[str, str], set[str]] = {}  # (header, realm): nonces
        self._values: dict[tuple[str, str], str] = {}
        self.count = 0
        self.why_not = ""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, value) for (name, _), value in self._values.items())

    def meets(self, response: Response, method: str, uri: str, cnonce: str, body: bytes = b"") -> bool:
        """
        Whether the request is to be made again, with what C{headers} is then.

        A challenge that comes back for a realm that has its answer means that the answer was wrong, unless it says C{stale}
        (RFC 7616 section 3.3); and no nonce is answered twice.

        @param uri: the Request-URI of the request; C{cnonce}: fresh random text.
        """
        names = _HEADERS.get(response.status)
        if names is None:
            self.why_not = f"{response.status} is no challenge"
            return False
        if self.count >= MOST_CHALLENGES:
            self.why_not = f"{MOST_CHALLENGES} challenges were met, and one more came"
            return False
        asking, name = names
        met = False
        self.why_not = "no challenge that we can answer"
        for value, challenge in self._of_each_realm(response.get_all(asking)):
            key = (name, challenge.realm)
            nonces = self._answered.setdefault(key, set())
            if challenge.nonce in nonces or (nonces and not challenge.stale):
                self.why_not = f"the user name or password is wrong for realm {challenge.realm[:80]!r}"
                return False
            nonces.add(challenge.nonce)
            self._values[key] = answer(
                value,
                method,
                uri,
                self._identity.username,
                password=self._identity.password,
                cnonce=cnonce,
                body=body,
            )
            met = True
        if met:
            self.count += 1
            self.why_not = ""
        return met

    def _of_each_realm(self, values: list[str]) -> Iterator[tuple[str, Challenge]]:
        """One challenge of each realm: the first that can be answered (RFC 8760 section 2.4)."""
        realms: list[str] = []
        for value in values:
            try:
                realm = parse_challenge(value).realm
            except ParseError:
                continue  # RFC 7616 section 3.7: a client ignores what it does not understand
            if realm not in realms:
                realms.append(realm)
        for realm in realms:
            if self._identity.realm not in ("", realm):
                continue
            chosen = choose_challenge(values, realm)
            if chosen is not None:
                yield chosen, parse_challenge(chosen)
