"""Calls to numbers as the configuration has them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import Config, NumbersOptions
from voipcluster.gateway.routing import Route
from voipcluster.services.node.dialling import dialling_of


class DiallingTests(SynchronousTestCase):
    def test_options(self) -> None:
        """Each option is where it is used; without routes there is nothing to do."""
        numbers = NumbersOptions(country="49", emergency=("110",), enum="e164.arpa", also_next=("403", "480"))
        dialling = dialling_of(Config(numbers=numbers, routes=(Route("", "a"),)))
        self.assertEqual((dialling.plan.country, dialling.plan.emergency), ("49", ("110",)))
        self.assertEqual((dialling.enum, dialling.enum_wait, dialling.next_after), ("e164.arpa", 2.0, 4.0))
        self.assertEqual((dialling.also_next, dialling.routes.routes), ({403, 480}, (Route("", "a"),)))
        self.assertEqual(dialling_of(Config()).routes.routes, ())
