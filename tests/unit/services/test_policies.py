"""Policies of third parties."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.policy import IBalancingPolicy, LeastLoaded
from voipcluster.services import policies


class PluginPolicyTests(SynchronousTestCase):
    def test_found_by_name(self) -> None:
        """What twisted.plugin finds for the interface is known by its name."""
        mine = LeastLoaded(name="mine")
        self.patch(policies, "getPlugins", lambda interface: [mine] if interface is IBalancingPolicy else [])
        self.assertEqual(policies.plugin_policies(), {"mine": mine})
        self.assertEqual(policies.policy_names(), {"mine"})

    def test_built_in_ones_are_no_plugins(self) -> None:
        """The package itself installs none, so that a name is never there twice."""
        self.assertEqual(
            policies.policy_names() & {"planned", "sequence", "least-loaded", "two-choices"}, set()
        )
