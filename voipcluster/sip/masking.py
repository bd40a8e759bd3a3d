"""
What nobody who looks at a message needs to know, made unreadable: passwords, answers to digest challenges, keys of media, tones.

Whoever has an answer to a challenge can try passwords at home; with the key of a stream he hears the call; tones are how
people type their PIN. Each octet of those becomes an asterisk, so that lengths stay true.
"""

from __future__ import annotations

import re
from typing import Final

# All patterns are for the message in lower case, since one that ignores case takes a hundred times as long.
# A header with its folded lines. Digest says much that helps and one thing that hurts; any other scheme is a secret as a whole.
_CREDENTIALS: Final = re.compile(
    rb"\n(?:proxy-)?auth(?:orization|entication-info)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)"
)
_DIGEST: Final = re.compile(rb"\s*+digest\s")
_ANSWER: Final = re.compile(rb"""\b(?:response|rspauth)\s*=\s*"?([^",;\r\n]*)""")
_SECRET: Final = re.compile(rb"\s*+[^\s]++\s+(.*)", re.DOTALL)
_TOKEN: Final = re.compile(
    rb";hop?=([a-z0-9_-]+)"
)  # of ours: who has one is taken for the client that it names
_INLINE: Final = re.compile(rb"inline:([^|; \t\r\n]+)")  # RFC 4568 section 9.2
_CRYPTO: Final = re.compile(rb"\na=crypto:([^\r\n]*)")
_OTHER_KEYS: Final = re.compile(rb"\n(?:k=|a=ice-pwd:|a=key-mgmt:)([^\r\n]+)")
_DTMF: Final = re.compile(rb"\n(?:content-type|c)[ \t]*:[ \t]*application/dtmf")
_SIGNAL: Final = re.compile(rb"signal[ \t]*=[ \t]*([^\r\n]+)")  # of application/dtmf-relay
# RFC 3261 section 19.1.1, where it says how unwise it is to write a password there; with more characters than it allows, since
# who does that hardly escapes them. In a user is no colon, and no password is longer: so each octet is looked at a few times.
# There may be no user in front of it at all.
_PASSWORD: Final = re.compile(rb"""sips?:[^\s"<>:@\[]*+:([^\s"<>@]{1,256}+)@""")
_PASSWORD_IN_TEXT: Final = re.compile(_PASSWORD.pattern.decode("ascii"), re.IGNORECASE)
_HIDDEN: Final = bytes(range(0x21)) + b"*" * (0x100 - 0x21)  # lines and words stay as long as they are


def masked(data: bytes) -> bytes:
    """The message without its secrets; the same object when it has none."""
    low = data.lower()
    spans = [found.span(1) for found in _PASSWORD.finditer(low)]
    if b"\nauth" in low or b"\nproxy-auth" in low:
        spans += _credentials(low)
    if b";ho" in low:
        spans += [found.span(1) for found in _TOKEN.finditer(low)]
    if b"inline:" in low or b"\nk=" in low or b"a=ice-pwd:" in low or b"a=key-mgmt:" in low:
        spans += _keys(low)
    if b"/dtmf" in low:
        spans += _tones(low)
    if not spans:
        return data
    shown = bytearray(data)
    for begin, end in spans:
        shown[begin:end] = data[begin:end].translate(_HIDDEN)
    return bytes(shown)


def without_password(uri: str) -> str:
    """A URI as people may see it; the same text when there is no password in it."""
    # behind the scheme no colon in front of the host: so it is with nearly all, of which there may be a hundred thousand
    if uri.find(":", uri.find(":") + 1, uri.find("@")) < 0:
        return uri
    return _PASSWORD_IN_TEXT.sub(lambda found: f"{found[0][: found.start(1) - found.start() - 1]}@", uri)


def _body_at(low: bytes) -> int:
    end = low.find(b"\r\n\r\n")
    return len(low) if end < 0 else end + 2


def _credentials(low: bytes) -> list[tuple[int, int]]:
    spans = []
    for found in _CREDENTIALS.finditer(low, 0, _body_at(low)):
        begin, end = found.span(1)
        told = low.startswith(b"authentication-info", found.start() + 1) or low.startswith(
            b"proxy-authentication-info", found.start() + 1
        )
        if told or _DIGEST.match(low, begin, end):
            spans += [answer.span(1) for answer in _ANSWER.finditer(low, begin, end)]
        elif secret := _SECRET.match(low, begin, end):
            spans.append(secret.span(1))
    return spans


def _keys(low: bytes) -> list[tuple[int, int]]:
    body = _body_at(low)
    spans = [found.span(1) for found in _OTHER_KEYS.finditer(low, body)]
    for line in _CRYPTO.finditer(low, body):
        spans += [key.span(1) for key in _INLINE.finditer(low, *line.span(1))]
    return spans


def _tones(low: bytes) -> list[tuple[int, int]]:
    body = _body_at(low)
    if _DTMF.search(low, 0, body) is None:
        return []
    named = [found.span(1) for found in _SIGNAL.finditer(low, body)]
    return named or [(body, len(low))]  # application/dtmf is nothing else
