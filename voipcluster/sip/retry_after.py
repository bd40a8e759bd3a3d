"""Retry-After (RFC 3261 section 20.33): when it is worth asking again."""

from __future__ import annotations

from voipcluster.sip.message import Response


def retry_after(response: Response) -> float:
    """Seconds that a response asks not to be asked again; 0.0 when it does not say. A comment and parameters say no more."""
    digits = (response.get("retry-after") or "").partition(";")[0].partition("(")[0].strip()
    return float(digits) if digits.isascii() and digits.isdigit() and len(digits) < 8 else 0.0
