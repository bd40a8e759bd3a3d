"""Policies of third parties."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.policy import IBalancingPolicy, LeastLoaded
from voipcluster.config import Config
from voipcluster.config.cluster import ClusterOptions
from voipcluster.errors import UsageError
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


class PolicyOfTests(SynchronousTestCase):
    """The policy that a configuration names."""

    def named(self, name: str, plugins: dict[str, IBalancingPolicy] | None = None) -> IBalancingPolicy:
        return policies.policy_of(Config(cluster=ClusterOptions(policy=name)), plugins or {})

    def test_built_in(self) -> None:
        """Each built-in one is known by its name."""
        for name in ("planned", "sequence", "least-loaded", "two-choices"):
            self.assertEqual(self.named(name).name, name)

    def test_plugin(self) -> None:
        """One of a third party is taken, and goes before a built-in one of the same name."""
        mine = LeastLoaded(name="planned")
        self.assertIs(self.named("planned", {"planned": mine}), mine)

    def test_unknown(self) -> None:
        """The error names the key and what there is."""
        error = self.assertRaises(UsageError, self.named, "luck")
        self.assertEqual(
            str(error),
            "cluster.policy: 'luck' is none of least-loaded, planned, sequence, two-choices",
        )
