"""Digest access authentication, both sides (RFC 3261 section 22, RFC 7616, RFC 8760): text and hashes, no policy."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from attrs import evolve, frozen

from voipcluster.errors import ParseError, UsageError
from voipcluster.sip.values import quote, unquote

MAX_CREDENTIALS: Final = 4096  # octets of one header value; usual ones have 200 to 400

_HASHES: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
}
ALGORITHMS: Final = (
    "SHA-256",
    "MD5",
)  # those that we can compute, the strongest one first (RFC 8760 section 2.3)

_PARAM = re.compile(
    r"""[\s,]*(?P<name>[A-Za-z0-9\-.!%*_+`'~]+)[ \t]*=[ \t]*
        (?:"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)"|(?P<token>[^\s,"]+))[ \t]*(?=,|$)""",
    re.VERBOSE | re.DOTALL,
)
_SCHEME = re.compile(r"[ \t]*([A-Za-z0-9\-.!%*_+`'~]+)[ \t]+")
_NONCE_COUNT = re.compile(r"[0-9A-Fa-f]{8}")


@frozen
class Challenge:
    """
    A WWW-Authenticate or Proxy-Authenticate value (RFC 7616 section 3.3).

    @ivar algorithm: in upper case; C{MD5} when absent. It may be one that we cannot compute.
    @ivar qop: the offered ones in lower case; empty when the server knows RFC 2069 only.
    """

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ()
    opaque: str | None = None
    stale: bool = False

    def __str__(self) -> str:
        qop = f", qop={quote(','.join(self.qop))}" if self.qop else ""
        opaque = f", opaque={quote(self.opaque)}" if self.opaque is not None else ""
        stale = ", stale=true" if self.stale else ""
        head = f"Digest realm={quote(self.realm)}, nonce={quote(self.nonce)}"
        return f"{head}, algorithm={self.algorithm}{qop}{opaque}{stale}"


@frozen
class DigestAnswer:
    """
    An Authorization or Proxy-Authorization value (RFC 7616 section 3.4).

    @ivar qop: as received, or L{None} when absent (RFC 2069); then C{nc} and C{cnonce} are empty.
    @ivar nc: the nonce count as received, for it is hashed so: 8 hexadecimal digits.
    @ivar response: hexadecimal, as received.
    """

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str = "MD5"
    qop: str | None = None
    nc: str = ""
    cnonce: str = ""
    opaque: str | None = None

    @property
    def count(self) -> int:
        """The nonce count as a number, from 1; 0 without qop."""
        return int(self.nc, 16) if self.nc else 0

    def __str__(self) -> str:
        qop = "" if self.qop is None else f", qop={self.qop}, nc={self.nc}, cnonce={quote(self.cnonce)}"
        opaque = f", opaque={quote(self.opaque)}" if self.opaque is not None else ""
        return (
            f"Digest username={quote(self.username)}, realm={quote(self.realm)}, nonce={quote(self.nonce)}, "
            f"uri={quote(self.uri)}, response={quote(self.response)}, algorithm={self.algorithm}{qop}{opaque}"
        )


def _params(value: str) -> dict[str, str]:
    """The parameters of a Digest value; names in lower case, values without quotes."""
    scheme = _SCHEME.match(value)
    if scheme is None or scheme[1].lower() != "digest":
        raise ParseError("not the Digest scheme")
    if len(value) > MAX_CREDENTIALS:
        raise ParseError(f"a Digest value of more than {MAX_CREDENTIALS} octets")
    found: dict[str, str] = {}
    position, end = scheme.end(), len(value.rstrip(" \t,"))
    while position < end:
        match = _PARAM.match(value, position, end)
        if match is None:
            raise ParseError("a broken parameter in a Digest value")
        name = match["name"].lower()
        if name in found:
            raise ParseError(f"{name} twice in a Digest value")
        quoted = match["quoted"]
        found[name] = (
            match["token"] if quoted is None else unquote(f'"{quoted}"') if "\\" in quoted else quoted
        )
        position = match.end()
    return found


def _needed(params: dict[str, str], name: str) -> str:
    try:
        return params[name]
    except KeyError:
        raise ParseError(f"no {name} in a Digest value") from None


def _username(params: dict[str, str]) -> str:
    """The user name, also in its extended form C{username*=UTF-8''J%C3%A4s%C3%B8n} (RFC 7616 section 3.4, RFC 8187)."""
    extended = params.get("username*")
    if extended is None:
        return _needed(params, "username")
    if "username" in params:
        raise ParseError("username and username* in a Digest value")
    charset, _, rest = extended.partition("'")
    _, tick, encoded = rest.partition("'")
    if charset.upper() != "UTF-8" or not tick:
        raise ParseError("username* is not in UTF-8")
    return unquote_to_bytes(encoded.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def parse_challenge(value: str) -> Challenge:
    """@raise ParseError: another scheme, or a broken or missing parameter."""
    params = _params(value)
    qop = tuple(word for word in re.split(r"[\s,]+", params.get("qop", "").lower()) if word)
    return Challenge(
        _needed(params, "realm"),
        _needed(params, "nonce"),
        params.get("algorithm", "MD5").upper(),
        qop,
        params.get("opaque"),
        params.get("stale", "").lower() == "true",
    )


def parse_answer(value: str) -> DigestAnswer:
    """
    Parse one line's value; values of several credentials are never joined by commas (RFC 3261 section 7.3.1).

    @raise ParseError: another scheme, a broken, doubled or missing parameter; qop without nc and cnonce.
    """
    params = _params(value)
    qop = params.get("qop")
    nc, cnonce = "", ""
    if qop is not None:
        nc, cnonce = _needed(params, "nc"), _needed(params, "cnonce")
        if not _NONCE_COUNT.fullmatch(nc):
            raise ParseError("nc is not 8 hexadecimal digits")
    return DigestAnswer(
        _username(params),
        _needed(params, "realm"),
        _needed(params, "nonce"),
        _needed(params, "uri"),
        _needed(params, "response"),
        params.get("algorithm", "MD5").upper(),
        qop,
        nc,
        cnonce,
        params.get("opaque"),
    )


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def digest(algorithm: str, data: bytes) -> str:
    """
    C{H(data)} in lower-case hexadecimal: 32 digits for MD5, 64 for SHA-256 (RFC 8760 section 2.2).

    @raise UsageError: not one of L{ALGORITHMS}; the -sess variants are not supported.
    """
    try:
        return _HASHES[algorithm](data)
    except KeyError:
        raise UsageError(f"not a digest algorithm of ours: {algorithm!r}") from None


def ha1(algorithm: str, username: str, realm: str, password: str) -> str:
    """C{H(username:realm:password)}, what is kept instead of the password (RFC 7616 section 3.4.2)."""
    return digest(algorithm, _octets(f"{username}:{realm}:{password}"))


def expected_response(answer: DigestAnswer, ha1: str, method: str, body: bytes = b"") -> str:
    """
    What C{answer.response} is when its sender knows the password (RFC 7616 section 3.4.1; without qop section 3.4.6).

    @param body: for qop C{auth-int} only; empty bodies count as the empty string (RFC 3261 section 22.4).
    """
    algorithm = answer.algorithm
    a2 = f"{method}:{answer.uri}"
    if answer.qop == "auth-int":
        a2 += ":" + digest(algorithm, body)
    ha2 = digest(algorithm, _octets(a2))
    if answer.qop is None:
        return digest(algorithm, _octets(f"{ha1}:{answer.nonce}:{ha2}"))
    return digest(algorithm, _octets(f"{ha1}:{answer.nonce}:{answer.nc}:{answer.cnonce}:{answer.qop}:{ha2}"))


def proves(answer: DigestAnswer, ha1: str, method: str, body: bytes = b"") -> bool:
    """Whether the answer was made with that C{ha1}; takes the same time wherever the first difference is."""
    expected = expected_response(answer, ha1, method, body)
    return hmac.compare_digest(expected.encode(), _octets(answer.response.lower()))


def choose_challenge(values: Iterable[str], realm: str | None = None) -> str | None:
    """
    The first challenge that we can answer: the server puts its preferred one first (RFC 8760 section 2.4).

    @param values: one value a line, of WWW-Authenticate or of Proxy-Authenticate.
    @param realm: only challenges of this realm, L{None} for any; give it whenever a stranger may challenge.
    """
    for value in values:
        try:
            challenge = parse_challenge(value)
        except ParseError:
            continue  # RFC 7616 section 3.7: a client ignores what it does not understand
        if (
            challenge.algorithm in _HASHES
            and (not challenge.qop or "auth" in challenge.qop or "auth-int" in challenge.qop)
            and realm in (None, challenge.realm)
        ):
            return value
    return None


def answer(
    challenge: str,
    method: str,
    uri: str,
    username: str,
    *,
    password: str | None = None,
    ha1_hex: str | None = None,
    cnonce: str = "",
    nc: int = 1,
    body: bytes = b"",
) -> str:
    """
    The Authorization or Proxy-Authorization value that answers a challenge.

    @param password: or C{ha1_hex}, which must be of the challenge's algorithm.
    @param cnonce: fresh random text; C{nc}: how often this nonce is used, from 1.
    @raise ParseError: not a challenge. @raise UsageError: an algorithm or qop that we cannot compute.
    """
    asked = parse_challenge(challenge)
    if asked.qop and not {"auth", "auth-int"} & set(asked.qop):
        raise UsageError(f"no qop of ours: {', '.join(asked.qop)}")
    if ha1_hex is None:
        if password is None:
            raise UsageError("a password or its ha1 is needed to answer a challenge")
        ha1_hex = ha1(asked.algorithm, username, asked.realm, password)
    qop = None if not asked.qop else "auth" if "auth" in asked.qop else "auth-int"
    given = DigestAnswer(
        username,
        asked.realm,
        asked.nonce,
        uri,
        "",
        asked.algorithm,
        qop,
        f"{nc:08x}" if qop else "",
        cnonce if qop else "",
        asked.opaque,
    )
    response = expected_response(given, ha1_hex, method, body)
    return str(evolve(given, response=response))
