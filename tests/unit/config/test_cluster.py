"""C{[cluster]} and C{[node]}."""

from __future__ import annotations

from tests.unit.config.section_case import SectionCase


class ClusterTests(SectionCase):
    def test_ranges(self) -> None:
        """Workloads are above 0 and at most 1, a period lasts."""
        self.assert_range("cluster.threshold", "0.01", "0.95", "0", "1.01", "nan")
        self.assert_range("cluster.hard_limit", "0.75", "1", "0", "1.01")
        self.assert_range("cluster.period", "0.1", "3600", "0", "-1", "3601")
        self.assert_range("cluster.hop_budget", "0", "16", "-1", "17", "1.5")

    def test_domains(self) -> None:
        """At least one, in lower case."""
        self.assertEqual(self.taken('cluster.domain=["A.Example."]').cluster.domain, ("a.example",))
        self.assertIn("at least 1", self.refused("cluster.domain=[]"))

    def test_threshold_above_the_hard_limit(self) -> None:
        text = self.refused("cluster.threshold=0.9", "cluster.hard_limit=0.8")
        self.assertIn("cluster.threshold", text)


class NodeTests(SectionCase):
    def test_a_node_has_an_address_of_its_own(self) -> None:
        for wrong in ("0.0.0.0", "224.0.0.1", "host.example", "fe80::1%eth0"):
            self.assertIn("node.address", self.refused(f"node.address={wrong}"))
        self.assertEqual(self.taken("node.address=::1").node.address, "::1")

    def test_a_wrong_join_token_is_not_shown(self) -> None:
        text = self.refused("node.join=secret-token-without-address")
        self.assertNotIn("secret", text)
        self.assertIn("voipctl join-token", text)
