"""The parameters of overload control in Via (RFC 7339 section 4): C{oc}, C{oc-algo}, C{oc-validity} and C{oc-seq}."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from voipcluster.sip.values import Via, unquote

NAMES: Final = frozenset({"oc", "oc-algo", "oc-validity", "oc-seq"})
# In each request to a server that may take part (sections 4.1 and 4.2), until it has shown that it does: Kamailio 5.6 drops a
# request unanswered when a quoted string of its Via holds a comma, and loss is what every server knows
FIRST_OFFER: Final = ';oc;oc-algo="loss"'
OFFER: Final = ';oc;oc-algo="loss,rate"'  # to a server that takes part
_KNOWN: Final = ("loss", "rate")
_DEFAULT_VALIDITY: Final = 500.0  # ms
_BRANCH = re.compile(rb"(\r\n(?:Via|v)[ \t]*:[^\r\n]*?;[ \t]*branch=[^;,\s]+)", re.IGNORECASE)
_PARAMS = re.compile(
    rb'[ \t]*;[ \t]*oc(?:-algo|-validity|-seq)?[ \t]*(?:=[ \t]*(?:"[^"]*"|[^;,"\s]*))?(?=[ \t]*(?:[;,]|$))',
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,5})?", re.ASCII)
_HIGHEST: Final = 1e9
UNNUMBERED: Final = -1.0


def offered(via: Via) -> tuple[str, ...] | None:
    """
    The algorithms that a client offers in the topmost Via of its request; L{None} when it does not take part.

    Every client knows C{loss} (section 4.2), whatever its list says.
    """
    if via.param("oc") is None:
        return None
    names = [name.strip().lower() for name in unquote(via.param("oc-algo") or "loss").split(",")]
    return tuple(name for name in names if name in _KNOWN) or ("loss",)


def without(via: Via) -> Via:
    """The same Via without what concerns one hop only (sections 5.4 and 5.6)."""
    return via._replace(params=tuple(param for param in via.params if param[0] not in NAMES))


def without_params(line: bytes) -> bytes:
    """The same of the line of a header, as it stands."""
    return _PARAMS.sub(b"", line)


class Told(NamedTuple):
    """
    What a server says: C{value} in percent or requests a second, C{validity} in seconds, C{sequence} a number that grows.

    C{sequence} is L{UNNUMBERED} where the server leaves C{oc-seq} out, as the example of section 6 does: then each counts.
    """

    algorithm: str
    value: float
    validity: float
    sequence: float


def told(via: Via) -> Told | None:
    """
    What the server says in the topmost Via of a response, which is ours; L{None}: nothing, or nothing that counts.

    A server that does not take part returns our parameters as they are (section 6).
    """
    value, algorithm = via.param("oc"), unquote(via.param("oc-algo") or "").lower()
    if not value or algorithm not in _KNOWN or not _NUMBER.fullmatch(value):
        return None
    amount = min(float(value), _HIGHEST)
    if algorithm == "loss" and amount > 100.0:
        return None
    number = via.param("oc-seq")
    sequence = unquote(number or "")
    validity = via.param("oc-validity")
    if (number and not _NUMBER.fullmatch(sequence)) or not _NUMBER.fullmatch(validity or "0"):
        return None
    milliseconds = _DEFAULT_VALIDITY if not validity else float(validity)
    return Told(algorithm, amount, milliseconds / 1000.0, float(sequence) if number else UNNUMBERED)


def written(algorithm: str, value: float, validity: float, sequence: float) -> bytes:
    """The parameters of a response (section 4), with their semicolons."""
    text = f';oc={value:.0f};oc-algo="{algorithm}";oc-validity={validity * 1000.0:.0f};oc-seq={sequence:.3f}'
    return text.encode("ascii")


def with_told(wire: bytes, params: bytes) -> bytes:
    """The octets of a response with parameters behind the branch of its topmost Via; as they are, when that has none."""
    match = _BRANCH.search(wire)
    return wire if match is None else wire[: match.end()] + params + wire[match.end() :]
