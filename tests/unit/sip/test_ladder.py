"""Messages of several nodes as one ladder."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.ladder import Seen, Step, ladder, participants

ALICE, A, B, BOB = "192.0.2.10:5062", "192.0.2.1:5060", "192.0.2.2:5060", "192.0.2.20:5060"
NODES = {A: "a", B: "b"}


def seen(node: str, at: float, way: str, local: str, remote: str, mark: str, **more: Any) -> Seen:
    return Seen(
        node=node, at=at, sent=way == "->", transport="UDP", local=local, remote=remote, line=mark, cseq="1 INVITE",
        mark=mark, **more,
    )  # fmt: skip


def arrows(steps: list[Step]) -> list[tuple[str, str, str]]:
    return [(step.source, step.seen.mark, step.target) for step in steps]


class LadderTests(SynchronousTestCase):
    def call(self, skew: float = 0.0, way: float = 0.001) -> list[Seen]:
        """alice -> a -> b -> bob and one answer back; b's clock is C{skew} before a's, each way takes C{way} seconds."""
        return [
            seen("a", 10.0, "<-", A, ALICE, "INVITE 1"),
            seen("a", 10.001, "->", A, B, "INVITE 2"),
            seen("b", 10.001 + way + skew, "<-", B, A, "INVITE 2"),
            seen("b", 10.002 + way + skew, "->", B, BOB, "INVITE 3"),
            seen("b", 10.003 + way + skew, "<-", B, BOB, "180 3"),
            seen("b", 10.004 + way + skew, "->", B, A, "180 2"),
            seen("a", 10.004 + 2 * way, "<-", A, B, "180 2"),
            seen("a", 10.005 + 2 * way, "->", A, ALICE, "180 1"),
        ]

    def test_two_nodes(self) -> None:
        """What one node sent and the other received is one step; everybody else is an address."""
        steps = ladder(self.call(), NODES)
        self.assertEqual(
            arrows(steps),
            [
                (ALICE, "INVITE 1", "a"), ("a", "INVITE 2", "b"), ("b", "INVITE 3", BOB),
                (BOB, "180 3", "b"), ("b", "180 2", "a"), ("a", "180 1", ALICE),
            ],
        )  # fmt: skip
        self.assertEqual(participants(steps), [ALICE, "a", "b", BOB])
        self.assertFalse(any(step.repeat or step.unseen for step in steps))

    def test_clocks_that_differ(self) -> None:
        """Whatever the clock of a node says, the order is that of what happened, and the times are those of the first node."""
        wanted = ladder(self.call(), NODES)
        for skew in (-3600.0, -0.02, 0.02, 3600.0):
            steps = ladder(self.call(skew), NODES)
            if skew < 0:  # then b is the first that saw anything, and all times are by its clock
                steps = [Step(s.at - skew, s.source, s.target, s.seen) for s in steps]
            self.assertEqual(arrows(steps), arrows(wanted), skew)
            for step, right in zip(steps, wanted, strict=True):
                self.assertApproximates(step.at, right.at, 1e-6)

    def test_one_way_only(self) -> None:
        """Nothing came back: a clock is moved only as far as nothing arrives before it was sent."""
        for skew, order in ((-5.0, ["INVITE 2", "INVITE 3"]), (5.0, ["INVITE 2", "INVITE 3"])):
            steps = ladder(self.call(skew)[1:4], NODES)
            self.assertEqual([step.seen.mark for step in steps], order)

    def test_repeats(self) -> None:
        """The same octets on the same way once more are marked; another response is not."""
        messages = [
            seen("a", 1.0, "<-", A, ALICE, "INVITE"), seen("a", 1.5, "<-", A, ALICE, "INVITE"),
            seen("a", 1.6, "->", A, ALICE, "100"), seen("a", 2.0, "->", A, ALICE, "180"),
        ]  # fmt: skip
        self.assertEqual([step.repeat for step in ladder(messages, NODES)], [False, True, False, False])

    def test_lost_between_nodes(self) -> None:
        """Of two copies the last one arrived; that the other node looks on tells that one did not. Phones tell nothing."""
        messages = [
            seen("a", 1.0, "->", A, B, "INVITE"), seen("a", 1.5, "->", A, B, "INVITE"),
            seen("b", 1.5005, "<-", B, A, "INVITE"), seen("b", 1.6, "->", B, BOB, "INVITE 3"),
        ]  # fmt: skip
        steps = ladder(messages, NODES)
        self.assertEqual(
            [(step.target, step.unseen, step.repeat) for step in steps],
            [("b", True, False), ("b", False, True), (BOB, False, False)],
        )

    def test_a_node_that_does_not_look_on(self) -> None:
        """It has its name, and is not said to have missed anything."""
        steps = ladder(self.call()[:2], NODES)
        self.assertEqual([(step.target, step.unseen) for step in steps], [("a", False), ("b", False)])

    def test_over_a_connection(self) -> None:
        """The port of who opened a connection is any; the node is known by its host, and a phone there is not taken for it."""
        messages = [
            seen("a", 1.0, "->", "192.0.2.1:5061", "192.0.2.2:5061", "INVITE"),
            seen("b", 1.001, "<-", "192.0.2.2:5061", "192.0.2.1:43210", "INVITE"),
            seen("b", 1.002, "->", "192.0.2.2:5061", "192.0.2.1:43210", "100"),
            seen("a", 1.003, "<-", "192.0.2.1:5061", "192.0.2.2:5061", "100"),
            seen("a", 1.004, "->", A, "192.0.2.2:5070", "INVITE 2"),
        ]
        steps = ladder(messages, {**NODES, "192.0.2.1:5061": "a", "192.0.2.2:5061": "b"})
        self.assertEqual(
            arrows(steps), [("a", "INVITE", "b"), ("b", "100", "a"), ("a", "INVITE 2", "192.0.2.2:5070")]
        )

    def test_a_spiral(self) -> None:
        """A node that sends to itself: what it receives is not what another one sent."""
        messages = [seen("a", 1.0, "->", A, A, "INVITE"), seen("a", 1.001, "<-", A, A, "INVITE")]
        self.assertEqual(arrows(ladder(messages, NODES)), [("a", "INVITE", "a"), ("a", "INVITE", "a")])

    def test_nothing(self) -> None:
        self.assertEqual((ladder([], NODES), participants([])), ([], []))
