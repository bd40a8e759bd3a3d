"""Reports that ride on what nodes hand to each other."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.decision import Own
from voipcluster.balance.rider import Rider
from voipcluster.balance.workload import Workload
from voipcluster.services.sip.riding import REMEMBERED, Riding

KEY = bytes(range(32))


class RidingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.heard: list[tuple[str, Rider]] = []
        self.own, self.reports = Own(Workload(), delay=0.5), 3
        self.sender = self.riding("b")
        self.receiver = self.riding("a")

    def riding(self, name: str) -> Riding:
        return Riding(
            KEY,
            name,
            7,
            lambda: self.own,
            lambda: self.reports,
            lambda node, rider: self.heard.append((node, rider)),
        )

    def test_heard(self) -> None:
        """What one node says the other hears."""
        self.receiver.heard("b", self.sender.text())
        ((name, rider),) = self.heard
        self.assertEqual((name, rider.epoch, rider.seq, rider.delay), ("b", 7, 1, 0.5))

    def test_made_once(self) -> None:
        """While nothing changed the text is the same, and is read once; a change makes another one."""
        text = self.sender.text()
        self.assertIs(self.sender.text(), text)
        self.receiver.heard("b", text)
        self.receiver.heard("b", text)
        self.own = Own(Workload(), delay=0.25)
        self.receiver.heard("b", self.sender.text())
        self.reports += 1
        self.receiver.heard("b", self.sender.text())
        self.assertEqual([(rider.after, rider.seq) for _, rider in self.heard], [(3, 1), (3, 2), (4, 3)])

    def test_nothing_or_wrong(self) -> None:
        """A node that says nothing, and a text that no node made, change nothing; the latter is counted."""
        self.receiver.heard("b", None)
        self.assertEqual(self.receiver.refused, 0)
        for text in ("", "x" * 70, self.sender.text()[:-2], "\xff"):
            self.receiver.heard("b", text)
        self.receiver.heard("c", self.sender.text())
        self.assertEqual((self.heard, self.receiver.refused), ([], 5))

    def test_bounded(self) -> None:
        """What is remembered is bounded, however many names there are."""
        for number in range(REMEMBERED + 5):
            name = f"n{number}"
            self.receiver.heard(name, self.riding(name).text())
        self.assertEqual(len(self.heard), REMEMBERED + 5)
        self.assertLessEqual(len(self.receiver._latest), REMEMBERED)
