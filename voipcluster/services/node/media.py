"""The RTP relay of one node, made from its configuration."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from voipcluster.services.media.relay import MediaService
from voipcluster.services.node.limits import media_shares
from voipcluster.services.node.listening import relay_addresses

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts


def media_of(node: NodeParts, clock: IReactorTime) -> MediaService:
    """What relays the media of its calls, with nothing open yet."""
    media, surroundings = node.config.media, node.surroundings
    return MediaService(
        clock,
        ports=media.ports,
        addresses=relay_addresses(node.config),
        relay=media.relay,
        marks=media.marks,
        kernel=surroundings.kernel,
        ice=media.ice,
        timeout=media.timeout,
        hold_timeout=media.hold_timeout,
        quarantine=media.quarantine,
        allowed=media.lab_networks,
        closed=(node.config.sip.port,),
        trusted=node.may_name_other_hosts,
        shares=media_shares(node.config.limits),
        silence=media.silence,
        start=int(surroundings.random() * (1 << 16)),
        readers=lambda reactor: surroundings.rtp_readers(reactor, media.gather),
        open_port=partial(surroundings.kept.open_rtp, surroundings.open_rtp),
        octets=surroundings.octets,
    )
