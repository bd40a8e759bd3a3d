"""
The messages of one call, as several nodes saw them, put together into one ladder: who sent what to whom, and when.

What one node of ours sent and another one received is one step. The nodes' clocks differ: what went to and fro between two
of them says by how much, as in NTP (RFC 5905 section 8), and their times are moved so that nothing comes before it was sent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from attrs import define, evolve, frozen

from voipcluster.address import split_host_port


@frozen(kw_only=True)
class Seen:
    """
    One message as one node saw it.

    @ivar at: seconds since 1970 by the clock of C{node}; C{sent}: whether it sent the message, or received it.
    @ivar local: and C{remote}: addresses with their ports, as text.
    @ivar line: its start line, C{cseq} its CSeq; C{mark}: the same for the same octets, and for no others.
    @ivar text: all of it, or L{None} when nobody asked.
    """

    node: str
    at: float
    sent: bool
    transport: str
    local: str
    remote: str
    line: str
    cseq: str
    mark: str
    text: str | None = None


@frozen
class Step:
    """
    One arrow. C{repeat}: the same octets went the same way before; C{unseen}: a node of ours that looks on did not get it.

    @ivar source: and C{target}: the name of a node, or an address with its port.
    """

    at: float
    source: str
    target: str
    seen: Seen
    repeat: bool = False
    unseen: bool = False


@define
class _Pair:
    """A message that one node sent and, where it is known, another one received."""

    sent: Seen
    received: Seen | None = None


def ladder(seen: Iterable[Seen], nodes: Mapping[str, str]) -> list[Step]:
    """
    All steps in their order.

    @param nodes: the name of a node by each address with port that it has.
    """
    everything = sorted(seen, key=lambda one: one.at)
    pairs, alone = _paired(everything)
    clocks = _clocks(pairs, everything)
    looking = {one.node for one in everything}
    steps = []
    for pair in pairs:
        sent = pair.sent
        target = pair.received.node if pair.received is not None else nodes.get(sent.remote, sent.remote)
        unseen = pair.received is None and target in looking and target != sent.node
        steps.append(Step(sent.at - clocks[sent.node], sent.node, target, sent, unseen=unseen))
    for one in alone:
        source = nodes.get(one.remote, one.remote)
        steps.append(Step(one.at - clocks[one.node], source, one.node, one))
    number = {
        id(one): number for number, one in enumerate(everything)
    }  # of one moment: as the nodes saw them
    steps.sort(key=lambda step: (step.at, number[id(step.seen)]))
    return _with_repeats(steps)


def participants(steps: Iterable[Step]) -> list[str]:
    """Everybody, in the order in which they come into the call."""
    return list(dict.fromkeys(who for step in steps for who in (step.source, step.target)))


def _paired(everything: Sequence[Seen]) -> tuple[list[_Pair], list[Seen]]:
    """What was sent, with what was received of it by another node; and what else was received."""
    pairs = []
    waiting: dict[str, list[_Pair]] = defaultdict(list)
    for one in everything:
        if one.sent:
            pairs.append(_Pair(one))
            waiting[one.mark].append(pairs[-1])
    alone = []
    # from the last one: when copies were lost, it is the last copy that has come through
    for one in reversed(everything):
        if one.sent:
            continue
        for pair in reversed(waiting[one.mark]):
            # over a connection the port is the one that the system chose; the host is the node's in any case
            if (
                pair.received is None
                and pair.sent.node != one.node
                and _host(pair.sent.remote) == _host(one.local)
            ):
                pair.received = one
                break
        else:
            alone.append(one)
    return pairs, alone


def _host(address: str) -> str:
    return split_host_port(address, 5060)[0]


def _clocks(pairs: Iterable[_Pair], everything: Sequence[Seen]) -> dict[str, float]:
    """By how many seconds the clock of each node is before that of the node that was the first to see anything."""
    shortest: dict[tuple[str, str], float] = {}
    for pair in pairs:
        if pair.received is not None:
            way, took = (pair.sent.node, pair.received.node), pair.received.at - pair.sent.at
            shortest[way] = min(took, shortest.get(way, took))
    known: dict[str, float] = {}
    for one in everything:
        if one.node not in known:
            known[one.node] = 0.0
            _reach(one.node, known, shortest)
    return known


def _reach(first: str, known: dict[str, float], shortest: Mapping[tuple[str, str], float]) -> None:
    """From node to node, as far as messages have gone."""
    to_do = [first]
    while to_do:
        near = to_do.pop(0)
        for source, target in shortest:
            far = target if source == near else source if target == near else near
            if far not in known:
                known[far] = known[near] + _ahead(shortest.get((near, far)), shortest.get((far, near)))
                to_do.append(far)


def _ahead(there: float | None, back: float | None) -> float:
    """How far one clock is before another, by what the shortest ways there and back seem to take."""
    if there is not None and back is not None:
        # nothing came before it was sent: the clocks agree, as far as anybody can tell
        return 0.0 if there >= 0 and back >= 0 else (there - back) / 2
    if there is not None:
        return min(0.0, there)
    return max(0.0, -(back or 0.0))


def _with_repeats(steps: Iterable[Step]) -> list[Step]:
    before: set[tuple[str, str, str]] = set()
    marked = []
    for step in steps:
        way = step.source, step.target, step.seen.mark
        marked.append(evolve(step, repeat=way in before))
        before.add(way)
    return marked
