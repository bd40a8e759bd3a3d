"""Joint randomisation on an old table: what each sender must draw so that all of them together level the queues."""

from __future__ import annotations

from collections.abc import Sequence


def water_fill(queues: Sequence[float], rates: Sequence[float], arrivals: float) -> list[float]:
    """
    The probabilities that pour C{arrivals - 1} requests over queues raised by half a request.

    This is the optimum of stochastically coordinated dispatching (Goren, Vargaftik, Moses, PODC 2021) in closed form:
    C{p_i = max(0, mu_i*L - q_i - 1/2) / (a - 1)} with L such that they add up to 1.

    @param queues: requests waiting at each node.
    @param rates: requests per second that each serves, above 0.
    @param arrivals: requests expected in the whole cluster before the table is new; at least 2 are poured.
    """
    if not queues:
        return []
    pour = max(1.0, arrivals - 1.0)
    raised = [queue + 0.5 for queue in queues]
    order = sorted(range(len(queues)), key=lambda index: raised[index] / rates[index])
    width = volume = level = 0.0
    for at, index in enumerate(order):
        width += rates[index]
        volume += raised[index]
        level = (pour + volume) / width
        if at + 1 == len(order) or level <= raised[order[at + 1]] / rates[order[at + 1]]:
            break
    return [max(0.0, rate * level - queue) / pour for queue, rate in zip(raised, rates, strict=True)]
