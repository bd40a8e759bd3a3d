"""How a stream arrives: cut anywhere, which must change nothing."""

from __future__ import annotations

MOST = 200  # pieces, so that a long stream of single octets does not take all the time


def cut_of(octets: bytes) -> tuple[int, bytes]:
    """
    @param octets: one that says how the rest is cut, and the rest.
    @return: how many octets a piece has, at least one, and the stream.
    """
    data = octets[1:]
    return max(octets[0] + 1 if octets else 1, len(data) // MOST + 1), data


def pieces(data: bytes, step: int) -> list[bytes]:
    return [data[start : start + step] for start in range(0, len(data), step)]
