"""
What a running node does for each option that it takes: each applies C{node.config} as it is now, and none may fail.

What could fail is tried before, see L{voipcluster.services.node.reloading}.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from voipcluster.services.cluster.agreement import agreement_of
from voipcluster.services.log import THRESHOLD
from voipcluster.services.node.dialling import dialling_of
from voipcluster.services.node.limits import media_shares
from voipcluster.services.node.overload import take_part
from voipcluster.services.node.page_access import gate_options
from voipcluster.services.node.settings import (
    dns_limits,
    gates,
    levels,
    registration,
    request_limits,
    session_timer,
    stranger_settings,
    stream_limits,
    workload_limits,
)

if TYPE_CHECKING:
    from voipcluster.services.node.service import NodeService


def _workload(node: NodeService) -> None:
    config = node.config
    node.workload.use(workload_limits(config), levels(config), config.cluster.step, config.cluster.period)


def _placement(node: NodeService) -> None:
    node.placement.use(node.policy_of(node.config), gates(node.config))
    node.placing.mode = node.config.cluster.mode


def _cluster(node: NodeService) -> None:
    """What the nodes agree on, and how often they report."""
    period = node.config.cluster.period
    node.membership.period = period
    node.cluster.use(period, agreement_of(node.config))
    node.beat()


def _sequence(node: NodeService) -> None:
    cluster = node.config.cluster
    node.cluster_side.check_sequence(cluster.sequence if cluster.policy == "sequence" else ())


def _limiting(node: NodeService) -> None:
    config = node.config
    node.limiting.use(request_limits(config), config.limits.trusted, stranger_settings(config))


def _calls(node: NodeService) -> None:
    limits = node.config.limits
    node.calls.allow(limits.unanswered_calls_per_user, limits.unanswered_calls_per_address)
    node.records.keep(limits.ended_calls)
    node.media.share(media_shares(limits))


def _registrar(node: NodeService) -> None:
    node.registrar.use(registration(node.config), node.config.limits.registrations)


def _streams(node: NodeService) -> None:
    node.transport.use(stream_limits(node.config))


def _authentication(node: NodeService) -> None:
    auth = node.config.auth
    node.authenticator.use(auth.algorithms, auth.nonce_lifetime, node.core.wall())
    node.claims.trust_source = auth.trust_source


def _sessions(node: NodeService) -> None:
    timer = session_timer(node.config)
    node.serving.session_timer = node.serving.within.session_timer = timer
    node.core.max_breadth = node.config.sip.max_breadth


def _overload(node: NodeService) -> None:
    take_part(node, node.overload, node.core.seconds, node.surroundings.random)
    node.number_side.use(node.routing.dialling)  # tells a new part what a call for help is


def _names(node: NodeService) -> None:
    dns = node.config.dns
    node.resolver.limits = dns_limits(node.config)
    node.resolving.penalties.use(dns.penalty, dns.max_penalty)
    node.resolving.next_after = dns.next_after


def _records(node: NodeService) -> None:
    node.keeping.use(node.config.records)


def _numbers(node: NodeService) -> None:
    node.number_side.use(dialling_of(node.config))


def _gateways(node: NodeService) -> None:
    node.merge_gateways()


def _allowance(node: NodeService) -> None:
    node.allowances.everybody = node.config.allowance.of_user


def _log(node: NodeService) -> None:
    THRESHOLD.set(node.config.log.level)


def _page(node: NodeService) -> None:
    node.gate.use(gate_options(node.config))


def _asked_each_time(node: NodeService) -> None:
    """Who needs it looks into the configuration."""


RETUNED: tuple[tuple[Callable[[NodeService], None], frozenset[str]], ...] = tuple(
    (apply, frozenset(names.split()))
    for apply, names in (
        (
            _workload,
            "cluster.threshold cluster.hard_limit cluster.step cluster.period limits.calls limits.transactions"
            " limits.packets_per_second limits.memory",
        ),
        (
            _placement,
            "cluster.policy cluster.sequence cluster.period cluster.threshold cluster.hard_limit cluster.step"
            " cluster.hop_budget cluster.mode",
        ),
        (
            _cluster,
            "cluster.threshold cluster.hard_limit cluster.mode cluster.policy cluster.sequence cluster.period"
            " cluster.hop_budget cluster.step auth.trust_source numbers routes",
        ),
        (_sequence, "cluster.policy cluster.sequence"),
        (
            _limiting,
            "limits.requests_per_address limits.requests_per_user limits.ban limits.wrong_passwords_per_user"
            " limits.wrong_passwords_per_address limits.refused_numbers limits.guess_ban limits.trusted limits.strangers"
            " limits.unanswered_requests_per_address limits.unanswered_of_strangers sip.max_expires",
        ),
        (
            _calls,
            "limits.unanswered_calls_per_user limits.unanswered_calls_per_address limits.ended_calls"
            " limits.media_ports_per_user limits.media_ports_per_address",
        ),
        (
            _registrar,
            "limits.registrations limits.registrations_per_user sip.min_expires sip.max_expires sip.default_expires"
            " sip.require_path_support sip.outbound sip.flow_timer sip.gruu",
        ),
        (_streams, "limits.connections limits.connections_per_address sip.idle_timeout"),
        (_authentication, "auth.algorithms auth.nonce_lifetime auth.trust_source"),
        (_sessions, "sip.session_expires sip.min_session_expires sip.max_breadth"),
        (_overload, "overload.feedback overload.offer"),
        (
            _names,
            "dns.timeout dns.queries dns.cache dns.max_ttl dns.negative_ttl dns.next_after dns.penalty dns.max_penalty",
        ),
        (_records, "records"),
        (_gateways, "gateway"),
        (_numbers, "numbers routes rates"),
        (_allowance, "allowance"),
        (_log, "log"),
        (_page, "web.read web.session web.hosts"),
        (_asked_each_time, "media.third_hosts overload.expires_jitter tls"),
    )
)
"""What applies which options; a section alone stands for all of its options."""


def retune(node: NodeService, changed: Collection[str]) -> None:
    """
    Let the parts use C{node.config}.

    @param changed: names as L{voipcluster.config.changes.Changes.live} has them.
    """
    kinds = {kind for name in changed for kind in (name, name.partition(".")[0].partition(" ")[0])}
    for apply, names in RETUNED:
        if names & kinds:
            apply(node)
