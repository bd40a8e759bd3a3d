"""The attacks on the relay once more, where the kernel relays what both sides have been latched for."""

from __future__ import annotations

from tests.conformance import test_media_attacks, test_media_ports, test_media_targets
from tests.conformance.network_case import KERNEL, KERNEL6, NetworkTestCase
from tests.conformance.test_media_ports import by_kernel


class KernelAttackTests(test_media_attacks.AttackTests):
    node_host = KERNEL
    relay = "kernel"


class Ipv6KernelAttackTests(test_media_attacks.AttackTests):
    node_host = KERNEL6
    relay = "kernel"


class KernelTargetTests(test_media_targets.TargetTests):
    node_host = KERNEL
    relay = "kernel"


class Ipv6KernelTargetTests(test_media_targets.Ipv6TargetTests):
    node_host = KERNEL6
    relay = "kernel"


class KernelShareTests(test_media_ports.ShareTests):
    skip = NetworkTestCase.skip
    options = by_kernel(test_media_ports.ShareTests.options)


class KernelUserShareTests(test_media_ports.UserShareTests):
    skip = NetworkTestCase.skip
    options = by_kernel(test_media_ports.UserShareTests.options)


class KernelHalfOpenTests(test_media_ports.HalfOpenTests):
    skip = NetworkTestCase.skip
    options = by_kernel(test_media_ports.HalfOpenTests.options)
