"""Encoding names that devices say in SDP, to tell one from a misspelt one (RFC 3551, and the registry of RTP payload formats)."""

from __future__ import annotations

from typing import Final

# The registry is open, and a new codec is no mistake: so this tells what is worth a second look, not what is allowed.
KNOWN: Final = frozenset(
    name.lower()
    for name in (
        # sound
        "PCMU", "PCMA", "G722", "G7221", "G723", "G726-16", "G726-24", "G726-32", "G726-40", "G728", "G729", "G729D", "G729E",
        "G7291", "G711-0", "GSM", "GSM-EFR", "GSM-HR-08", "iLBC", "ISAC", "SILK", "speex", "opus", "AMR", "AMR-WB", "AMR-WB+",
        "EVS", "EVRC", "EVRC0", "EVRCB", "EVRCNW", "L8", "L16", "L24", "DVI4", "LPC", "QCELP", "BV16", "BV32", "SIREN7",
        "MPA", "MP4A-LATM", "mpeg4-generic", "aac-ld", "CELT", "LYRA", "VDVI", "MELP", "CLEARMODE", "X-CCD",
        # signals, comfort noise, redundancy, text
        "telephone-event", "tone", "CN", "red", "t140", "ulpfec", "flexfec", "rtx", "parityfec",
        # video and fax
        "H261", "H263", "H263-1998", "H263-2000", "H264", "H264-SVC", "H265", "H266", "VP8", "VP9", "AV1", "JPEG", "MPV",
        "MP4V-ES", "MP2T", "theora", "raw", "t38", "x-h264uc",
    )
)  # fmt: skip


def is_known(name: str) -> bool:
    """Encoding names are compared without regard to case (RFC 8866 section 6.6)."""
    return name.lower() in KNOWN
