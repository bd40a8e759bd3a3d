"""What was said in a call, gathered from whole nodes in virtual time."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.world import World
from voipcluster.errors import UsageError
from voipcluster.services.node.trace_view import label_of
from voipcluster.services.node.view import NodeView

AT_B = {"cluster": {"policy": "sequence", "sequence": ("b", "a")}}


class TraceViewTests(SynchronousTestCase):
    def world(self, names: str = "ab", **options: Any) -> World:
        self.nodes = World(names, seed=3, options=AT_B | options)
        self.nodes.phones(callers=1, callees=1, at="a")
        return self.nodes

    def view(self, name: str = "a") -> NodeView:
        return self.nodes.nodes[name].service.view

    def asked(self, what: Any) -> Any:
        """The answer, once it has come over the links."""
        answers: list[Any] = []
        what.addBoth(answers.append)
        self.nodes.until(lambda: answers, "an answer", 5.0)
        return answers[0]

    def refused(self, what: Any) -> str:
        failure = self.asked(what)
        return str(failure.trap(UsageError) and failure.value)

    def on(self, **given: Any) -> Any:
        asked = {
            "user": None,
            "address": None,
            "call_id": None,
            "all_calls": False,
            "seconds": 600.0,
            **given,
        }
        return self.asked(self.view().trace_on(**asked))

    def call(self, hold: float = 1.0) -> str:
        """A call that came to a, was served by b, and is over."""
        attempt = self.nodes.call(self.nodes.callers[0], self.nodes.callees[0], hold)
        self.nodes.until(lambda: attempt.answered, "the call is up")
        self.nodes.settle()
        return attempt.call_id

    def arrows(self, trace: dict[str, Any]) -> list[str]:
        who = [one["name"] if one["node"] else "phone" for one in trace["participants"]]
        return [f"{who[one['from']]} {one['label']} {who[one['to']]}" for one in trace["steps"]]

    def test_one_ladder_of_two_nodes(self) -> None:
        """The hand-over is one arrow between the nodes, and the ladder is the same whichever node is asked."""
        self.world()
        states = self.on(all_calls=True)
        self.assertEqual(
            [(row["node"], row["wanted"][0]["what"]) for row in states],
            [("a", "all calls"), ("b", "all calls")],
        )
        call_id = self.call()
        trace = self.asked(self.view().trace(call_id, False))
        arrows = self.arrows(trace)
        self.assertEqual(arrows[0], "phone INVITE a")
        self.assertEqual(
            [arrows.count(one) for one in ("a INVITE b", "b 200 OK a", "a 200 OK phone")], [1, 1, 1]
        )
        self.assertEqual(len([one for one in arrows if one.startswith("phone INVITE")]), 1)
        self.assertFalse(any(one["repeat"] or one["unseen"] for one in trace["steps"]), arrows)
        self.assertEqual(sorted(one["at"] for one in trace["steps"]), [one["at"] for one in trace["steps"]])
        self.assertNotIn("text", trace["steps"][0])
        other = self.asked(self.view("b").trace(call_id, True))
        self.assertEqual(self.arrows(other), arrows)
        self.assertTrue(other["steps"][0]["text"].startswith("INVITE sip:"))
        self.assertEqual((trace["nodes"], trace["silent"]), (["a", "b"], []))

    def test_outline_of_any_call(self) -> None:
        """Without tracing: placed, begun, answered and over, from the nodes that did it."""
        self.world()
        call_id = self.call()
        trace = self.asked(self.view().trace(call_id, False))
        self.assertEqual((trace["steps"], trace["participants"]), ([], []))
        told = [(one["node"], one["text"].split(" ")[0]) for one in trace["events"]]
        self.assertEqual(
            told,
            [
                ("a", "hand-over"),
                ("b", "serve:"),
                ("b", "INVITE"),
                ("b", "ringing"),
                ("b", "answered"),
                ("b", "ended"),
            ],
        )
        self.assertEqual(trace["events"][0]["after"], 0.0)

    def test_outline_of_a_call_that_failed(self) -> None:
        """A call that nobody took is known as well, with its status."""
        world = self.world()
        attempt = world.callers[0].call("sip:nobody@example.com")
        world.run(5.0)
        events = self.asked(self.view().trace(attempt.call_id, False))["events"]
        self.assertRegex(events[-1]["text"], r"ended: (failed|refused) 4\d\d")

    def test_outline_of_a_call_that_nobody_served(self) -> None:
        """Of one that was refused without state there is why, and who explains placements says where to look."""
        world = self.world()
        attempt = world.callers[0].call("sip:nobody@example.com")
        world.run(5.0)
        events = self.asked(self.view().trace(attempt.call_id, False))["events"]
        self.assertRegex(events[-1]["text"], r"ended: refused 404 \(no such user\)")
        self.assertIn("voipctl trace says", self.refused(self.view().explain("nobody@nowhere")))

    def test_by_the_address_of_who_is_called(self) -> None:
        """Only the node that sends to it sees that, but the steps before and at the other node are there as well."""
        self.world()
        self.on(address=self.nodes.callees[0].host)
        call_id = self.call()
        arrows = self.arrows(self.asked(self.view().trace(call_id, False)))
        self.assertEqual(arrows[0], "phone INVITE a")
        self.assertIn("a INVITE b", arrows)

    def test_off(self) -> None:
        """At all nodes, and what was kept is still there until it is forgotten."""
        self.world()
        self.on(all_calls=True)
        call_id = self.call()
        states = self.asked(self.view("b").trace_off(False))
        self.assertEqual([row["wanted"] for row in states], [[], []])
        self.assertTrue(self.asked(self.view().trace(call_id, False))["steps"])
        self.asked(self.view().trace_off(True))
        self.assertEqual(self.asked(self.view().trace(call_id, False))["steps"], [])
        self.assertEqual([row["calls"] for row in self.asked(self.view().trace_status())], [0, 0])

    def test_a_node_that_is_gone(self) -> None:
        """Its part is missing, and that is said, here and by the state of tracing."""
        world = self.world()
        self.on(all_calls=True)
        call_id = self.call()
        world.nodes["b"].crash(silent=True)
        world.run(10.0)
        trace = self.asked(self.view().trace(call_id, False))
        self.assertEqual((trace["nodes"], trace["silent"]), (["a"], ["b"]))
        self.assertIn("phone INVITE a", self.arrows(trace))
        self.assertEqual(self.asked(self.view().trace_status())[1], {"node": "b", "error": "not reachable"})
        told = self.refused(self.view().trace("nobody@nowhere", False))
        self.assertTrue(told.endswith("its start; node b is not reachable"), told)

    def test_unknown(self) -> None:
        """One line that says what is remembered."""
        self.world()
        self.assertIn("remembers", self.refused(self.view().trace("nobody@nowhere", False)))

    def test_what_cannot_be_traced(self) -> None:
        """An error, and nothing is switched on anywhere."""
        self.world()
        with self.assertRaises(UsageError):
            self.view().trace_on(None, "example.com", None, False, 60.0)
        for seconds in ("60", None, 0, float("inf"), float("nan")):  # as another node may say it
            with self.assertRaisesRegex(UsageError, "seconds: found"):
                self.view().tracing.switch({"on": True, "all": True, "seconds": seconds})
        self.assertEqual([row["wanted"] for row in self.asked(self.view().trace_status())], [[], []])

    def test_labels(self) -> None:
        """What an arrow says of a start line."""
        for line, wanted in (
            ("INVITE sip:bob@example.com SIP/2.0", "INVITE"), ("SIP/2.0 180 Ringing", "180 Ringing"),
            ("sip/2.0 200 OK", "200 OK"), ("", ""), ("x", "x"),
        ):  # fmt: skip
            self.assertEqual(label_of(line), wanted)
