"""Balancing policies that third parties drop into F{twisted/plugins}; the built-in ones need no plugin."""

from __future__ import annotations

from twisted.plugin import getPlugins

from voipcluster.balance.policy import IBalancingPolicy


def plugin_policies() -> dict[str, IBalancingPolicy]:
    """Name to policy; each provides C{IPlugin} and L{IBalancingPolicy}."""
    return {policy.name: policy for policy in getPlugins(IBalancingPolicy)}


def policy_names() -> frozenset[str]:
    """What C{cluster.policy} may be beside the built-in ones."""
    return frozenset(plugin_policies())
