"""C{[media]}: the RTP relay."""

from __future__ import annotations

from attrs import frozen

from voipcluster.config.kinds import Choice, Flag, Network, Number, Ports, Whole, Words
from voipcluster.config.option import option

RELAYS = ("auto", "kernel", "userspace", "off")
ICE = ("relay", "pass", "remove")


@frozen
class MediaOptions:
    """The RTP relay."""

    ports: tuple[int, int] = option((30000, 39999), Ports(), "UDP ports for RTP and RTCP, first-last")
    relay: str = option(
        "auto",
        Choice(RELAYS),
        "auto | kernel | userspace | off; auto = the kernel where it can (docs/media.md)",
    )
    marks: int = option(
        0x52, Whole(1, 255), "upper octet of the packet marks (nftables, ip rule) that the kernel path uses"
    )
    ice: str = option(
        "relay",
        Choice(ICE),
        "relay | pass | remove: what becomes of ICE in session descriptions (docs/sdp.md)",
    )
    gather: float = option(
        0.001,
        Number(0, 0.01, "s"),
        "s that packets relayed in user space may wait for others, once they are many; 0 = none",
    )
    timeout: float = option(
        60.0,
        Number(1, 86_400, "s"),
        "s without any packet of a call after which its relay is given up",
    )
    hold_timeout: float = option(3600.0, Number(1, 604_800, "s"), "the same in s for a call on hold")
    silence: float = option(
        10.0,
        Number(0, 3600, "s"),
        "s for which one side sends nothing while both are to send, until that is told as one-way; 0 = never",
    )
    quarantine: float = option(
        5.0,
        Number(0, 3600, "s"),
        "s before a port is used again, so that late packets find no new call",
    )
    third_hosts: bool = option(
        False,
        Flag(),
        "send to a host that only a description names, before it sent anything; limits.trusted may name any",
        live=True,
    )
    lab_networks: tuple[str, ...] = option(
        (),
        Words(Network(), 'networks such as "127.0.0.0/8"'),
        "send media there although it is loopback, multicast or the like; for laboratories only",
    )
