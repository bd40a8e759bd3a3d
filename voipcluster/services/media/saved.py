"""
An answered call of the relay as a table that a later process reads, see L{voipcluster.services.media.adopt}.

cattrs makes tables of our classes and classes of tables, so that a field that is added to one of them is kept without a word
here. A table of a later version may have keys that we do not know, and an earlier one lacks keys that have defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

from attrs import Factory, frozen
from cattrs.cols import is_namedtuple
from cattrs.preconf.json import JsonConverter, make_converter

from voipcluster.media.ice import Agent
from voipcluster.media.latch import Latch
from voipcluster.media.offer_answer import Exchange, OfferAnswer, Side
from voipcluster.media.sdp import MediaLine
from voipcluster.media.shares import Holder
from voipcluster.media.stream import SPOTS, Spot
from voipcluster.media.target import Address
from voipcluster.net.rtp import RtpPort
from voipcluster.services.media.call import Description, RelayedCall
from voipcluster.services.media.line import Line

Traffic = list[tuple[int, int, int, int]]
"""Packets, octets, strangers and errors of each port of a call, in the order of L{ports_in_order}."""


@frozen
class SavedIce:
    """The part of an L{IceLatch} that is in force; what else was checked is checked again soon."""

    ufrag: str
    remote: Address | None
    signalled: Address | None


@frozen
class SavedLatches:
    """Those of one line; they move when media begins, after the rest has been written."""

    plain: dict[Spot, Latch] = Factory(dict)
    ice: dict[Spot, SavedIce] = Factory(dict)


Latches = dict[int, SavedLatches]
"""By line."""


@frozen
class SavedLine:
    """
    @ivar said: what each side last said about the line, by L{Stream.lines}.
    @ivar legs: per side the number, and how many ports it has in each family.
    @ivar told: the sides that were told of ICE on the line.
    @ivar bridged: see L{Line}.
    """

    born: Exchange
    kind: str
    said: dict[Side, MediaLine]
    legs: dict[Side, tuple[int, dict[int, int]]]
    told: frozenset[Side] = frozenset()
    bridged: Side | None = None


@frozen
class SavedMedia:
    """
    C{closed}: packets and octets of lines that are over. C{agents} and C{passed} are for ICE, see L{RelayedCall}. Times are those
    of the reactor's clock, seconds since 1970.
    """

    started: float
    negotiation: OfferAnswer
    in_force: dict[Side, Description]
    lines: dict[int, SavedLine]
    closed: tuple[int, int] = (0, 0)
    holders: tuple[Holder, ...] = ()
    agents: dict[Side, Agent] = Factory(dict)
    passed: frozenset[int] = frozenset()

    @property
    def numbers(self) -> frozenset[int]:
        """All that it has of the pool."""
        return frozenset(number for line in self.lines.values() for number, _ in line.legs.values())


def ports_in_order(lines: dict[int, Line]) -> Iterator[RtpPort]:
    for _, line in sorted(lines.items()):
        for side in Side:
            leg = line.legs.get(side)
            if leg is not None:
                for _, ports in sorted(leg.ports.items()):
                    yield from ports


def traffic_of(call: RelayedCall) -> Traffic:
    """The counters of a call, which change all the time and are kept apart for that."""
    _, _, lines = call.at_rest()
    return [(port.packets, port.octets, port.strangers, port.errors) for port in ports_in_order(lines)]


def latches_of(call: RelayedCall) -> Latches:
    """As they are; they change, so it is to be made a table at once."""
    _, _, lines = call.at_rest()
    return {index: _saved_latches(line) for index, line in lines.items()}


def _saved_latches(line: Line) -> SavedLatches:
    stream = line.stream
    return SavedLatches(
        {spot: stream.plain_latch(spot) for side in line.legs for spot in SPOTS[side][: 1 + stream.paired]},
        {
            spot: SavedIce(latch.ufrag, latch.remote, latch.signalled)
            for spot, latch in stream.ice_latches.items()
        },
    )


def saved(call: RelayedCall) -> SavedMedia:
    """What the call is now; holds parts of it that change, so it is to be made a table at once."""
    negotiation, in_force, lines = call.at_rest()
    return SavedMedia(
        started=call.started,
        negotiation=negotiation,
        in_force=in_force,
        lines={index: _saved_line(line) for index, line in lines.items()},
        closed=(call.closed_packets, call.closed_octets),
        holders=call.holders,
        agents={} if call.agents is None else call.agents.by_side,
        passed=call.passed,
    )


def _saved_line(line: Line) -> SavedLine:
    stream = line.stream
    return SavedLine(
        line.born,
        stream.kind,
        stream.lines,
        {
            side: (leg.number, {family: len(ports) for family, ports in leg.ports.items()})
            for side, leg in line.legs.items()
        },
        frozenset(stream.agents),
        line.bridged,
    )


def new_converter() -> JsonConverter:
    """Between classes and what JSON has; wrong tables raise an exception of any kind."""
    converter = make_converter(detailed_validation=False, omit_if_default=False)

    @converter.register_structure_hook_factory(is_namedtuple)
    def named_tuples(cls: type[Any]) -> Callable[[Any, Any], Any]:
        # cattrs has the same, but does not look up annotations that are texts (PEP 563)
        fields = [(kind, converter.get_structure_hook(kind)) for kind in get_type_hints(cls).values()]

        def structure(value: Any, _: Any) -> Any:
            # one of another version may have more at its end, or lack what has a default
            return cls(*(hook(one, kind) for one, (kind, hook) in zip(value, fields, strict=False)))

        return structure

    # these are keys of tables, and so texts
    converter.register_unstructure_hook(Spot, lambda spot: f"{spot.side.value} {spot.component}")
    converter.register_structure_hook(Spot, lambda text, _: _spot(text))
    converter.register_unstructure_hook(Exchange, lambda of: f"{of.requester.value} {of.cseq}")
    converter.register_structure_hook(Exchange, lambda text, _: Exchange(*_side_and_number(text)))
    return converter


def _side_and_number(text: str) -> tuple[Side, int]:
    side, number = text.split()
    return Side(side), int(number)


def _spot(text: str) -> Spot:
    side, component = _side_and_number(text)
    return SPOTS[side][component]


CONVERTER = new_converter()
