"""The copy of our values at one other member."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import PeerError
from voipcluster.services.cluster.replica import BATCH, GATHER, Replica

Value = tuple[str, int]  # key and state


class Copies(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.all: list[list[Value]] = [[("a", 1)]]
        self.sent: list[tuple[str, object, Deferred[None]]] = []
        self.broken: list[str] = []
        self.replica: Replica[Value, list[Value]] = Replica(
            self.clock,
            lambda value: value[0],
            lambda: iter(self.all),
            lambda part: self._send("part", part),
            lambda values: self._send("changes", values),
            self.broken.append,
            lambda value, waited: (value[0], value[1] + int(waited)),
        )

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def _send(self, kind: str, what: object) -> Deferred[None]:
        sent: Deferred[None] = Deferred()
        self.sent.append((kind, what, sent))
        return sent

    def arrive(self) -> None:
        self.sent[-1][2].callback(None)

    def test_parts_go_one_at_a_time(self) -> None:
        """The next message goes when the one before was answered."""
        self.all = [[("a", 1)], [("b", 1)]]
        self.replica.link_up()
        self.assertEqual([one[:2] for one in self.sent], [("part", [("a", 1)])])
        self.arrive()
        self.arrive()
        self.assertEqual([one[:2] for one in self.sent], [("part", [("a", 1)]), ("part", [("b", 1)])])

    def test_changes_wait_for_the_copy(self) -> None:
        """What changes during the copy follows it, so that the copy cannot undo it."""
        self.all = [[("a", 1)], [("b", 1)]]
        self.replica.link_up()
        self.replica.change(("b", 2))
        self.clock.advance(0.5)
        self.assertEqual(len(self.sent), 1)
        self.arrive()
        self.arrive()
        self.assertEqual(self.sent[-1][:2], ("changes", (("b", 2),)))
        self.arrive()

    def test_what_waits_gets_older(self) -> None:
        """A value that says its age is as old as it is when it is sent, behind a long copy."""
        self.replica.link_up()
        self.replica.change(("b", 2))
        self.clock.advance(30)
        self.arrive()
        self.assertEqual(self.sent[-1][:2], ("changes", (("b", 32),)))
        self.arrive()

    def test_parts_are_made_when_they_are_sent(self) -> None:
        """A long copy is not of the time when the link came up."""
        made = []
        self.replica._snapshot = lambda: (made.append(n) or [(str(n), n)] for n in range(2))
        self.replica.link_up()
        self.assertEqual(made, [0])
        self.arrive()
        self.assertEqual(made, [0, 1])
        self.arrive()

    def test_changes_are_gathered_and_the_last_one_counts(self) -> None:
        """Changes within 20 ms are one message; of one key only the latest state is sent, in the order of changes."""
        self.replica.link_up()
        self.arrive()
        for value in (("a", 2), ("b", 1), ("a", 3)):
            self.replica.change(value)
        self.assertEqual(len(self.sent), 1)
        self.clock.advance(GATHER)
        self.assertEqual(self.sent[-1][:2], ("changes", (("b", 1), ("a", 3))))
        self.arrive()

    def test_batches_are_bounded(self) -> None:
        """More changes than a message holds go in several."""
        self.replica.link_up()
        self.arrive()
        for number in range(BATCH + 1):
            self.replica.change((str(number), 1))
        self.clock.advance(GATHER)
        self.arrive()
        self.arrive()
        self.assertEqual([len(one[1]) for one in self.sent[1:]], [BATCH, 1])

    def test_a_failure_breaks_the_link(self) -> None:
        """A message that did not arrive is not forgotten: the link is made anew, with a full copy."""
        self.replica.link_up()
        self.sent[-1][2].errback(PeerError("no answer"))
        self.assertEqual(self.broken, ["no answer"])
        self.replica.link_lost()
        self.replica.link_up()
        self.assertEqual(self.sent[-1][0], "part")

    def test_nothing_is_kept_while_down(self) -> None:
        """Changes while the member is away cost nothing, and answers of an earlier link do not count."""
        self.replica.change(("a", 2))
        self.replica.link_up()
        late = self.sent[-1][2]
        self.replica.change(("a", 3))
        self.replica.link_lost()
        self.replica.link_up()
        late.callback(None)
        self.assertEqual(len(self.sent), 2)
        self.arrive()
        self.assertEqual(len(self.sent), 2)
