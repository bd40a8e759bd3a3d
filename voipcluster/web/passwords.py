"""
The password of the web page as it is kept: scrypt (RFC 7914) with a salt of its own.

scrypt and not Argon2: it comes with Python (OpenSSL), it is memory-hard too, and one password a cluster, tried a few times a
minute, is not worth one more package with compiled code. The cost stands in front of each hash, so that a release can raise it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import unicodedata

from voipcluster.errors import UsageError

SHORTEST, LONGEST = 8, 256  # characters
SALT = 16  # octets
_SIZE = 32  # octets of the result
_LOG_N, _R, _P = 15, 8, 1  # 32 MiB and a tenth of a second for each try
_KEPT = re.compile(
    r"\$scrypt\$ln=(1[0-7]),r=([1-9]|1[0-6]),p=([1-4])\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})"
)


def check_password(password: str) -> None:
    """@raise UsageError: nobody should have this one."""
    if not SHORTEST <= len(password) <= LONGEST or not password.isprintable():
        raise UsageError(f"a password for the web page has {SHORTEST} to {LONGEST} printable characters")


def hashed(password: str, salt: bytes, log_n: int = _LOG_N) -> str:
    """
    What is kept of a password; takes a tenth of a second.

    @param salt: L{SALT} octets that nobody can guess.
    @param log_n: the cost, 10 to 17; one more is twice as much.
    @raise UsageError: as L{check_password}.
    """
    check_password(password)
    digest = _scrypt(password, salt, log_n, _R, _P)
    return f"$scrypt$ln={log_n},r={_R},p={_P}${_text(salt)}${_text(digest)}"


def is_hash(text: str) -> bool:
    """Whether that is something that L{hashed} of this or another release has made."""
    return _KEPT.fullmatch(text) is not None


def matches(password: str, kept: str) -> bool:
    """Whether a password is the one that is kept; takes a tenth of a second."""
    found = _KEPT.fullmatch(kept)
    if found is None or len(password) > LONGEST:
        return False
    log_n, r, p = (int(found[group]) for group in (1, 2, 3))
    try:
        salt, digest = (base64.b64decode(found[group] + "==="[: -len(found[group]) % 4]) for group in (4, 5))
        return hmac.compare_digest(digest, _scrypt(password, salt, log_n, r, p))
    except (binascii.Error, UnicodeEncodeError):  # half a surrogate is no text
        return False


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    # keyboards and browsers write an accent as a character of its own, or not (Unicode annex 15)
    octets = unicodedata.normalize("NFC", password).encode("utf-8")
    memory = (128 << log_n) * r + 256 * r * (p + 2) + (1 << 20)
    return hashlib.scrypt(octets, salt=salt, n=1 << log_n, r=r, p=p, maxmem=memory, dklen=_SIZE)


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).rstrip(b"=").decode("ascii")
