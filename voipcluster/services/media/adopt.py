"""
A call of an earlier process, made again: the same ports, aimed where they were aimed, with their latches and counters.

It is as it was at rest. An exchange that was under way begins anew with the next copy of its request.
"""

from __future__ import annotations

from functools import partial

from attrs import evolve

from voipcluster.errors import PeerError
from voipcluster.media.activity import Activity
from voipcluster.media.agents import Agents
from voipcluster.media.ice import Agent, IceLatch
from voipcluster.media.latch import Aim, Connect, Guard, Latch, State
from voipcluster.media.offer_answer import Side
from voipcluster.media.stream import SPOTS, Directed, Spot, Stream
from voipcluster.media.target import Targets
from voipcluster.services.media.arrival import IcePolicy
from voipcluster.services.media.call import RelayedCall
from voipcluster.services.media.line import Leg, Line
from voipcluster.services.media.ports import RelayPorts
from voipcluster.services.media.saved import (
    Latches,
    SavedLatches,
    SavedLine,
    SavedMedia,
    Traffic,
    ports_in_order,
)


def adopt(
    saved: SavedMedia,
    latches: Latches,
    traffic: Traffic,
    relay: RelayPorts,
    new_stream: partial[Stream],
    ice: IcePolicy,
    activity: Activity,
    now: float,
) -> RelayedCall:
    """
    Make a call again. Its numbers are taken from the pool already, and stay taken when this fails.

    @param activity: begins now: nobody knows what was heard meanwhile.
    @raise PeerError: a port belongs to another program now, or to an address that this node has no more.
    """
    lines: dict[int, Line] = {}
    call = RelayedCall(
        relay=relay, new_stream=new_stream, ice=ice, activity=activity, started=saved.started, answered=True, lines=lines,
        closed_packets=saved.closed[0], closed_octets=saved.closed[1], negotiation=saved.negotiation,
        in_force=saved.in_force, agents=Agents(ice.credentials, saved.agents) if saved.agents else None, passed=saved.passed,
    )  # fmt: skip
    try:
        for index, one in saved.lines.items():
            stream = _stream(new_stream(), one, latches.get(index, SavedLatches()), saved.agents, now)
            lines[index] = Line(stream, one.born, relay.seconds, relay.kernel_line(), bridged=one.bridged)
            lines[index].heard = relay.heard
            _open(lines[index], one, relay)
    except (OSError, KeyError) as error:
        for port in [port for line in lines.values() for port in line.all_ports()]:
            relay.close(port)
        for line in lines.values():
            line.close()
        reason = (
            f"no address of IPv{error.args[0]}"
            if isinstance(error, KeyError)
            else (error.strerror or str(error))
        )
        raise PeerError(f"its media ports cannot be opened again: {reason}", 503) from error
    for port, counted in zip(ports_in_order(lines), traffic, strict=False):
        port.packets, port.octets, port.strangers, port.errors = counted
    for line in lines.values():
        _aim(line)
        line.offload()
    return call


def _stream(
    new: Stream, saved: SavedLine, kept: SavedLatches, agents: dict[Side, Agent], now: float
) -> Stream:
    latches = {spot: _checked(latch, new.targets, new.window, now) for spot, latch in kept.plain.items()}
    nominated = {
        spot: IceLatch(
            checked=latches[spot].checked,
            ufrag=ice.ufrag,
            remote=None if ice.remote is None else new.targets.usable(*ice.remote),
            signalled=ice.signalled,
        )
        for spot, ice in kept.ice.items()
        if spot in latches
    }
    told = {side: agents[side] for side in saved.told if side in agents}
    return evolve(new, kind=saved.kind, lines=saved.said, latches=latches, ice_latches=nominated, agents=told)


def _open(line: Line, saved: SavedLine, relay: RelayPorts) -> None:
    stream = line.stream
    for side, (number, families) in saved.legs.items():
        leg = line.legs[side] = Leg(number, {})
        for family, count in families.items():
            leg.ports[family] = relay.open_on(number, side, family, line.sink, SPOTS[side][:count])
            for port in leg.ports[family]:
                port.checked = stream.latch(SPOTS[side][0]).checked


def _checked(latch: Latch, targets: Targets, window: float, now: float) -> Latch:
    """The latch under the rules of today: what media may not go to any more is nowhere."""
    signalled, remote = (
        None if address is None else targets.usable(*address) for address in (latch.signalled, latch.remote)
    )
    state = latch.state
    if state is not State.SHUT and remote != latch.remote:
        state, remote = State.OPEN, signalled
    return evolve(latch, state=state, signalled=signalled, remote=remote, window=window, since=now)


def _aim(line: Line) -> None:
    """Aim first and connect then: what has waited in a socket is sent on while its port is connected."""
    spots = [spot for side in line.legs for spot in SPOTS[side][: 1 + line.stream.paired]]
    latches = [(spot, line.stream.latch(spot)) for spot in spots]
    line.execute([Directed(spot, Aim(latch.remote)) for spot, latch in latches])
    _wire(line)
    line.execute(
        [
            Directed(spot, (Guard if isinstance(latch, IceLatch) else Connect)(latch.remote))
            for spot, latch in latches
            if latch.state is State.LATCHED and latch.remote is not None
        ]
    )
    _wire(line)


def _wire(line: Line) -> None:
    for side in line.legs:
        for component in range(2):
            line.wire(Spot(side, component))
