"""The attacks on the relay once more, where the kernel relays what both sides have been latched for."""

from __future__ import annotations

from tests.conformance import test_media_attacks, test_media_targets
from tests.conformance.network_case import KERNEL, KERNEL6


class KernelAttackTests(test_media_attacks.AttackTests):
    node_host = KERNEL
    relay = "kernel"


class Ipv6KernelAttackTests(test_media_attacks.AttackTests):
    node_host = KERNEL6
    relay = "kernel"


class KernelTargetTests(test_media_targets.TargetTests):
    node_host = KERNEL
    relay = "kernel"
