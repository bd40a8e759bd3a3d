"""The rules, as far as text can be judged; what they do is in tests/integration/test_nft.py."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.net.nft.ruleset import MAPS, commands


class RulesetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines = commands("voipcluster_x_30000", 0x52030000, 100).splitlines()

    def test_only_our_table(self) -> None:
        """Every command is about the one table, and none makes it, since it may have an owner."""
        for line in self.lines:
            self.assertRegex(line, r"^add (map|chain|rule) inet voipcluster_x_30000 ")

    def test_maps(self) -> None:
        """All maps are there, bounded; only streams end by themselves."""
        maps = [line.split()[4] for line in self.lines if line.startswith("add map")]
        self.assertEqual(tuple(sorted(maps)), tuple(sorted(MAPS)))
        for line in self.lines:
            if line.startswith("add map"):
                self.assertIn("size 100;", line)
                self.assertEqual("flags timeout" in line, " stream" in line)

    def test_marks(self) -> None:
        """Only packets with a mark of this table are given the relay's address."""
        self.assertEqual(
            sum("meta mark & 0xffff0000 == 0x52030000 goto as_relay" in line for line in self.lines), 2
        )

    def test_what_is_not_rtp_comes_first(self) -> None:
        """Short packets, other protocols, RTCP and fragments are let through to the sockets before any look-up."""
        rules = [line.partition(" to_peer ")[2] for line in self.lines if line.startswith("add rule")]
        rules = [rule for rule in rules if rule]
        looks = [at for at, rule in enumerate(rules) if "@stream4" in rule]
        self.assertEqual(looks, [4, 5])
        self.assertTrue(all(rule.endswith(" accept") for rule in rules[:4]))

    def test_once_over_loopback(self) -> None:
        """What comes over the loopback interface was looked up when it went out, and is not looked up again."""
        rules = [line.partition(" pre ")[2] for line in self.lines if " pre " in line and "add rule" in line]
        self.assertEqual(rules, ["iif lo accept", "meta l4proto udp goto to_peer"])
