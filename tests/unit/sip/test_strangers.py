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
        """0 is any number."""
        free = Strangers[int](evolve(SETTINGS, unanswered=0), self.pending.__contains__)
        for key in range(10):
            self.assertTrue(free.may_wait(HERE))
            self.pending.add(key)
            free.waits(HERE, key)

    def test_in_all(self) -> None:
        """All strangers together wait for so many answers; an answer makes room when it is looked for, which is not each time."""
        strangers = Strangers[int](
            StrangerSettings(unanswered=0, unanswered_in_all=40), self.pending.__contains__
        )
        for key in range(40):
            self.assertTrue(strangers.may_all_wait())
            self.pending.add(key)
            strangers.waits(f"192.0.2.{key}", key)
        self.pending.clear()
        self.assertEqual([strangers.may_all_wait() for _ in range(3)], [False, True, True])

    def test_looked_at_seldom(self) -> None:
        """While nothing is answered, what waits is looked at once for a twentieth of it that is asked for."""
        looks = []

        def is_pending(key: int) -> bool:
            looks.append(key)
            return True

        strangers = Strangers[int](StrangerSettings(unanswered_in_all=100), is_pending)
        for key in range(100):
            strangers.waits("", key)
        self.assertEqual([strangers.may_all_wait() for _ in range(50)], [False] * 50)
        self.assertEqual(len(looks), 10 * 100)

    def test_any_number_in_all(self) -> None:
        """0 is any number."""
        strangers = Strangers[int](StrangerSettings(unanswered_in_all=0), lambda key: True)
        for key in range(2000):
            strangers.waits("", key)
        self.assertTrue(strangers.may_all_wait())

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
        strangers.sweep()
        self.assertEqual((strangers._in_all, len(strangers)), (len(pending), len(set(pending.values()))))
