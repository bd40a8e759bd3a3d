"""Balancing policies that third parties drop into C{twisted/plugins}; the built-in ones need no plugin."""

from __future__ import annotations

from twisted.plugin import getPlugins

from voipcluster.balance.decision import Gates
from voipcluster.balance.planned import Planned
from voipcluster.balance.policy import IBalancingPolicy, InSequence, LeastLoaded, TwoChoices
from voipcluster.config import Config
from voipcluster.errors import UsageError


def plugin_policies() -> dict[str, IBalancingPolicy]:
    """Name to policy; each provides C{IPlugin} and L{IBalancingPolicy}."""
    return {policy.name: policy for policy in getPlugins(IBalancingPolicy)}


def policy_names() -> frozenset[str]:
    """What C{cluster.policy} may be beside the built-in ones."""
    return frozenset(plugin_policies())


def policy_of(config: Config, plugins: dict[str, IBalancingPolicy]) -> IBalancingPolicy:
    """
    The policy that the configuration names.

    @raise UsageError: there is none of that name.
    """
    cluster = config.cluster
    built_in: tuple[IBalancingPolicy, ...] = (
        Planned(cluster.period, Gates().hand_over_cost),
        InSequence(cluster.sequence),
        LeastLoaded(),
        TwoChoices(),
    )
    known = {policy.name: policy for policy in built_in} | plugins
    if cluster.policy not in known:
        raise UsageError(f"cluster.policy: {cluster.policy!r} is none of {', '.join(sorted(known))}")
    return known[cluster.policy]
