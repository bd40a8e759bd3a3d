"""The limits of one node, made from its configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from voipcluster.config.limits import LimitsOptions
from voipcluster.services.sip.limiting import Limiting
from voipcluster.sip.limits import LimitSettings
from voipcluster.sip.message import Request
from voipcluster.sip.strangers import HARD, StrangerSettings
from voipcluster.sip.transaction.matching import ServerKey
from voipcluster.sip.uri import SipUri

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts

KEPT = 60.0  # seconds beyond the longest registration for which a proof of the password counts


def limiting_of(node: NodeParts, seconds: Callable[[], float]) -> Limiting:
    """What counts requests; it asks the node's parts, which are made later, when something is refused."""
    limits = node.config.limits
    settings = LimitSettings(
        requests_per_address=limits.requests_per_address,
        requests_per_user=limits.requests_per_user,
        ban=limits.ban,
        wrong_passwords_per_user=limits.wrong_passwords_per_user,
        wrong_passwords_per_address=limits.wrong_passwords_per_address,
        refused_numbers=limits.refused_numbers,
        guess_ban=limits.guess_ban,
        keep=node.config.sip.max_expires + KEPT,
    )

    def in_dialog(request: Request) -> bool:
        return node.proxy.is_in_dialog(request)

    def aor_of(uri: SipUri) -> str | None:
        return node.core.canonical_aor(uri)

    def load(calls: bool) -> float:
        # counted now: between two samples of the workload a flood could take all that is left
        if calls:
            return len(node.calls) / limits.calls
        return len(node.transactions) / limits.transactions

    def is_pending(key: ServerKey) -> bool:
        return node.transactions.is_pending(key)

    return Limiting(
        seconds,
        settings,
        limits.trusted,
        lambda: (host for host, _ in node.core.addresses.values()),
        in_dialog,
        aor_of,
        # without passwords nobody can be told from a stranger
        StrangerSettings(
            share=limits.strangers if node.config.auth.required else HARD,
            unanswered=limits.unanswered_requests_per_address,
            unanswered_in_all=limits.unanswered_of_strangers if node.config.auth.required else 0,
        ),
        load,
        is_pending,
    )


def media_shares(limits: LimitsOptions) -> dict[str, float]:
    """What one holder may have of the relay's ports, by kind; one without a limit is left out."""
    shares = {"user": limits.media_ports_per_user, "address": limits.media_ports_per_address}
    return {kind: share for kind, share in shares.items() if share}
