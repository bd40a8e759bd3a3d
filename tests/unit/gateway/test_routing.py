"""Routes: longest match, priority, least cost, weight; and who is left out."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.rates import Rate, RateTable
from voipcluster.gateway.routing import Route, Routes, overlapping, weighted

PREFIXES = st.text("+49", max_size=4)
ROUTES = st.lists(
    st.builds(Route, PREFIXES, st.sampled_from("abcd"), st.integers(1, 2), st.integers(0, 3), st.booleans()),
    max_size=8,
)


def names(routes: Routes, number: str, seed: int = 1) -> str:
    return "".join(candidate.route.gateway for candidate in routes.candidates(number, Random(seed).random))


class OrderTests(SynchronousTestCase):
    def test_longest_match(self) -> None:
        """The longest prefix first, the shorter ones behind it; each gateway once."""
        routes = Routes(
            (Route("", "x"), Route("+49", "a"), Route("+4930", "b"), Route("+493", "a"), Route("+1", "c"))
        )
        self.assertEqual(names(routes, "+493012"), "bax")
        self.assertEqual(names(routes, "+4940"), "ax")
        self.assertEqual(names(routes, "+33"), "x")
        self.assertEqual(names(routes, "+4"), "x")
        self.assertEqual(names(Routes(), "+49"), "")

    def test_stop(self) -> None:
        """Behind a route that says so no shorter prefix is tried."""
        routes = Routes((Route("", "x"), Route("+49", "a"), Route("+49900", "b", stop=True)))
        self.assertEqual(names(routes, "+49900123"), "b")
        self.assertEqual(names(routes, "+49800123"), "ax")

    def test_priority_before_cost(self) -> None:
        """Of one prefix the lowest priority comes first, then the least price, then who has none."""
        rates = RateTable.of(
            [Rate("+49", "a", 3.0), Rate("+4930", "b", 2.0), Rate("", "b", 9.0), Rate("+49", "c", 1.0)]
        )
        routes = Routes(
            (Route("+49", "a"), Route("+49", "b"), Route("+49", "c", 2), Route("+49", "d")), rates
        )
        self.assertEqual(names(routes, "+4930"), "badc")
        self.assertEqual(names(routes, "+4940"), "abdc")
        self.assertEqual(
            [c.price for c in routes.candidates("+4930", Random(1).random)], [2.0, 3.0, None, 1.0]
        )

    def test_weights(self) -> None:
        """Of those alike each is first as often as its weight says; one without weight only behind the others."""
        routes = Routes((Route("", "a", weight=1), Route("", "b", weight=3), Route("", "c", weight=0)))
        rand = Random(7).random
        orders = [routes.candidates("+1", rand) for _ in range(4000)]
        first = Counter(order[0].route.gateway for order in orders)
        self.assertLess(abs(first["b"] / 4000 - 0.75), 0.03)
        self.assertEqual(first["c"], 0)
        self.assertEqual({order[-1].route.gateway for order in orders}, {"c"})

    def test_weightless(self) -> None:
        """Where nobody has a weight all are alike."""
        rand = Random(3).random
        first = Counter(
            weighted([Route("", n, weight=0) for n in "ab"], rand)[0].gateway for _ in range(1000)
        )
        self.assertLess(abs(first["a"] - 500), 80)

    def test_refused(self) -> None:
        """Who is not asked now stays in the list, with the reason."""
        routes = Routes((Route("+49", "a"), Route("+49", "b", 2)))
        found = routes.candidates(
            "+49", Random(1).random, lambda route: "full" if route.gateway == "a" else ""
        )
        self.assertEqual([(c.route.gateway, c.refused) for c in found], [("a", "full"), ("b", "")])

    @given(ROUTES, st.text("+49", max_size=6), st.randoms(use_true_random=False))
    def test_any_routes(self, found: list[Route], number: str, random: Random) -> None:
        """Each gateway with a matching route is a candidate once, in an order that no rule contradicts."""
        routes = Routes(tuple(found))
        candidates = [candidate.route for candidate in routes.candidates(number, random.random)]
        self.assertEqual(len({route.gateway for route in candidates}), len(candidates))
        for route in candidates:
            self.assertTrue(number.startswith(route.prefix))
        for one, other in pairwise(candidates):
            self.assertLessEqual((-len(one.prefix), one.priority), (-len(other.prefix), other.priority))
        reach = max((len(r.prefix) for r in found if r.stop and number.startswith(r.prefix)), default=0)
        expected = {r.gateway for r in found if number.startswith(r.prefix) and len(r.prefix) >= reach}
        self.assertEqual({route.gateway for route in candidates}, expected)


class OverlapTests(SynchronousTestCase):
    def test_twice(self) -> None:
        """The same prefix to the same gateway is found, with the first one; others are not."""
        self.assertEqual(
            overlapping([("+49", "a"), ("+49", "b"), ("+4", "a"), ("+49", "a"), ("+49", "a")]),
            [(3, 0), (4, 0)],
        )
