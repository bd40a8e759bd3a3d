"""The limits of one node, made from its configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from voipcluster.config.limits import LimitsOptions
from voipcluster.services.node.settings import request_limits, stranger_settings
from voipcluster.services.transaction.limiting import Limiting
from voipcluster.sip.message import Request
from voipcluster.sip.transaction.matching import ServerKey
from voipcluster.sip.uri import SipUri

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts


def limiting_of(node: NodeParts, seconds: Callable[[], float]) -> Limiting:
    """What counts requests; it asks the node's parts, which are made later, when something is refused."""

    def in_dialog(request: Request) -> bool:
        return node.proxy.is_in_dialog(request)

    def aor_of(uri: SipUri) -> str | None:
        return node.core.canonical_aor(uri)

    def load(calls: bool) -> float:
        # counted now: between two samples of the workload a flood could take all that is left
        limits = node.config.limits
        if calls:
            return len(node.calls) / limits.calls
        return len(node.transactions) / limits.transactions

    def is_pending(key: ServerKey) -> bool:
        return node.transactions.is_pending(key)

    return Limiting(
        seconds,
        request_limits(node.config),
        node.config.limits.trusted,
        lambda: (host for host, _ in node.core.addresses.values()),
        in_dialog,
        aor_of,
        stranger_settings(node.config),
        load,
        is_pending,
    )


def media_shares(limits: LimitsOptions) -> dict[str, float]:
    """What one holder may have of the relay's ports, by kind; one without a limit is left out."""
    shares = {"user": limits.media_ports_per_user, "address": limits.media_ports_per_address}
    return {kind: share for kind, share in shares.items() if share}
