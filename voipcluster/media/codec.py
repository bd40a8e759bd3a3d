"""What a media line calls its formats: encoding names and clocks (RFC 8866 sections 5.14 and 6.6, RFC 3551 section 6)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from voipcluster.remember import remember

MOST = 8  # formats of a line that are read
_RTPMAP = re.compile(rb"a=rtpmap:([0-9]{1,3}) +([\x21-\x2e\x30-\x7e]{1,32})/([0-9]{1,6})(?:/[0-9]+)?")


class Codec(NamedTuple):
    """C{name} as RFC 3551 spells it, in upper case; C{rate} is the clock of its timestamps in Hz, at least 1."""

    name: str
    rate: int


# Payload types that need no rtpmap. The clock of G.722 is 8000 Hz, a mistake that stayed (RFC 3551 section 4.5.2).
STATIC = {
    b"0": Codec("PCMU", 8000), b"3": Codec("GSM", 8000), b"4": Codec("G723", 8000), b"5": Codec("DVI4", 8000),
    b"6": Codec("DVI4", 16000), b"7": Codec("LPC", 8000), b"8": Codec("PCMA", 8000), b"9": Codec("G722", 8000),
    b"10": Codec("L16", 44100), b"11": Codec("L16", 44100), b"12": Codec("QCELP", 8000), b"15": Codec("G728", 8000),
    b"16": Codec("DVI4", 11025), b"17": Codec("DVI4", 22050), b"18": Codec("G729", 8000),
    b"26": Codec("JPEG", 90000), b"31": Codec("H261", 90000), b"34": Codec("H263", 90000),
}  # fmt: skip

# Formats that go beside speech or pictures, not in their place.
BESIDE = {"TELEPHONE-EVENT", "CN", "RED", "RTX", "ULPFEC", "FLEXFEC-03", "FLEXFEC"}


def codecs_of(formats: bytes, section: Iterable[bytes]) -> tuple[Codec, ...]:
    """
    @param formats: the end of an C{m=} line.
    @param section: the lines behind it; those that are no proper C{a=rtpmap} are left out.
    @return: in the order of the line, without formats that are unknown or go beside the others; at most L{MOST}.
    """
    return _codecs(
        b"\n".join((formats, *(line.rstrip() for line in section if line.startswith(b"a=rtpmap:"))))
    )


@remember(256)
def _codecs(text: bytes) -> tuple[Codec, ...]:
    """Kept, since all phones of a kind say the same."""
    formats, *maps = text.split(b"\n")
    known = dict(STATIC)
    for line in maps:
        found = _RTPMAP.fullmatch(line)
        if found is not None and int(found[3]):
            known[found[1]] = Codec(found[2].decode("ascii").upper(), int(found[3]))
    codecs = (known.get(payload) for payload in formats.split()[: 4 * MOST])
    return tuple(codec for codec in codecs if codec is not None and codec.name not in BESIDE)[:MOST]


def agreed(offered: Sequence[Codec], answered: Sequence[Codec]) -> Codec | None:
    """
    What both send, as far as signalling tells: an answerer keeps to what it lists first (RFC 3264 sections 6.1 and 7).

    Which one answered needs not be known: the answer is the shorter list. Of equal ones the second counts.
    """
    answer, offer = (answered, offered) if len(answered) <= len(offered) else (offered, answered)
    return next((codec for codec in answer if codec in offer), None)
