"""The numbers of one node for C{/metrics}."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from voipcluster.balance.state import NodeState
from voipcluster.gateway.allowance import KINDS
from voipcluster.services.gateway.allowances import GATEWAY, USER
from voipcluster.services.media.listening import ONE_WAY, READ, SILENT, SKIPPED, UNREADABLE
from voipcluster.services.node.directory import numbers_of
from voipcluster.web.metrics import Numbers

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts


REASONS = (
    "banned", "user", "password", "unanswered calls", "unanswered requests", "strangers", "within dialogs", "registrations",
    "backlog", "unread", "surplus", "media ports",
)  # of L{Limiting.refused}  # fmt: skip


def _of_gateways(node: NodeParts) -> Numbers:
    """Of each gateway; nothing at all where there are none."""
    states = {
        one.name: state for one in node.gateways if (state := node.gateways.state(one.name)) is not None
    }
    refused: Counter[str] = Counter()
    for (_, kind), count in node.incoming.refused.items():
        refused[kind] += count
    return {
        "voipcluster_gateway_up": {name: float(s.enabled and s.up) for name, s in states.items()},
        "voipcluster_gateway_channels": {name: s.channels for name, s in states.items()},
        "voipcluster_gateway_channels_limit": {name: s.most for name, s in states.items() if s.most},
        "voipcluster_gateway_seizures_total": {name: s.seizures for name, s in states.items()},
        "voipcluster_gateway_answers_total": {name: s.answers for name, s in states.items()},
        "voipcluster_gateway_refused_total": dict(refused),
    }


def numbers(node: NodeParts) -> Numbers:
    """Metric to value, under the names of L{voipcluster.web.metrics.CATALOGUE}."""
    now, own = node.core.seconds(), node.workload.own()
    others = list(node.membership)
    media, transport = node.media.statistics(), node.transport.statistics()
    limiting, listening = node.limiting, node.media.listening
    transactions, placing = node.transactions, node.placing
    answered: Counter[str] = Counter()
    for (_, status), count in transactions.answered.items():
        answered[str(status)] += count
    handed_over, redirected = placing.total_handed_over, sum(placing.redirected.values())
    load = own.workload
    return {
        "voipcluster_workload": {n.name: n.value for n in others if n.state is not NodeState.UNKNOWN}
        | {node.core.node: load.value},
        "voipcluster_workload_component": {
            name: load.component(name)
            for name in ("cpu", "lag", "calls", "transactions", "packets", "memory")
        },
        "voipcluster_node_up": {n.name: float(n.state is not NodeState.UNKNOWN) for n in others}
        | {node.core.node: 1.0},
        "voipcluster_report_age_seconds": {n.name: n.age(now) for n in others if n.heard is not None},
        "voipcluster_calls": len(node.calls),
        "voipcluster_calls_total": node.calls.started,
        "voipcluster_registrations": len(node.registrar.location),
        "voipcluster_transactions": {
            "server": len(transactions.servers),
            "client": len(transactions.clients),
        },
        "voipcluster_timers": node.wheel.running,
        "voipcluster_requests_total": dict(transactions.received),
        "voipcluster_responses_total": dict(answered),
        "voipcluster_placements_total": {
            "serve": placing.served,
            "hand-over": handed_over,
            "redirect": redirected,
            "refuse": placing.refused,
        },
        "voipcluster_handed_over_total": dict(placing.handed_over),
        "voipcluster_authentications_total": dict(node.access.outcomes),
        **_of_gateways(node),
        "voipcluster_media_streams": media.sessions,
        "voipcluster_media_ports_free": media.ports_free,
        "voipcluster_media_packets_total": {
            "relayed": media.total_packets - media.kernel_packets,
            "relayed in kernel": media.kernel_packets,
        },
        "voipcluster_media_path": {
            path: float(path == media.path) for path in ("kernel", "userspace", "off")
        },
        "voipcluster_media_path_info": {media.reason or "as configured": 1.0},
        "voipcluster_media_bytes_total": media.total_octets,
        "voipcluster_call_mos": listening.opinions,
        "voipcluster_rtcp_round_trip_seconds": listening.round_trips,
        "voipcluster_rtcp_jitter_seconds": listening.jitters,
        "voipcluster_rtcp_lost_ratio": listening.losses,
        "voipcluster_rtcp_packets_total": {
            result: listening.packets[result] for result in (READ, UNREADABLE, SKIPPED)
        },
        "voipcluster_media_trouble_total": {kind: listening.troubles[kind] for kind in (ONE_WAY, SILENT)},
        "voipcluster_connections": {
            name: transport.get(f"connections_{name}", 0) for name in ("tcp", "tls", "ws", "wss")
        },
        "voipcluster_messages_dropped_total": {
            "malformed": transactions.malformed,
            "stray response": transactions.stray_responses,
            "not read": transport["udp_lost"],
        },
        "voipcluster_refused_total": {
            "transactions": transactions.too_many,
            "connections": transport["connections_refused"],
            "connections made room": transport["connections_evicted"],
            "connections banned": transport["connections_shunned"],
            "overload": node.overload.refused,
            "held back": 0 if node.core.downstreams is None else node.core.downstreams.held_back,
            **{reason: limiting.refused[reason] for reason in REASONS},
        },
        "voipcluster_allowance_refused_total": {
            f"{whose}: {kind}": node.allowances.refused[whose, kind]
            for whose in (USER, GATEWAY)
            for kind in KINDS
        },
        "voipcluster_bans": sum(1 for _ in limiting.bans()),
        "voipcluster_bans_total": {
            kind: limiting.bans_begun[kind] for kind in ("address", "user", "password")
        },
        "voipcluster_sources": limiting.remembered,
        "voipcluster_dns_questions_total": dict(node.resolver.results),
        "voipcluster_dns_cache_hits_total": node.resolver.cache_hits,
        "voipcluster_dns_outstanding": node.resolver.under_way,
        "voipcluster_dns_unresolved_total": node.resolving.unresolved,
        "voipcluster_server_failures_total": dict(node.resolving.failures),
        "voipcluster_dead_hops": node.resolving.dead_hops,
        "voipcluster_link_dropped_total": {"old report": node.cluster_side.reports_dropped},
        "voipcluster_queueing_delay_seconds": own.delay,
        "voipcluster_arrival_rate": own.arrival_rate,
        "voipcluster_capacity": own.capacity,
        "voipcluster_cpu_quota": own.quota,
        "voipcluster_cpu_granted": own.granted,
        "voipcluster_refusal_rate": own.refusal_rate,
        "voipcluster_overload": float(node.overload.active),
        "voipcluster_reactor_delay_seconds": node.wheel.lateness,
        "voipcluster_web_logins_total": {
            result: node.gate.logins[result] for result in ("accepted", "wrong", "too many")
        },
        "voipcluster_web_refused_total": {
            reason: node.gate.refused[reason] for reason in ("cross-site", "host", "no session")
        },
        **node.keeping.numbers(),
        **numbers_of(node.directory),
        "voipcluster_hep_packets_total": {} if node.hep is None else node.hep.numbers(),
    }
