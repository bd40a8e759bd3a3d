"""What of a node comes into the way of calls with the first route, and what stays when the last one goes, in virtual time."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.world import World
from voipcluster.config import Config, NumbersOptions
from voipcluster.gateway.routing import Route
from voipcluster.services.node.dialling import dialling_of

WITHOUT = dialling_of(Config(numbers=NumbersOptions(country="49", emergency=("110",))))
ROUTES = dialling_of(
    Config(numbers=NumbersOptions(country="49", emergency=("110",)), routes=(Route("", "carrier"),))
)


class NumberSideTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World("a", seed=3)
        self.world.phones(callers=1, callees=1, at="a")
        self.node = self.world.nodes["a"].service
        self.side = self.node.number_side

    def test_nothing_is_in_the_way(self) -> None:
        """A node without routes and gateways has nothing to ask for a call, whatever numbers are for help."""
        self.side.use(WITHOUT)
        self.assertIsNone(self.node.serving.locating.outgoing)
        self.assertIsNone(self.node.proxy.numbers)
        self.assertIsNone(self.node.overload.for_help)
        self.assertFalse(self.side.counted)

    def test_the_first_route(self) -> None:
        """Numbers are looked up, and calls for help known to placing, overload control and what next hops have asked for."""
        self.side.use(ROUTES)
        self.assertIs(self.node.proxy.numbers, self.node.routing)
        self.assertIsNotNone(self.node.serving.locating.outgoing)
        assert self.node.core.downstreams is not None
        for pattern in (self.node.overload.for_help, self.node.core.downstreams.for_help):
            assert pattern is not None
            self.assertIsNotNone(pattern.match(b"INVITE sip:110@example.com SIP/2.0"))
            self.assertIsNone(pattern.match(b"INVITE sip:111@example.com SIP/2.0"))
        self.assertTrue(self.node.placing.for_help("sip:110@example.com"))

    def test_the_last_route_goes(self) -> None:
        """Nothing is looked up any more; calls that have begun through a gateway are counted to their end."""
        self.side.use(ROUTES)
        self.side.use(evolve(ROUTES, routes=WITHOUT.routes))
        self.assertIsNone(self.node.proxy.numbers)
        self.assertFalse(self.node.placing.for_help("sip:110@example.com"))
        self.assertTrue(self.side.counted)

    def test_a_call_from_before(self) -> None:
        """A call of the process before this one is counted, too, though no route is left."""
        attempt = self.world.call(self.world.callers[0], self.world.callees[0], 30.0)
        self.world.until(lambda: attempt.answered, "the call is up")
        [call] = self.node.calls
        adopted: list[object] = []
        self.side.channels.adopt = adopted.append
        self.node.calls.adopted(call)
        self.assertEqual(adopted, [call])
        self.assertTrue(self.side.counted)
