"""Overload of one node on virtual time, with the real controller: the goals of docs/balancing.md."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.overload_model import Load, Model
from voipcluster.balance.throttle import LOSS, RATE

WARM, SETTLED, END = 3.0, 9.0, 15  # seconds: before it comes, until the figures are taken, and then


def overloaded(times: float, until: float = END, capacity: float = 1000.0, **rest: object) -> Model:
    """A node that is used to 0.8 of its capacity and then is offered so many times it."""

    def rate(now: float) -> float:
        return (0.8 if now < WARM else times) * capacity

    return Model(Load(rate=rate, until=until, **rest)).run()


class GoodputTests(SynchronousTestCase):
    def test_upstreams_that_hold_back_a_share(self) -> None:
        """RFC 7339: at least 0.95 of the capacity at each load."""
        for times in (1.1, 2.0, 5.0, 10.0):
            model = overloaded(times, algorithms=(LOSS,))
            self.assertGreaterEqual(model.goodput(SETTLED, END), 0.95, times)

    def test_upstreams_that_send_at_a_rate(self) -> None:
        """RFC 7415."""
        for times in (1.1, 2.0, 5.0, 10.0):
            model = overloaded(times, algorithms=(LOSS, RATE))
            self.assertGreaterEqual(model.goodput(SETTLED, END), 0.95, times)

    def test_nobody_takes_part(self) -> None:
        """At least 0.97 of what the cost of refusing leaves: (1 - k*r) / (1 - r)."""
        for times, refusal in ((2.0, 0.05), (5.0, 0.02)):
            model = overloaded(times, cooperate=False, refusal=refusal)
            bound = (1 - times * refusal) / (1 - refusal)
            self.assertGreaterEqual(model.goodput(SETTLED, END), 0.97 * bound, times)

    def test_without_control(self) -> None:
        """What this is for: the same load, and nobody is refused."""
        model = overloaded(10.0, controlled=False, cooperate=False)
        self.assertLess(model.goodput(SETTLED, END), 0.5)


class SteadyTests(SynchronousTestCase):
    def test_no_false_refusals(self) -> None:
        """At 0.90 steady Poisson nobody is refused or held back."""
        for algorithms in ((LOSS,), (LOSS, RATE)):
            model = Model(Load(rate=lambda now: 900.0, until=60.0, algorithms=algorithms)).run()
            self.assertEqual(model.total("refused", 0, 60) + model.total("held_back", 0, 60), 0)

    def test_on_a_share_of_a_processor(self) -> None:
        """The same where only a twentieth of it is to be had, and a call takes 4 ms."""
        load = Load(rate=lambda now: 225.0, until=120.0, mean=0.0002, share=0.05)
        model = Model(load).run()
        lost = model.total("refused", 0, 120) + model.total("held_back", 0, 120)
        self.assertLessEqual(lost, 0.001 * model.total("offered", 0, 120))  # long queues by chance


class RecoveryTests(SynchronousTestCase):
    def test_behind_a_minute_of_five_times_the_load(self) -> None:
        """From the first second on 0.99 of what is offered is taken, and control ends: no metastable state."""

        def rate(now: float) -> float:
            return 5000.0 if WARM <= now < 65.0 else 800.0

        model = Model(Load(rate=rate, until=80.0, algorithms=(LOSS,))).run()
        lost = model.total("refused", 66, 80) + model.total("held_back", 66, 80) + model.total("lost", 66, 80)
        self.assertLessEqual(lost, 0.01 * model.total("offered", 66, 80))
        self.assertFalse(model.server.active)
        self.assertGreaterEqual(model.goodput(10, 65), 0.95)

    def test_from_a_full_queue(self) -> None:
        """A node that begins under ten times its load, with callers that nobody can tell anything, comes back as well."""

        def rate(now: float) -> float:
            return 10_000.0 if now < 3.0 else 800.0

        model = Model(Load(rate=rate, until=60.0, cooperate=False)).run()
        self.assertGreaterEqual(model.goodput(45, 60), 0.99 * model.total("offered", 45, 60) / 15_000)
        self.assertFalse(model.server.active)


class DeterminismTests(SynchronousTestCase):
    def test_the_same_seed(self) -> None:
        first, again, other = (overloaded(2.0, 8.0, seed=seed).digest for seed in (1, 1, 2))
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)
