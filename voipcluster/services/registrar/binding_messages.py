"""Bindings and removals as they go over the cluster link: ages instead of times, for the clocks of nodes differ."""

from __future__ import annotations

import math

from voipcluster.balance import messages
from voipcluster.sip.location import Binding
from voipcluster.sip.removals import Removal
from voipcluster.sip.values import quote


def to_message(binding: Binding, epoch: int, seq: int, now: float) -> messages.Binding:
    """A binding of ours."""
    return messages.Binding(
        node=binding.node,
        epoch=epoch,
        seq=seq,
        aor=binding.aor,
        contact=binding.contact,
        path=binding.path,
        expires=max(1, math.ceil(binding.expires_at - now)),
        q=binding.q,
        call_id=binding.call_id,
        cseq=binding.cseq,
        user_agent=binding.user_agent,
        received=binding.source,
        flow=binding.flow_token,
        instance=binding.instance,
        reg_id=binding.reg_id,
        age=max(0.0, now - binding.registered_at),
    )


def removal_message(removal: Removal, node: str, epoch: int, seq: int, now: float) -> messages.Binding:
    """A removal as C{node} tells it."""
    return messages.Binding(
        node=node,
        epoch=epoch,
        seq=seq,
        aor=removal.aor,
        contact=removal.contact,
        expires=0,
        call_id=removal.call_id,
        cseq=removal.cseq,
        instance=removal.instance,
        reg_id=removal.reg_id,
        age=max(0.0, now - removal.at),
    )


def from_message(message: messages.Binding, now: float, registered_at: float) -> Binding:
    """A binding of another node, C{now} and C{registered_at} on our clock."""
    params = f";+sip.instance={quote(message.instance)}" if message.instance else ""
    if message.reg_id:
        params += f";reg-id={message.reg_id}"
    return Binding(
        aor=message.aor,
        contact=message.contact,
        expires_at=now + message.expires,
        registered_at=registered_at,
        call_id=message.call_id,
        cseq=message.cseq,
        q=message.q,
        params=params,
        path=message.path,
        user_agent=message.user_agent,
        node=message.node,
        flow_token=message.flow,
        source=message.received,
        instance=message.instance,
        reg_id=message.reg_id,
    )
