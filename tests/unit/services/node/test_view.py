"""Tests of what an operator is shown, on whole nodes in virtual time."""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.simulation.world import World
from voipcluster.balance.messages import StoredGateway
from voipcluster.errors import UsageError
from voipcluster.services.commands import INodeControl
from voipcluster.services.media.relay import CallKey
from voipcluster.services.node.lists import PART
from voipcluster.services.node.records import CallRecord
from voipcluster.services.node.view import NodeView, durations
from voipcluster.services.sip.calls import Call
from voipcluster.sip.location import Binding
from voipcluster.store.accounts import new_account
from voipcluster.web.slices import PAGE, SHOWN

AT_B = {"cluster": {"policy": "sequence", "sequence": ("b", "a")}}


class ViewTests(SynchronousTestCase):
    def world(self, names: str = "ab", **options: Any) -> World:
        self.nodes = World(names, seed=3, options=options)
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

    def call(self) -> str:
        """The Call-ID of a call that came to a, is served by b, and lasts."""
        self.nodes.phones(callers=1, callees=1, at="a")
        attempt = self.nodes.call(self.nodes.callers[0], self.nodes.callees[0])
        self.nodes.until(lambda: attempt.answered, "the call is up")
        self.nodes.run(1.0)
        return attempt.call_id

    def test_interface(self) -> None:
        """It is what the commands ask."""
        self.world("a")
        verifyObject(INodeControl, self.view())

    def test_status(self) -> None:
        """Each member with what it reports; the others' numbers come with their answers."""
        self.world("ab", **AT_B)
        self.call()
        answer = self.asked(self.view().status())
        rows = {row["name"]: row for row in answer["nodes"]}
        self.assertEqual(
            [(row["role"], row["state"]) for row in rows.values()],
            [("primary", "open"), ("secondary", "open")],
        )
        self.assertEqual((rows["a"]["calls"], rows["b"]["calls"]), (0, 1))
        self.assertGreater(rows["a"]["handed_over"], 0)
        self.assertEqual(
            rows["b"]["media"], {"path": "off", "reason": "", "restart": "goes on", "restart_reason": ""}
        )

    def test_name_without_a_node(self) -> None:
        """A name in the sequence that no node has; a name matters with that policy only."""
        for policy, names in (("sequence", ["typo"]), ("planned", [])):
            self.world("ab", cluster={"policy": policy, "sequence": ("b", "typo", "a")})
            self.nodes.run(1.0)
            self.assertEqual(self.asked(self.view().status())["no_node"], names)

    def test_a_hundred_thousand_registrations(self) -> None:
        """
        A list comes in slices, all of it and each once. The last slice costs no more than the first, and none so much that a
        call would wait for it: 20 ms of CPU time, JSON and all.
        """
        self.world("a")
        node, count = self.nodes.nodes["a"].service, 100_000
        now = node.core.seconds()
        for number in range(count):
            node.registrar.location.put(
                Binding(
                    aor=f"user{number}@example.com", contact=f"sip:user{number}@192.0.2.1:5060", call_id="c", cseq=1,
                    expires_at=now + 3600, registered_at=now, node="a", source="udp:192.0.2.1:5060", user_agent="Softphone 1.2.3",
                )
            )  # fmt: skip
        view, begun = self.view(), time.process_time()
        found = {row["aor"] for at in range(0, count, PAGE) for row in view.registrations(None, PAGE, at)}
        per_slice = (time.process_time() - begun) / (count / PAGE)
        self.assertEqual(len(found), count)
        self.assertLess(per_slice, 0.02)
        self.assertEqual(view.registrations(None, PAGE, count), [])
        for after in (0, count - PAGE):
            costs = []
            for _ in range(5):
                begun = time.process_time()
                json.dumps(view.registrations(None, PAGE, after))
                costs.append(time.process_time() - begun)
            self.assertLess(min(costs), 0.02)
        self.assertEqual(len(view.registrations(None)), SHOWN)
        self.parts(view, count)
        self.assertEqual(self.asked(view.status())["registrations"], count)

    def parts(self, view: NodeView, count: int) -> None:
        """In parts without names it costs less yet; to begin costs no more than a part."""
        found, costs, parts = set(), [], view.registration_parts(0)
        while True:
            begun = time.process_time()
            part = next(parts, None)
            json.dumps(part)
            costs.append(time.process_time() - begun)
            if part is None:
                break
            found.update(part["columns"][0])
            last = part
        self.assertEqual((len(found), len(costs)), (count, count // PART + 1))
        self.assertLess(statistics.median(costs), 0.02)
        row = {name: column[-1] for name, column in zip(last["names"], last["columns"], strict=True)}
        self.assertEqual([row], view.registrations(row["aor"]))

    def test_password_in_a_uri(self) -> None:
        """Whoever has one in his Contact or From keeps it for himself."""
        self.world("a")
        node, uri = self.nodes.nodes["a"].service, "sip:bob:s3cret@192.0.2.1"
        binding = Binding("bob@example.com", uri, node.core.seconds() + 60, 0.0, "c", 1)
        node.registrar.location.put(binding)
        view = self.view()
        for rows in (
            view.registrations(None),
            list(view.registration_parts(0)),
            view.registrations(binding.aor),
        ):
            self.assertNotIn("s3cret", repr(rows))
        call = Call(CallKey("c1", "t"), uri, uri, "192.0.2.1:5060", "UDP", "", "a", (), 0.0)
        row = view.record_row(CallRecord(call, 1.0, "bye", None))
        self.assertEqual((row["from"], row["to"]), ("sip:bob@192.0.2.1",) * 2)

    def test_slices_of_calls(self) -> None:
        """Of each node a slice, the longest calls first; the slices together are all calls, each once."""
        self.world("ab")
        self.nodes.phones(callers=6, callees=6)
        attempts = [
            self.nodes.call(caller, callee)
            for caller, callee in zip(self.nodes.callers, self.nodes.callees, strict=True)
        ]
        self.nodes.until(lambda: all(attempt.answered for attempt in attempts), "the calls are up")
        found = []
        for after in range(0, 8, 2):
            rows = self.asked(self.view().calls(None, 2, after))
            self.assertLessEqual(Counter(row["node"] for row in rows).most_common(1)[0][1] if rows else 0, 2)
            found += [row["call_id"] for row in rows]
        self.assertEqual(sorted(found), sorted(attempt.call_id for attempt in attempts))

    def test_call_at_another_node(self) -> None:
        """Calls of all nodes are shown, one by its Call-ID with its streams; those that nobody knows are none."""
        self.world("ab", **AT_B)
        call_id = self.call()
        [row] = self.asked(self.view().calls(None))
        self.assertEqual(
            (row["call_id"], row["node"], row["ingress"], row["state"]), (call_id, "b", "a", "up")
        )
        [row] = self.asked(self.view().calls(call_id))
        self.assertEqual(row["streams"], [])
        self.assertEqual(self.asked(self.view().calls("nobody's")), [])

    def test_node_that_is_gone(self) -> None:
        """Who asks for a call of a dead node is told where it is, and that it cannot be reached, by calls and by explain."""
        self.world("ab", **AT_B)
        call_id = self.call()
        self.nodes.nodes["b"].crash(silent=True)
        told = "node b holds it and is not reachable: Call-ID "
        self.assertEqual(self.refused(self.view().calls(call_id)), told + call_id)
        rows = self.asked(self.view().explain(call_id))
        self.assertEqual(rows[-1]["outcome"], "hand-over")
        self.assertTrue(rows[-1]["reason"].endswith("; b holds it and is not reachable"), rows[-1]["reason"])
        told = "node b is not reachable, and no other one knows a call in progress, or one that ended lately, with the Call-ID x"
        self.assertEqual(self.refused(self.view().calls("x")), told)
        self.assertIn("its start; node b is not reachable", self.refused(self.view().explain("x")))
        self.assertEqual(self.asked(self.view().calls(None)), [])
        self.assertEqual(self.asked(self.view().calls(None, silent=True)), {"calls": [], "silent": ["b"]})

    def test_two_that_are_gone(self) -> None:
        """Several are named in one sentence."""
        self.world("abc")
        for name in "bc":
            self.nodes.nodes[name].crash(silent=True)
        self.nodes.run(5.0)
        self.assertIn("nodes b, c are not reachable, and no other", self.refused(self.view().calls("x")))

    def test_node_that_is_to_stop(self) -> None:
        """While its calls go on, each node tells that it will end; not of one that only drains, or that was told otherwise."""
        self.world("ab", **AT_B)
        self.call()

        def told() -> list[list[bool]]:
            self.nodes.run(2.0)
            answers = [self.asked(self.view(name).status())["nodes"] for name in "ab"]
            return [[row["stopping"] for row in rows] for rows in answers]

        self.view().drain("b", True)
        self.assertEqual(told(), [[False, False]] * 2)
        self.view().stop("b")
        self.assertEqual(told(), [[False, True]] * 2)
        self.view().drain("b", False)
        self.assertEqual(told(), [[False, False]] * 2)

    def test_node_that_has_left(self) -> None:
        """One that was stopped in good order holds nothing."""
        self.world()
        self.nodes.nodes["b"].service.stopService()
        self.nodes.run(3.0)
        rows = self.asked(self.view().status())["nodes"]
        self.assertEqual([row["state"] for row in rows], ["open", "stopped"])
        self.assertEqual(self.asked(self.view().calls("x")), [])
        self.assertEqual(self.asked(self.view().calls(None, silent=True))["silent"], [])
        self.assertNotIn("not reachable", self.refused(self.view().explain("x")))

    def test_accounts(self) -> None:
        """Users are of our domains, there but once, and gone when removed."""
        self.world("a")
        view = self.view()
        view.user_add("alice", "EXAMPLE.com", "secret")
        self.nodes.run(0.1)
        self.assertEqual(view.user_list(None), ["alice@example.com"])
        for listing in (view.user_list, view.user_parts):
            error = self.assertRaises(UsageError, listing, "elsewhere.org")
            self.assertEqual(
                str(error), "elsewhere.org is not a domain of this cluster; cluster.domain is example.com"
            )
        alice = {"user": "alice@example.com", "digests": ["MD5", "SHA-256"], "disabled": False}
        self.assertEqual(view.user_list(None, full=True), [alice])
        self.assertEqual(
            list(view.user_parts(None)),
            [{"names": tuple(alice), "columns": [[value] for value in alice.values()]}],
        )
        self.assertEqual(view.user_show("alice", "Example.com"), {})
        self.assertEqual(view.user_show("alice", "example.com", full=True), {**alice, "preferences": {}})
        for wrong, told in (
            (lambda: view.user_add("alice", "example.com", "x"), "user alice@example.com exists already"),
            (
                lambda: view.user_add("al", "elsewhere.org", "x"),
                "elsewhere.org is not a domain of this cluster",
            ),
            (lambda: view.user_passwd("bob", "example.com", "x"), "there is no user bob@example.com"),
            (lambda: view.unban("192.0.2.9"), "192.0.2.9 is not banned here"),
        ):
            self.assertIn(told, str(self.assertRaises(UsageError, wrong)))
        view.user_remove("alice", "example.com")
        self.nodes.run(0.1)
        self.assertEqual(view.user_list(None), [])

    def test_two_operators(self) -> None:
        """
        One new user, and one new gateway, added at two nodes at the same moment: the primary sees who was first, and the other
        operator is told. With what he has typed nothing happens.
        """
        self.world()
        servers = ["192.0.2.1"], ["192.0.2.2"]
        added = [self.view(name).user_add("alice", "example.com", f"secret of {name}") for name in "ab"]
        added += [
            self.view(name).gateway_add("carrier", {"servers": of})
            for name, of in zip("ab", servers, strict=True)
        ]
        told: list[Any] = [None] * 4
        for number, one in enumerate(added):
            one.addErrback(lambda failure, number=number: told.__setitem__(number, str(failure.value)))
        self.nodes.run(1.0)
        self.assertEqual((told[0], told[2]), (None, None))
        self.assertIn("user alice@example.com exists already: somebody has added him meanwhile", told[1])
        self.assertIn("gateway carrier exists already: somebody has added it meanwhile", told[3])
        for name in "ab":
            node = self.nodes.nodes[name].service
            kept = evolve(new_account("alice", "example.com", "secret of a"), version=0)
            self.assertEqual(evolve(node.accounts.get("alice", "example.com"), version=0), kept)
            self.assertEqual(node.stored_gateways.get("carrier").servers, tuple(servers[0]))

    def test_gateway_where_a_row_stands_for_none(self) -> None:
        """What is left of a gateway that the file had, and a row that is left out, may be replaced: nobody could remove them."""
        self.world()
        kept = self.nodes.nodes["a"].service
        rows = [
            StoredGateway(name="switched", switch=True, version=1),
            StoredGateway(name="first", sources=("192.0.2.7",), version=1),
            StoredGateway(name="same", sources=("192.0.2.7",), version=1),
        ]
        self.asked(kept.cluster.adopt("gateway", rows))
        self.assertEqual([gateway.name for gateway in kept.gateways], ["first"])
        for name, server in (("switched", "192.0.2.1"), ("same", "192.0.2.2")):
            added = self.asked(self.view("b").gateway_add(name, {"servers": [server]}))
            self.assertEqual(added, {"warnings": []})
        self.assertEqual({gateway.name for gateway in kept.gateways}, {"first", "switched", "same"})

    def test_durations(self) -> None:
        """Times become durations: of what is over up to its end, and what is left of a session."""
        self.assertEqual(
            durations({"started": 100.0, "expires": 160.0}, 130.04), {"duration": 30.0, "session": 30.0}
        )
        row = durations({"started": 100.0, "ended": 110.0, "expires": 0.0}, 500.0)
        self.assertEqual((row["duration"], row["session"]), (10.0, None))
