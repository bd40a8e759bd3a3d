"""The full mesh: nodes in memory that find, greet, lose and forget one another."""

from __future__ import annotations

from twisted.logger import capturedLogs, formatEvent

from tests.conformance.marks import attack
from tests.unit.services.cluster.cluster_case import ClusterCase
from voipcluster import __version__
from voipcluster.balance.protocol import Spoken
from voipcluster.errors import PeerError, UsageError


class MeshTests(ClusterCase):
    def test_everybody_is_linked_with_everybody(self) -> None:
        """After two nodes have joined, each has a link to each other one and knows all members in order."""
        self.three()
        for name in "abc":
            service = self.cluster.service(name)
            self.assertEqual([one.name for one in service.members()], ["a", "b", "c"])
            self.assertEqual(
                [other for other in "abc" if service.is_up(other)], [x for x in "abc" if x != name]
            )
            self.assertEqual([one.name for one in self.user(name).members], ["a", "b", "c"])

    def test_secondaries_need_no_primary(self) -> None:
        """With the primary gone, secondaries restart from what they have stored and find each other."""
        self.three()
        self.cluster["a"].stop()
        self.cluster["b"].crash()
        self.cluster["c"].crash()
        self.network.pass_time(1)
        self.cluster["b"].start()
        self.cluster["c"].start()
        self.network.pass_time(2)
        self.assertTrue(self.cluster.service("b").is_up("c"))
        self.assertTrue(self.cluster.service("c").is_up("b"))

    def test_members_learn_of_a_joiner_from_each_other(self) -> None:
        """A member that was away when a node joined learns of it from any other one, without the primary."""
        self.cluster.join("b", "127.0.0.2")
        self.cluster.join("c", "127.0.0.3")
        self.network.pass_time(1)
        self.cluster["b"].stop()
        self.cluster.join("d", "127.0.0.4")
        self.network.pass_time(1)
        self.cluster["a"].stop()
        self.cluster["b"].reopen()
        self.cluster["b"].start()
        self.network.pass_time(8)
        self.assertEqual([one.name for one in self.cluster.service("b").members()], ["a", "b", "c", "d"])
        self.assertTrue(self.cluster.service("b").is_up("d"))
        self.assertTrue(self.cluster.service("d").is_up("b"))

    def test_a_killed_node_is_noticed_and_heard_again_at_once(self) -> None:
        """The others see the link go; the restarted node, with a new epoch, reports within one exchange."""
        self.three()
        self.cluster["b"].crash()
        self.network.settle()
        self.assertEqual(self.user("a").changes[-1], ("b", False))
        self.network.pass_time(20)
        heard = len(self.user("a").reports)
        self.cluster["b"].start(period=30.0)
        self.network.pass_time(0.1)
        reports = [report for report in self.user("a").reports[heard:] if report.node == "b"]
        self.assertEqual(reports[0].epoch, self.cluster["b"].state.epoch)
        self.assertEqual(self.user("a").changes[-1], ("b", True))

    def test_a_frozen_node_is_given_up_and_comes_back(self) -> None:
        """As SIGSTOP: no answer within 5 s ends the link; when it runs again the mesh is whole again."""
        self.three()
        self.network.frozen.add("127.0.0.2")
        self.network.pass_time(7)
        self.assertFalse(self.cluster.service("a").is_up("b"))
        self.assertTrue(self.cluster.service("a").is_up("c"))
        self.network.frozen.clear()
        self.network.pass_time(15)
        for name, other in (("a", "b"), ("b", "a"), ("c", "b"), ("b", "c")):
            self.assertTrue(self.cluster.service(name).is_up(other), (name, other))

    def test_an_old_life_is_not_heard(self) -> None:
        """Messages of an earlier epoch are dropped, counted and said in the log."""
        self.three()
        mesh = self.cluster.service("b").mesh
        mesh._state.epoch -= 10
        heard = len([one for one in self.user("a").reports if one.node == "b"])
        with capturedLogs() as events:
            self.network.pass_time(5)
        self.assertEqual(len([one for one in self.user("a").reports if one.node == "b"]), heard)
        self.assertTrue([event for event in events if "dropped" in str(event.get("log_format"))])
        mesh._state.epoch += 10

    def test_a_removed_node_is_shut_out(self) -> None:
        """Its certificate still is of our CA, but nobody links with it any more."""
        self.three()
        admission = self.cluster.service("a").mesh.admission
        assert admission is not None, "a is the primary"
        admission.remove("b")
        self.network.pass_time(3)
        for name in "ac":
            self.assertEqual([one.name for one in self.cluster.service(name).members()], ["a", "c"])
            self.assertFalse(self.cluster.service(name).mesh._gates.is_connected("b"))

    def test_a_stopped_node_is_forgotten(self) -> None:
        """Its name leaves every list, and it finds no way back; one that runs, the primary and strangers are not forgotten."""
        self.three()
        a, c = self.cluster.service("a"), self.cluster.service("c")
        for service, name, text in (
            (a, "b", "node b is running; stop it first: voipctl stop b"),
            (a, "a", "node a is the primary"),
            (a, "x", "there is no node x"),
            (c, "b", "only the primary, node a"),
        ):
            self.assertIn(text, str(self.assertRaises(UsageError, service.forget, name)))
        self.cluster["b"].stop()
        self.network.pass_time(1)
        a.forget("b")
        self.network.pass_time(1)
        for service in (a, c):
            self.assertEqual([one.name for one in service.members()], ["a", "c"])
        self.cluster["b"].reopen()
        self.cluster["b"].start()
        with capturedLogs() as events:
            self.network.pass_time(8)
        said = [line for line in map(formatEvent, events) if line and "may have been forgotten" in line]
        self.assertTrue(said and said[0].startswith("no link to node "), said)
        for service in (a, c):
            self.assertFalse(service.mesh.is_running("b"))
        self.assertFalse(self.cluster.service("b").is_up("a"))

    def test_a_node_that_leaves_says_so(self) -> None:
        """The others hear it before the link goes, warn of nothing, and hear no report of it after that."""
        self.three()
        b = self.cluster.service("b")
        with capturedLogs() as events:
            left: list[None] = []
            b.leave().addCallback(left.append)
            self.network.pass_time(3)
            self.assertEqual(left, [None])
            reports = len(self.user("a").reports)
            b.report_now()
            self.network.pass_time(0.5)
            self.assertEqual([one for one in self.user("a").reports[reports:] if one.node == "b"], [])
            self.cluster["b"].stop()
            self.network.pass_time(1)
        for name in "ac":
            self.assertEqual(self.user(name).left, ["b"])
        lost = [event for event in events if "is lost" in str(event.get("log_format"))]
        self.assertEqual(lost, [])
        self.assertEqual(self.user("a").changes[-1], ("b", False))
        self.cluster["c"].stop()
        self.network.pass_time(1)
        self.assertEqual(self.user("a").left, ["b"], "c said nothing")

    def test_a_node_that_moves_is_found(self) -> None:
        """A secondary that restarts at another address is called there by all."""
        self.three()
        self.cluster["b"].crash()
        self.cluster["b"].address = "127.0.0.22"
        self.cluster["b"].start()
        self.network.pass_time(8)
        self.assertTrue(self.cluster.service("a").is_up("b"))
        self.assertTrue(self.cluster.service("c").is_up("b"))
        addresses = {one.name: one.address for one in self.cluster.service("c").members()}
        self.assertEqual(addresses["b"], "127.0.0.22")

    def restart_at(self, **addresses: str) -> None:
        for name in addresses:
            self.cluster[name].crash()
        for name, address in addresses.items():
            self.cluster[name].address = address
            self.cluster[name].start()
        self.network.pass_time(8)

    def test_one_node_after_the_other_moves(self) -> None:
        """So a cluster comes to other addresses, even to those that others of it had; the primary as well."""
        self.three()
        for name, address in (("b", "127.0.0.22"), ("c", "127.0.0.2"), ("a", "127.0.0.3")):
            self.restart_at(**{name: address})
            for one in "abc":
                self.assertTrue(all(self.cluster.service(one).is_up(x) for x in "abc" if x != one), name)

    def test_two_nodes_change_places(self) -> None:
        """Neither can find the other: the log says why and what to do, and no node calls itself; this heals it."""
        self.cluster.join("b", "127.0.0.2")
        self.network.pass_time(1.5)
        with capturedLogs() as events:
            self.restart_at(a="127.0.0.2", b="127.0.0.1")
        lines = {formatEvent(event) for event in events}
        self.assertEqual([line for line in lines if "refused" in line], [])
        for name, other, place in (("b", "a", "127.0.0.2"), ("a", "b", "127.0.0.1")):
            (line,) = [line for line in lines if line.startswith(f"no link to node {name} yet")]
            self.assertIn(f"{place}:8787, where it was last, is the address of this node now", line, other)
            self.assertIn("Start one of the two at its former address", line)
        self.restart_at(b="127.0.0.22")
        self.assertFalse(self.cluster.service("a").is_up("b"))
        self.restart_at(a="127.0.0.1")
        self.assertTrue(self.cluster.service("a").is_up("b"))
        self.restart_at(a="127.0.0.2")
        self.assertTrue(self.cluster.service("a").is_up("b") and self.cluster.service("b").is_up("a"))

    def test_two_nodes_move_to_fresh_addresses(self) -> None:
        """Nobody is where the other one looks: each says that it has moved, and what to do; one that has not moved does not."""
        self.cluster.join("b", "127.0.0.2")
        self.network.pass_time(1.5)
        with capturedLogs() as events:
            self.restart_at(a="127.0.0.11", b="127.0.0.22")
        lines = {formatEvent(event) for event in events}
        for name, former in (("b", "127.0.0.1:8787"), ("a", "127.0.0.2:8787")):
            (line,) = [line for line in lines if line.startswith(f"no link to node {name} yet")]
            self.assertIn(
                f"This node was at {former} before: if {name} has moved, too, start one of the two", line
            )
        with capturedLogs() as events:
            self.restart_at(b="127.0.0.2")
        self.assertTrue(self.cluster.service("a").is_up("b") and self.cluster.service("b").is_up("a"))
        with capturedLogs() as events:
            self.cluster["b"].crash()
            self.network.pass_time(70)
        told = [formatEvent(event) for event in events if "no link" in formatEvent(event)]
        self.assertTrue(told)
        self.assertEqual([line for line in told if "before" in line], [])

    def test_a_taken_port_is_one_line(self) -> None:
        """A second listener on the link's address and port is refused with both named."""
        self.cluster.join("b", "127.0.0.2", start=False)
        self.cluster["b"].address = "127.0.0.1"
        error = str(self.assertRaises(UsageError, self.cluster["b"].start))
        self.assertIn("127.0.0.1:8787", error)
        self.cluster["b"].stop()

    def test_an_unknown_message_is_refused_and_the_link_stays(self) -> None:
        """What only a newer version knows is answered with an error; nothing else happens."""
        self.three()
        called = self.cluster.service("b").mesh.call("a", "teleport", {})
        self.network.settle()
        self.assertIn("not known", str(self.failureResultOf(called, PeerError).value))
        self.assertTrue(self.cluster.service("b").is_up("a"))

    def test_releases(self) -> None:
        """Each node knows what every other one runs; one that does not say speaks the first version of the link."""
        self.three()
        self.assertEqual(self.cluster.service("b").mesh.releases, dict.fromkeys("abc", __version__))
        mesh = self.cluster.service("a").mesh
        told = mesh._spoken
        self.patch(mesh, "_spoken", Spoken("0.0.9"))
        self.cluster["b"].crash()
        self.cluster["b"].start()
        self.network.pass_time(1)
        self.assertEqual(self.cluster.service("b").release_of("a"), "0.0.9")
        self.assertEqual(told, Spoken(__version__))

    def test_no_version_in_common(self) -> None:
        """A node that speaks only later versions of the link is not greeted, and both logs say what to do."""
        self.three()
        mesh = self.cluster.service("b").mesh
        self.patch(mesh, "_spoken", Spoken("9.0", 2, 3))
        with capturedLogs() as logged:
            for link in (*mesh.links.values(), self.cluster.service("a").mesh.links["b"]):
                link.reset("for the test")
            self.network.pass_time(7)
        for name, other in (("a", "b"), ("b", "a")):
            self.assertFalse(self.cluster.service(name).is_up(other))
        self.assertTrue(self.cluster.service("a").is_up("c"))
        said = [formatEvent(event) or "" for event in logged]
        for name in "ab":
            self.assertTrue(
                any(f"node {name}: voipcluster" in line and "cannot work together" in line for line in said),
                said,
            )

    def test_a_renewal_without_a_proper_request(self) -> None:
        """It is refused like any other bad message, and is no fault that is logged."""
        self.three()
        for request in (None, 7, "", "\ud800"):
            called = self.cluster.service("b").mesh.call("a", "renew", {"request": request})
            self.network.settle()
            self.assertNotIn("internal error", str(self.failureResultOf(called, PeerError).value))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_an_older_list_of_members(self) -> None:
        """What the CA has signed before is not gone back to (a replay), nor is it a fault: such a node was away."""
        self.cluster.join("b", "127.0.0.2")
        self.network.pass_time(1)
        older = dict(self.cluster["a"].state.roster)
        self.cluster.join("c", "127.0.0.3")
        self.network.pass_time(1)
        called = self.cluster.service("c").mesh.call("b", "roster", older)
        self.network.settle()
        self.successResultOf(called)
        self.assertEqual([one.name for one in self.cluster.service("b").members()], ["a", "b", "c"])

    def test_a_greeting_with_a_wrong_address(self) -> None:
        """A node is not moved to what is no address or port."""
        self.cluster.join("b", "127.0.0.2")
        self.network.pass_time(1)
        mesh = self.cluster.service("b").mesh
        before = self.cluster.service("a").roster
        for address, port in (
            ("node.example.com", 8787),
            (7, 8787),
            ("127.0.0.9", 0),
            ("127.0.0.9", True),
            ("127.0.0.9", "9"),
        ):
            called = mesh.call("a", "hello", {**mesh._greeting(), "address": address, "port": port})
            self.network.settle()
            self.successResultOf(called)
        self.assertEqual(self.cluster.service("a").roster, before)

    def test_nobody_is_called_after_the_stop(self) -> None:
        """A call to a node that is no other member, or from a mesh that has stopped, fails at once."""
        self.three()
        mesh = self.cluster.service("b").mesh
        for name, told in (("b", "b is this node"), ("x", "there is no node x; there are a, b, c")):
            self.assertEqual(str(self.failureResultOf(mesh.call(name, "ping", {}), PeerError).value), told)
        self.cluster["b"].stop()
        failure = self.failureResultOf(mesh.call("a", "ping", {}), PeerError)
        self.assertEqual(str(failure.value), "b has no link to a")
        self.assertEqual(mesh.links, {})

    @attack("P5")
    def test_certificates_and_roster_are_the_primarys(self) -> None:
        """P5: a secondary neither renews certificates nor passes on a roster that the CA has not signed."""
        self.three()
        mesh = self.cluster.service("b").mesh
        forged = {**self.cluster["b"].state.roster}
        forged["roster"] = forged["roster"].replace('"generation": 3', '"generation": 99')
        for node, kind, body in (
            ("c", "renew", {"request": "x"}),
            ("c", "roster", forged),
            ("a", "roster", forged),
        ):
            called = mesh.call(node, kind, body)
            self.network.settle()
            self.failureResultOf(called, PeerError)
        self.assertEqual(self.cluster.service("c").roster.generation, 3)
