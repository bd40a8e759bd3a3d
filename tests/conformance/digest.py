"""Digest credentials as a client makes them (RFC 7616, RFC 8760), without the product's own code."""

from __future__ import annotations

import hashlib
import re
import secrets

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


def parameters(challenge: str) -> dict[str, str]:
    """Those of a challenge or of credentials, by lower-case name, without quotes."""
    pairs = re.findall(r"([\w-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,]+))", challenge.partition(" ")[2])
    return {name.lower(): quoted or plain for name, quoted, plain in pairs}


def credentials(challenge: str, method: str, uri: str, user: str, password: str, count: int = 1) -> str:
    """
    The value of Authorization or Proxy-Authorization for a challenge.

    @param count: C{nc}, how often its nonce is used.
    """
    asked = parameters(challenge)
    name = asked.get("algorithm", "MD5")

    def digest(text: str) -> str:
        return _HASHES[name](text.encode()).hexdigest()

    ha1 = digest(f"{user}:{asked['realm']}:{password}")
    ha2 = digest(f"{method}:{uri}")
    given = [f'username="{user}"', f'realm="{asked["realm"]}"', f'nonce="{asked["nonce"]}"', f'uri="{uri}"']
    if "qop" in asked:
        client, times = secrets.token_hex(8), f"{count:08x}"
        response = digest(f"{ha1}:{asked['nonce']}:{times}:{client}:auth:{ha2}")
        given += ["qop=auth", f"nc={times}", f'cnonce="{client}"']
    else:
        response = digest(f"{ha1}:{asked['nonce']}:{ha2}")
    given += [f'response="{response}"', f"algorithm={name}"]
    if "opaque" in asked:
        given.append(f'opaque="{asked["opaque"]}"')
    return "Digest " + ", ".join(given)
