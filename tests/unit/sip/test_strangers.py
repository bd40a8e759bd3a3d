"""How much of a node is left to strangers (S4 of the attacks that docs/security.md lists)."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.strangers import HARD, Strangers, StrangerSettings

HERE, THERE = "192.0.2.66", "192.0.2.67"
SETTINGS = StrangerSettings(share=0.75, unanswered=3)


class StrangersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pending: set[int] = set()
        self.strangers = Strangers[int](SETTINGS, self.pending.__contains__)

    def ask(self, source: str, key: int) -> bool:
        """One request, which waits for its answer when it is served."""
        served = self.strangers.may_wait(source)
        if served:
            self.pending.add(key)
            self.strangers.waits(source, key)
        return served

    def test_share(self) -> None:
        """Strangers are served below their share of the workload, and not from there on."""
        self.assertTrue(self.strangers.has_room(0.74))
        self.assertFalse(self.strangers.has_room(0.75))
        self.assertFalse(self.strangers.has_room(0.9))

    def test_no_share(self) -> None:
        """With a share of 1 only what refuses everybody refuses them."""
        alike = Strangers[int](evolve(SETTINGS, share=HARD), self.pending.__contains__)
        self.assertTrue(alike.has_room(1.5))

    def test_unanswered(self) -> None:
        """One address waits for so many answers at once; another one is not concerned."""
        self.assertEqual([self.ask(HERE, key) for key in range(5)], [True, True, True, False, False])
        self.assertTrue(self.ask(THERE, 9))

    def test_answered(self) -> None:
        """What was answered makes room, in whatever order the answers come."""
        for key in range(3):
            self.ask(HERE, key)
        self.pending.remove(1)
        self.assertEqual([self.ask(HERE, key) for key in (3, 4)], [True, False])

    def test_any_number(self) -> None:
        """0 is any number, and then nothing is kept."""
        free = Strangers[int](evolve(SETTINGS, unanswered=0), self.pending.__contains__)
        for key in range(10):
            self.assertTrue(free.may_wait(HERE))
            self.pending.add(key)
            free.waits(HERE, key)
        self.assertEqual(len(free), 0)

    def test_sweep(self) -> None:
        """Addresses that wait for nothing are forgotten, the others keep their count."""
        for key in range(3):
            self.ask(HERE, key)
        self.ask(THERE, 9)
        self.pending.remove(9)
        self.strangers.sweep()
        self.assertEqual(len(self.strangers), 1)
        self.assertFalse(self.ask(HERE, 3))

    @given(st.lists(st.tuples(st.sampled_from([HERE, THERE]), st.booleans()), max_size=60))
    def test_never_more(self, steps: list[tuple[str, bool]]) -> None:
        """Whatever is asked and answered, in whatever order: served exactly while fewer than allowed wait."""
        pending: dict[int, str] = {}
        strangers = Strangers[int](SETTINGS, pending.__contains__)
        for key, (source, ask) in enumerate(steps):
            waiting = [known for known, of in pending.items() if of == source]
            if ask:
                served = strangers.may_wait(source)
                self.assertEqual(served, len(waiting) < SETTINGS.unanswered)
                if served:
                    pending[key] = source
                    strangers.waits(source, key)
            elif waiting:
                del pending[waiting[0]]
