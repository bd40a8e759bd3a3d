"""What the parts of a node take from its configuration, in their own words: at the start, and when the file is read again."""

from __future__ import annotations

from voipcluster.balance.decision import Gates
from voipcluster.balance.state import Levels
from voipcluster.config import Config
from voipcluster.net.resolver import DnsLimits
from voipcluster.net.stream import StreamLimits
from voipcluster.services.workload import Limits
from voipcluster.sip.limits import LimitSettings
from voipcluster.sip.registration import Settings
from voipcluster.sip.session_timer import SessionTimer
from voipcluster.sip.strangers import HARD, StrangerSettings

KEPT = 60.0  # seconds beyond the longest registration for which a proof of the password counts


def stream_limits(config: Config) -> StreamLimits:
    limits = config.limits
    return StreamLimits(
        idle=config.sip.idle_timeout,
        max_body=limits.message_size,
        connections=limits.connections,
        per_source=limits.connections_per_address,
    )


def workload_limits(config: Config) -> Limits:
    limits = config.limits
    return Limits(
        calls=limits.calls,
        transactions=limits.transactions,
        packets_per_second=limits.packets_per_second,
        memory=limits.memory,
    )


def levels(config: Config) -> Levels:
    return Levels(config.cluster.threshold, config.cluster.hard_limit)


def gates(config: Config) -> Gates:
    cluster = config.cluster
    return Gates(
        threshold=cluster.threshold,
        hard_limit=cluster.hard_limit,
        step=cluster.step,
        hop_budget=cluster.hop_budget,
    )


def registration(config: Config) -> Settings:
    sip = config.sip
    return Settings(
        min_expires=sip.min_expires,
        max_expires=sip.max_expires,
        default_expires=sip.default_expires,
        bindings_per_aor=config.limits.registrations_per_user,
        require_path_support=sip.require_path_support,
        outbound=sip.outbound,
        flow_timer=sip.flow_timer,
        gruu=sip.gruu,
    )


def session_timer(config: Config) -> SessionTimer:
    return SessionTimer(config.sip.session_expires, config.sip.min_session_expires)


def dns_limits(config: Config) -> DnsLimits:
    dns = config.dns
    return DnsLimits(dns.timeout, dns.queries, dns.cache, dns.max_ttl, dns.negative_ttl)


def request_limits(config: Config) -> LimitSettings:
    limits = config.limits
    return LimitSettings(
        requests_per_address=limits.requests_per_address,
        requests_per_user=limits.requests_per_user,
        ban=limits.ban,
        wrong_passwords_per_user=limits.wrong_passwords_per_user,
        wrong_passwords_per_address=limits.wrong_passwords_per_address,
        refused_numbers=limits.refused_numbers,
        guess_ban=limits.guess_ban,
        keep=config.sip.max_expires + KEPT,
    )


def stranger_settings(config: Config) -> StrangerSettings:
    """Without passwords nobody can be told from a stranger."""
    limits, known = config.limits, config.auth.required
    return StrangerSettings(
        share=limits.strangers if known else HARD,
        unanswered=limits.unanswered_requests_per_address,
        unanswered_in_all=limits.unanswered_of_strangers if known else 0,
    )
