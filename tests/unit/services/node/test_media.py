"""The relay of a node as its configuration has it, in virtual time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.world import World


class MediaTests(SynchronousTestCase):
    def test_whose_word_counts(self) -> None:
        """Media elsewhere than the signalling: of gateways and trusted hosts, and of all where the configuration says so."""
        for options, allowed in (
            ({}, False),
            ({"media": {"third_hosts": True}}, True),
            ({"limits": {"trusted": ("198.51.100.0/24",)}}, True),
        ):
            node = World("a", options=options).nodes["a"].service
            self.assertEqual(node.may_name_other_hosts("198.51.100.9"), allowed, options)

    def test_relay(self) -> None:
        """A call has its streams at the relay, unless that is off."""
        for relay, streams in (("auto", 1), ("off", 0)):
            world = World("a", options={"media": {"relay": relay}})
            world.phones(callers=1, callees=1, at="a")
            attempt = world.call(world.callers[0], world.callees[0], 30.0)
            world.until(lambda attempt=attempt: attempt.answered, "the call is up")
            node = world.nodes["a"].service
            self.assertEqual(node.media.statistics().sessions, streams, relay)
