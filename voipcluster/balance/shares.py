"""Who gets how much of something scarce: max-min fair shares."""

from __future__ import annotations

from collections.abc import Sequence


def fair_shares(capacity: float, demands: Sequence[float]) -> list[float]:
    """
    Share C{capacity} out so that nobody gets more than it asks for, and nobody less than an equal part unless it asks for less.

    What is left when all are content is given to all alike, so that each may grow.

    @param capacity: requests per second, at least 0; C{demands} likewise.
    @return: a share for each demand, in their order; their sum is C{capacity}.
    """
    shares = [0.0] * len(demands)
    left, waiting = capacity, sorted(range(len(demands)), key=demands.__getitem__)
    for at, index in enumerate(waiting):
        shares[index] = min(demands[index], left / (len(waiting) - at))
        left -= shares[index]
    if left > 0.0:
        shares = [share + left / len(shares) for share in shares]
    return shares
